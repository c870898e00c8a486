"""What a role does not cover is disabled and says why, and who did what is shown; in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import found_by_axe, too_wide
from tests.support.browser import opened as shown
from tests.support.models import scaled
from tests.support.page import API, Site, Start, zipped
from tests.support.workspaces import opened
from tritonpm.core.roles import Role
from tritonpm.operations.token import add


@pytest.fixture(scope="module")
def shop(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = start()
    site.done(site.upload(zipped(tmp_path_factory.mktemp("in") / "bolts", scaled(2.0), "bolts")))
    return site


@pytest.fixture(scope="module")
def tokens(shop: Site) -> dict[Role, str]:
    return {role: add(opened(shop.root), f"a-{role.value}", role) for role in Role}


@contextmanager
def seen_by(browser: Browser, shop: Site, token: str, **options: object) -> Iterator[Page]:
    with shown(browser, shop.url, http_credentials={"username": "x", "password": token}, **options) as page:
        yield page


def test_who_only_looks_presses_nothing_and_is_told_why(shop: Site, tokens: dict[Role, str], browser: Browser) -> None:
    why = "Your role (view) does not allow this; it needs {}."
    with seen_by(browser, shop, tokens[Role.VIEW]) as page:
        page.goto("/packages")
        expect(page.locator(".who")).to_have_text("a-view view")
        importing, loading = page.locator("#choose"), page.locator("[data-do=load]").first
        expect(importing).to_be_disabled()
        assert importing.get_attribute("title") == why.format("administer")
        expect(loading).to_be_disabled()
        assert loading.get_attribute("title") == why.format("operate")
        expect(page.locator("[data-set=mode]")).to_be_disabled()
        page.get_by_label("More for bolts").click()
        expect(page.get_by_role("button", name="Unregister…")).to_be_disabled()
        expect(page.locator(".menu [aria-disabled=true]", has_text="Export")).to_have_count(1)
        page.get_by_label("More for bolts").click()
        page.evaluate(
            "document.querySelector('[data-do=load]').disabled = false"
        )  # as a script does that knows no roles
        expect(loading).to_be_disabled()
        page.evaluate("document.body.dispatchEvent(new Event('packages-changed'))")
        page.locator("td.batch button").click()
        expect(page.get_by_role("dialog").locator("button.primary")).to_be_disabled()


def test_who_operates_loads_and_does_not_bring_in(shop: Site, tokens: dict[Role, str], browser: Browser) -> None:
    with seen_by(browser, shop, tokens[Role.OPERATE]) as page:
        page.goto("/packages")
        expect(page.locator("#choose")).to_be_disabled()
        page.locator("[data-do=load]").first.click()
        expect(page.locator(".toast.failed")).to_contain_text("No server is running for this workspace")
        page.locator("#bell summary").click()
        expect(page.locator("#bell li.failed").first).to_contain_text("a-operate")
        page.get_by_role("link", name="All activity").click()
        newest = page.locator("#state tbody tr").first
        for text in ("a-operate", "127.0.0.1", "Load", "bolts", "failed"):
            expect(newest).to_contain_text(text)
        page.get_by_label("Who").fill("nobody")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("Nothing has been done yet.")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_everybody_can_read_what_was_done(shop: Site, tokens: dict[Role, str], browser: Browser, width: int) -> None:
    size = {"width": width, "height": 800}
    with seen_by(browser, shop, tokens[Role.ADMINISTER], viewport=size, color_scheme="dark", locale="vi") as page:
        page.goto("/activity")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert (found_by_axe(page), too_wide(page)) == ([], [])
        page.goto("/packages/bolts#activity")
        expect(page.locator("#activity tbody tr").first).to_be_visible()
        assert (found_by_axe(page), too_wide(page)) == ([], [])


def test_what_is_done_appears_by_itself(shop: Site, tokens: dict[Role, str], browser: Browser) -> None:
    with seen_by(browser, shop, tokens[Role.VIEW]) as page:
        page.goto("/packages/bolts#activity")
        authorised = {"authorization": f"Bearer {tokens[Role.OPERATE]}"}
        body = {"changes": {"priority": 2}}
        assert shop.http.patch(f"{API}/packages/bolts/settings", json=body, headers=authorised).is_success
        expect(page.locator("#activity tbody tr").first).to_contain_text("priority=2")
