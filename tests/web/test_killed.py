"""A Triton that is killed under the page: the header and the list say so by themselves, and Start brings it back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import DEADLINE, chromium, opened
from tests.support.models import scaled
from tests.support.page import Site, Start, zipped
from tests.support.waiting import until
from tests.support.workspaces import opened as opened_workspace
from tritonpm.catalogue import Listing, find
from tritonpm.operations.init import init
from tritonpm.operations.list import NO_SERVER, packages
from tritonpm.operations.serve import serve
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop
from tritonpm.triton.server import Server, restarts, running, supervised
from tritonpm.web.site import Site as PageSite
from tritonpm.web.site import Watcher

pytestmark = pytest.mark.server
expect.set_options(timeout=DEADLINE)


@pytest.fixture
def site(start: Start, tmp_path: Path) -> Iterator[Site]:
    """A page with a package, and no Triton yet."""
    site = start()
    site.done(site.upload(zipped(tmp_path / "in", scaled(2.0), "p")))
    yield site
    stop(opened_workspace(site.root), 30)


def server(site: Site) -> Server:
    """The workspace's own server, which must run."""
    own = running(find(site.root).server)
    assert own is not None
    return own


def kill(site: Site) -> None:
    """As the kernel does where memory ends: nobody records it."""
    os.kill(server(site).pid, signal.SIGKILL)
    until(lambda: running(find(site.root).server) is None)


def marked(site: Site) -> list[str]:
    """What the monitor has seen of the server."""
    return [mark["kind"] for mark in site.get("/monitor/history")["marks"] if not mark["package"]]


def test_the_page_says_that_triton_is_gone_and_starts_it(site: Site) -> None:
    """The server was started detached by a program: nobody supervises it."""
    serve(opened_workspace(site.root), None, detach=True, timeout=60, standard_ports=False)
    site.done(site.post("/packages/p/load"))
    with chromium() as browser, opened(browser, site.url) as page:
        page.goto("/packages")
        header, status = page.locator("#server .status"), page.locator("#package-p .status").first
        expect(header).to_contain_text("Triton 2")
        expect(status).to_have_text("Loaded")
        os.kill(server(site).pid, signal.SIGSTOP)
        expect(header).to_have_text("Triton does not answer")
        header.click()  # which leads to the server's page
        expect(page.locator(".problem")).to_have_text("Triton does not answer")
        page.go_back()
        expect(header).to_have_text("Triton does not answer")
        os.kill(server(site).pid, signal.SIGCONT)
        expect(header).to_contain_text("Triton 2")
        kill(site)
        expect(header).to_have_text("Triton does not run")
        expect(status).to_have_text("Ready")
        page.goto("/monitor")
        happened = page.locator("#marks li")
        expect(happened.filter(has_text="Triton has ended by itself")).to_have_count(1)
        expect(happened.filter(has_text="p was loaded")).to_have_count(1)
        for period in ("1 h", "24 h"):
            page.get_by_role("button", name=period).click()
            expect(page.get_by_role("button", name=period)).to_have_attribute("aria-pressed", "true")
            expect(happened.filter(has_text="Triton has ended by itself")).to_have_count(1)
            expect(page.locator("#measured")).to_contain_text("when the page was started")
        page.goto("/packages")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(header).to_contain_text("Triton 2")
        expect(status).to_have_text("Loaded")
        expect(page.locator(".toast", has_text="is live")).to_be_visible()
        stop(opened_workspace(site.root), 30)  # by hand, as `tritonpm stop`
        expect(header).to_have_text("Triton does not run")
        expect(status).to_have_text("Ready")


def test_what_a_killed_server_had_loaded_is_not_loaded(site: Site) -> None:
    serve(opened_workspace(site.root), None, detach=True, timeout=60, standard_ports=False)
    site.done(site.post("/packages/p/load"))
    kill(site)
    [view] = packages(Listing.open(find(site.root)))
    assert (view.status, view.reason) == ("ready", NO_SERVER)
    detailed = show(opened_workspace(site.root), "p")
    assert (detailed.status, detailed.reason) == ("ready", NO_SERVER)
    assert site.get("/server")["state"] == "stopped"
    assert opened_workspace(site.root).catalogue.get("p").wanted  # so it comes back with the next server


@pytest.mark.long
def test_start_is_well_where_the_supervisor_is_quicker(site: Site) -> None:
    site.done(site.post("/server/start"))
    site.done(site.post("/packages/p/load"))
    until(lambda: supervised(find(site.root).server))
    until(lambda: "start" in marked(site))
    for _ in range(2):
        before = server(site)
        os.kill(before.pid, signal.SIGKILL)
        assert "is live" in site.done(site.post("/server/start"))
        assert server(site).pid != before.pid
        until(lambda: site.get("/packages/p")["status"] == "loaded")
    assert supervised(find(site.root).server)
    if again := restarts(find(site.root).server):  # where its supervisor was quicker
        assert f"{again.count} restart" in site.http.get("/server").text
        assert "Triton has ended by itself and was restarted" in site.http.get("/triton").text
    until(lambda: "crash" in marked(site))
    assert "stop" not in marked(site)
    assert site.done(site.post("/server/stop")) == "Stopped."
    until(lambda: not supervised(find(site.root).server))
    assert "Triton does not run" in site.http.get("/server").text


def test_who_begins_to_listen_is_told_how_triton_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have started and ended while nobody listened, after the page was drawn: then all is as it was before."""
    init(tmp_path)
    page, events = PageSite(tmp_path, None), list[str]()
    monkeypatch.setattr(page.hub, "publish", lambda kind, data: events.append(kind))
    with page.ring:
        until(page.ring.snapshots)
        watcher = Watcher(page)
        watcher.look(anew=False)
        assert events == []
        watcher.look(anew=True)
        watcher.close()
    assert events == ["server", "packages"]
