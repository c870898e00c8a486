"""What comes in by the page: imports with their refusals, new versions, what was changed; before a page without Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import DEADLINE, chromium, opened
from tests.support.models import scaled
from tests.support.page import API, Site, zipped

expect.set_options(timeout=DEADLINE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


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
