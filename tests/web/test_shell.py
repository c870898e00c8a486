"""What surrounds the pages: the connection, what was done, and where one was; in Chromium, before a real Triton."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import detecting, found_by_axe, opened
from tests.support.models import scaled
from tests.support.page import API, Site, zipped
from tritonpm.web.running import Page as Served
from tritonpm.web.security import access

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def shop(live: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A page with two packages, of which `bolts` is loaded."""
    folder = tmp_path_factory.mktemp("in")
    live.done(live.upload(detecting(folder / "bolts")))
    live.done(live.upload(zipped(folder / "nuts", scaled(2.0), "nuts")))
    live.done(live.post("/packages/bolts/load"))
    return live


def row(page: Page, name: str) -> Locator:
    return page.locator(f"#package-{name}")


def served(root: Path, port: int) -> Served:
    return Served(root, None, "127.0.0.1", port, access("127.0.0.1"))


def test_a_page_whose_server_is_gone_says_so_until_it_is_back(shop: Site, browser: Browser) -> None:
    first = served(shop.root, 0)
    with opened(browser, first.url, expected="Failed to load resource|^htmx:") as page:
        banner = page.get_by_role("alert").filter(has_text="The page's server does not answer")
        with first.running():
            page.goto("/packages")
            expect(row(page, "bolts")).to_be_visible()
            expect(banner).to_have_count(0)
        expect(banner).to_be_visible()
        with page.expect_event("requestfailed"):
            page.get_by_label("Search").fill("bolts")
        expect(banner).to_be_visible()  # so what fails now does not fail silently
        with served(shop.root, int(first.url.rsplit(":", 1)[1].strip("/"))).running():
            expect(banner).to_have_count(0)
            expect(row(page, "bolts")).to_be_visible()
            page.goto("about:blank")


def test_a_page_whose_server_is_silent_says_so(shop: Site, browser: Browser) -> None:
    with opened(browser, shop.url, expected="^htmx:") as page:
        page.goto("/packages")
        banner = page.get_by_role("alert").filter(has_text="The page's server does not answer")
        page.route("**/server", lambda route: None)  # as with a cable that is out
        expect(banner).to_be_visible()
        page.unroute("**/server")
        expect(banner).to_have_count(0)


def test_a_reload_in_the_middle_of_an_operation_loses_nothing_of_it(shop: Site, browser: Browser) -> None:
    with opened(browser, shop.url, expected="404") as page:  # of an icon, which a style sheet names none of
        page.goto("/static/style.css")  # where nothing runs that would say that it is not watched, once it has ended
        begun = shop.post("/packages/bolts/load")
        page.evaluate("(id) => sessionStorage.setItem('tritonpm-watched', JSON.stringify([id]))", begun["id"])
        page.goto("/packages")
        expect(page.locator(".toast", has_text="Loaded bolts")).to_be_visible(timeout=120_000)


def test_the_page_of_a_package_shows_its_new_content(shop: Site, browser: Browser, tmp_path: Path) -> None:
    with opened(browser, shop.url) as page:
        page.goto("/packages/nuts")
        expect(page.locator("#asking").get_by_role("button", name="Run")).to_be_disabled()
        expect(page.locator("#stages-of")).to_contain_text("y")
        content = zipped(tmp_path / "in", scaled(3.0, result="length"), "nuts")
        shop.done(shop.upload(content, "/packages/nuts/upgrade"))
        expect(page.locator("#stages-of")).to_contain_text("length")
        expect(page.locator("#tensors-of")).to_contain_text("length")
        page.locator("nav.tabs").get_by_role("link", name="Activity").click()
        expect(page.locator("#activity tbody tr").filter(has_text="New version").first).to_contain_text("done")
        expect(page.locator("#stages-of")).to_be_hidden()
        page.go_back()
        expect(page.locator("#stages-of")).to_be_visible()
        shop.done(shop.post("/packages/nuts/load"))
        expect(page.locator("#asking").get_by_role("button", name="Run")).to_be_enabled()
        shop.done(shop.post("/packages/nuts/unload"))


def test_back_leads_to_a_list_that_works(shop: Site, browser: Browser) -> None:
    with opened(browser, shop.url) as page:
        page.goto("/packages")
        page.get_by_label("Search").fill("bolts")
        expect(row(page, "nuts")).to_have_count(0)
        page.get_by_role("columnheader", name="Package").get_by_role("link").click()
        expect(page.locator("th[aria-sort=descending]")).to_be_visible()
        page.get_by_label("Search").fill("")
        expect(row(page, "nuts")).to_be_visible()
        page.go_back()
        expect(row(page, "nuts")).to_have_count(0)
        expect(page.get_by_label("Search")).to_have_value("bolts")
        with page.expect_file_chooser():
            page.get_by_role("button", name="Import packages").click()


def test_messages_cover_nothing_that_is_pressed_and_the_bell_keeps_them(shop: Site, browser: Browser) -> None:
    """Nine refusals: the last three are shown, and each button of the list can be pressed."""
    with opened(browser, shop.url, viewport={"width": 1440, "height": 700}) as page:
        with page.expect_response("**/api/v1/operations"):
            page.goto("/packages")
        for _ in range(9):
            shop.refused(shop.post("/packages/bolts/rollback", {"revision": 99}))
        page.evaluate(
            """async () => { const { toast } = await import("/static/say.js");
            for (let number = 1; number < 10; number += 1) toast(`refused ${number}`, { kind: "failed" }); }"""
        )
        expect(page.locator(".toast p")).to_have_text(["refused 7", "refused 8", "refused 9"])
        covered = "(all) => all.filter((it) => { const b = it.getBoundingClientRect(); return !it.contains(document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2)); }).length"
        for width in (1440, 1024):
            page.set_viewport_size({"width": width, "height": 700})
            buttons = page.locator("td.actions > button")
            expect(buttons).to_have_count(2)
            assert buttons.evaluate_all(covered) == 0
        expect(page.locator("#bell .badge")).to_have_text("9")
        assert found_by_axe(page) == []
        page.locator("#bell summary").click()
        expect(page.locator("#bell li.failed").first).to_contain_text("bolts has no revision 99")
        expect(page.locator("#bell .badge")).to_be_hidden()


def test_stop_asks_first_and_names_who_uses_what(shop: Site, browser: Browser) -> None:
    assert shop.http.put(f"{API}/packages/bolts/projects/LINE-3", json={"ttl": 600}).is_success
    with opened(browser, shop.url) as page:
        page.goto("/packages")
        page.locator("#server").get_by_role("button", name="Stop").click()
        dialog = page.get_by_role("dialog", name="Stop Triton?")
        expect(dialog.locator("li", has_text="bolts")).to_contain_text("in use by LINE-3")
        dialog.get_by_role("button", name="Close").click()
        assert shop.get("/server")["state"] == "live"


def test_what_was_changed_between_revisions_is_said_first(shop: Site, browser: Browser, tmp_path: Path) -> None:
    shop.done(shop.upload(zipped(tmp_path / "1", scaled(21.5), "washers")))
    shop.done(shop.post("/packages/washers/load"))
    newer = zipped(tmp_path / "2", scaled(22.5), "washers")
    shop.done(shop.upload(newer, "/packages/washers/upgrade", changes='{"max_batch_size": 4}'))
    with opened(browser, shop.url) as page:
        page.goto("/packages/washers#versions")
        page.locator("#history-of").get_by_role("button", name="Compare").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("row", name="max_batch_size 8 4")).to_be_visible()
        expect(dialog.get_by_role("row", name="m.onnx")).to_be_visible()
    shop.done(shop.post("/packages/washers/unload"))


def test_a_wrong_file_is_refused_with_a_sentence(shop: Site) -> None:
    for arrays in ({"foo": np.zeros(3)}, {"image": np.zeros((1, 3, 9, 9), np.float32)}, {"image": np.float64(1)}, {}):
        stream = io.BytesIO()
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        answer = shop.http.post(f"{API}/packages/bolts/infer", content=stream.getvalue())
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:tritonpm:package")


def test_a_canary_is_marked_in_the_list(shop: Site, browser: Browser) -> None:
    shop.done(shop.post("/packages/bolts/canary", {"changes": {"max_batch_size": 2}}))
    with opened(browser, shop.url) as page:
        page.goto("/packages")
        expect(row(page, "bolts-canary").locator("th")).to_contain_text("canary of bolts")
        expect(row(page, "bolts").locator("th")).not_to_contain_text("canary")
    shop.done(shop.post("/packages/bolts/abort"))


def test_the_monitor_has_its_charts_first_and_a_table_that_sorts(shop: Site, browser: Browser) -> None:
    with opened(browser, shop.url, viewport={"width": 1440, "height": 900}, timezone_id="Asia/Tokyo") as page:
        page.goto("/monitor")
        table = page.locator("section[aria-labelledby=loads] table")
        expect(table.get_by_role("link", name="bolts", exact=True)).to_be_visible()
        expect(page.locator("#charts canvas").first).to_be_in_viewport()
        expect(page.locator("#legend").get_by_text("bolts", exact=True)).to_have_count(1)
        expect(page.locator("#charts .u-legend")).to_have_count(0)
        scroll = page.locator("section[aria-labelledby=loads] .scroll")
        assert scroll.evaluate("(it) => it.scrollWidth <= it.clientWidth")  # no column is cut
        page.get_by_role("button", name="p99").click()
        expect(table.locator("th[aria-sort=descending]")).to_contain_text("p99")
        page.get_by_role("button", name="Pause").click()
        moment, shown = page.locator("#now time").evaluate("(it) => [it.dateTime, it.textContent]")
        assert datetime.fromisoformat(moment).astimezone(ZoneInfo("Asia/Tokyo")).strftime("%H:%M:%S") in shown
