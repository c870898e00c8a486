"""What comes in by the page: imports with their refusals, new versions, what was changed; before a page without Triton."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import opened, too_wide
from tests.support.models import scaled
from tests.support.page import API, Site, zipped


def row(page: Page, name: str) -> Locator:
    return page.locator(f"#package-{name}")


def test_a_duplicate_is_renamed_put_in_its_place_or_opened(site: Site, browser: Browser, tmp_path: Path) -> None:
    site.done(site.upload(zipped(tmp_path / "1", scaled(1.5), "gears")))
    other = zipped(tmp_path / "2", scaled(2.5), "gears")
    with opened(browser, site.url) as page:
        page.goto("/packages")
        for _ in range(2):
            page.set_input_files("#files", other)
        expect(page.locator("#uploads li.failed")).to_have_count(2)
        first = page.locator("#uploads li.failed").first
        expect(first).to_contain_text("the name 'gears' is taken")
        expect(first.get_by_role("link", name="Open gears")).to_have_attribute("href", "/packages/gears")
        first.get_by_role("button", name="Replace as new version").click()
        expect(page.locator("#uploads li.failed")).to_have_count(1)
        expect(page.locator(".toast", has_text="Upgraded gears.")).to_be_visible()
        third = zipped(tmp_path / "3", scaled(3.5), "gears")
        page.locator("#uploads").get_by_role("button", name="Close this message").click()
        page.set_input_files("#files", third)
        page.get_by_role("button", name="Rename…").click()
        page.get_by_label("New name").fill("gears-left")
        page.get_by_role("button", name="Import", exact=True).click()
        expect(row(page, "gears-left")).to_be_visible()
        expect(page.locator("#uploads li")).to_have_count(0)
        page.set_input_files("#files", third)
        page.get_by_role("button", name="Rename…").click()
        page.get_by_label("New name").fill("gears-right")
        page.get_by_role("button", name="Import", exact=True).click()
        same = page.locator("#uploads li.failed")
        expect(same.get_by_role("link", name="Open gears-left")).to_be_visible()
        expect(same.get_by_role("button", name="Rename…")).to_have_count(0)


def test_an_upload_is_called_off_and_not_left_unasked(site: Site, browser: Browser, tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    with large.open("wb") as file:
        file.truncate(40 << 20)
    with opened(browser, site.url) as page:
        page.goto("/packages")
        page.route("**/packages?filename=*", lambda route: None)  # it does not end by itself
        page.set_input_files("#files", large)
        page.locator("main h1").click()  # a page that nobody has touched may not ask
        asked: list[str] = []
        page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
        page.get_by_role("link", name="Monitor").click()
        expect(page.locator("#uploads li")).to_have_count(1)
        assert asked == ["beforeunload"]
        page.get_by_role("button", name="Cancel: large.zip").click()
        expect(page.locator("#uploads li")).to_have_count(0)


@pytest.fixture(scope="module")
def pins(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site.done(site.upload(zipped(tmp_path_factory.mktemp("pins") / "in", scaled(11.5), "pins")))
    return site


def test_a_new_version_keeps_what_was_chosen_for_it(pins: Site, browser: Browser, tmp_path: Path) -> None:
    newer = zipped(tmp_path / "in", scaled(12.5), "pins")
    with opened(browser, pins.url) as page:
        page.goto("/packages/pins")
        page.locator("#state details.menu summary").click()
        page.get_by_role("button", name="New version…").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Run mode").select_option(label="Performance")
        dialog.get_by_label("Package or model file").set_input_files(newer)
        dialog.get_by_role("button", name="Put in its place").click()
        expect(page.locator(".toast", has_text="Upgraded pins.")).to_be_visible()
    assert pins.get("/packages/pins")["mode"] == "performance"
    wrong = {"filename": "pins.zip", "changes": "[1]"}
    assert pins.http.post(f"{API}/packages/pins/upgrade", params=wrong, content=b"x").status_code == 400


def test_the_list_fits_every_window(pins: Site, browser: Browser, tmp_path: Path) -> None:
    long = "screws-inspection-line-3-station-7-left-camera"
    pins.done(pins.upload(zipped(tmp_path / "in", scaled(41.5), long)))
    lines = "(it) => new Set([...it.getClientRects()].map((part) => part.top)).size"
    heights = "(rows) => rows.map((row) => row.getBoundingClientRect().height)"
    with opened(browser, pins.url) as page:
        page.goto("/packages")
        for width, most in ((1440, 47), (1024, 110), (920, 110), (390, 110)):
            page.set_viewport_size({"width": width, "height": 800})
            assert too_wide(page) == [], width
            assert max(page.locator("tbody tr").evaluate_all(heights)) <= most, width
            assert row(page, long).locator("th a").evaluate(lines) == 1
        names = page.locator("tbody button:visible").evaluate_all("(all) => all.map((it) => it.textContent.trim())")
        assert len(names) == len(set(names))


def test_many_are_done_at_once_and_one_is_not_done_twice(pins: Site, browser: Browser, tmp_path: Path) -> None:
    for number in (1, 2):
        pins.done(pins.upload(zipped(tmp_path / f"{number}", scaled(50.5 + number), f"several-{number}")))
    with opened(browser, pins.url) as page:
        page.goto("/packages?q=several")
        page.get_by_label("Select all on this page").check()
        group = page.get_by_role("group", name="Selected packages")
        expect(group).to_contain_text("Selected: 2")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/load") else None)
        group.get_by_role("button", name="Load", exact=True).click()
        expect(group).to_be_hidden()
        expect(page.locator(".toast.failed")).to_have_count(2)  # no Triton runs here
        expect(page.locator(".toast").first.get_by_role("button", name="Start Triton")).to_be_visible()
        assert len(asked) == 2
        row(page, "several-1").get_by_role("button", name="Load several-1").dblclick()
        expect(page.locator(".toast.failed")).to_have_count(3)
        assert len(asked) == 3
        page.get_by_label("Select all on this page").check()
        group.get_by_role("button", name="Unregister…").click()
        page.get_by_role("dialog").get_by_role("button", name="Unregister").click()
        expect(page.locator("tbody tr")).to_have_count(0)


def test_the_api_says_where_to_look_and_refuses_what_it_does_not_know(pins: Site) -> None:
    begun = pins.http.post(f"{API}/packages/pins/load")
    assert begun.headers["location"] == f"{API}/operations/{begun.json()['id']}"
    assert pins.http.get(begun.headers["location"]).json()["kind"] == "load"
    assert pins.http.get(f"{API}/packages", params={"sort": "foo"}).status_code == 422
    assert pins.http.get(f"{API}/packages", params={"status": "foo"}).status_code == 422
    jobs = pins.http.get(f"{API}/jobs", params={"page": 2, "size": 1})
    assert (jobs.json(), jobs.headers["x-total-count"]) == ([], "0")
    found = pins.get("/packages", params={"q": "OTHER", "size": 1})
    assert found["total"] == found["counts"]["type"]["other"]


def test_what_this_machine_lacks_is_marked_and_asked_about(pins: Site, browser: Browser) -> None:
    with opened(browser, pins.url) as page:
        page.goto("/packages")
        hardware = row(page, "pins").get_by_label("Hardware: pins")
        hardware.select_option(label="GPU (default) (no GPU here)")
        message = page.locator(".toast", has_text="pins: this machine has no GPU")
        expect(hardware).to_have_value("cpu")
        message.get_by_role("button", name="Choose it all the same").click()
        expect(page.locator(".toast", has_text="pins was changed.")).to_be_visible()
    assert pins.get("/packages/pins")["device"] == "gpu"


def test_configure_keeps_the_focus_and_its_buttons_in_sight(pins: Site, browser: Browser, tmp_path: Path) -> None:
    pins.done(pins.upload(zipped(tmp_path / "in", scaled(71.5), "rivets")))
    with opened(browser, pins.url, viewport={"width": 1024, "height": 600}) as page:
        page.goto("/packages")
        row(page, "rivets").get_by_role("button", name="Configure rivets").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("button", name="Apply")).to_be_in_viewport()
        expect(dialog).to_contain_text("shared mode runs one instance")
        expect(dialog).not_to_contain_text("not 2")
        expect(dialog.get_by_label("Precision")).to_have_accessible_description(re.compile("FP16 takes about half"))
        batch = dialog.get_by_label("Batch size")
        batch.fill("3")
        with page.expect_response("**/packages/rivets/configure"):
            batch.press("Tab")
        expect(dialog.locator(".verdicts")).to_have_attribute("data-changes", re.compile("max_batch_size"))
        expect(dialog.get_by_label("Precision")).to_be_focused()
