"""The README's pictures of the page: real packages on a real Triton, under a load. `script/screenshots` runs this."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize

from tests.support.browser import chromium, detecting, opened
from tests.support.workspaces import opened as opened_workspace
from tests.support.workspaces import publish
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.context import Context, open_context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.infer import infer
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.optimize.jobs import ensure
from tritonpm.operations.serve import serve
from tritonpm.operations.set import change_live
from tritonpm.operations.stop import stop
from tritonpm.operations.use import use
from tritonpm.web.running import Page as Served
from tritonpm.web.security import access

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
EXAMPLES = {"digits": 0.02, "digits-cascade": 0.05, "parts-inspection": 0.1}  # seconds between two requests, at first
MOST = 300_000  # bytes of a picture
WATCHED = 60.0  # seconds of load that the monitor shows
WINDOW: ViewportSize = {"width": 1440, "height": 780}
TALL: ViewportSize = {"width": 1440, "height": 900}


def filled(context: Context, folder: Path) -> None:
    """Packages in several states, used by projects."""
    for name in EXAMPLES:
        import_package(context, ROOT / "examples" / "packages" / f"{name}.zip")
        load(context, name)
    screws = detecting(folder / "screws", "screws-station-4")
    import_package(context, screws, changes={"optimizer": "openvino", "precision": "FP16"})
    ensure(context, "screws-station-4")
    publish(context, "screws-station-4")
    import_package(context, detecting(folder / "caps", "bottle-caps"))
    change_live(context, "digits-cascade", {"precision": "FP16", "optimizer": "openvino"})
    for name, project in (("digits", "LINE-3"), ("digits-cascade", "LINE-7"), ("parts-inspection", "LINE-3")):
        use(context, name, project, 3600)


@contextmanager
def asked(root: Path) -> Iterator[None]:
    """Clients that ask now more, now less."""
    stop = threading.Event()

    def ask(name: str, pause: float) -> None:
        with open_context(root) as context:
            while not stop.wait(pause * (1 + time.monotonic() % 20 / 10)):
                with suppress(TritonpmError):
                    infer(context, name, None, None)

    threads = [threading.Thread(target=ask, args=asking) for asking in EXAMPLES.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def taken(page: Page, name: str) -> None:
    """A picture of what the window shows. Raises ValueError where it is too large."""
    place = IMAGES / f"{name}.png"
    page.screenshot(path=place)
    size = place.stat().st_size
    if size > MOST:
        raise ValueError(f"{place} has {size} bytes, more than {MOST}")
    print(f"{place.relative_to(ROOT)}: {size // 1024} KiB")


def pictures(browser: Browser, url: str) -> None:
    """All of them."""
    with opened(browser, url, viewport=WINDOW, locale="en") as page:
        page.goto("/packages/parts-inspection")
        page.get_by_role("button", name="Run").click()
        page.locator("#try-answer canvas").first.wait_for()
        page.set_viewport_size(TALL)
        page.locator(".tabs").evaluate("(it) => it.scrollIntoView()")
        taken(page, "package")
        page.set_viewport_size(WINDOW)
        page.goto("/monitor")
        page.wait_for_timeout(WATCHED * 1000)
        taken(page, "monitor")
        page.goto("/packages")
        page.locator("#server .status").wait_for()
        taken(page, "packages")
        page.get_by_role("button", name="Configure digits-cascade").click()
        page.locator("dialog").wait_for()
        taken(page, "configure")
    with opened(browser, url, viewport=WINDOW, locale="zh-CN", color_scheme="dark") as page:
        page.goto("/packages")
        page.locator("#server .status").wait_for()
        taken(page, "packages-zh")


def main() -> None:
    """Make them anew."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tritonpm pictures ") as folder:
        root = Path(folder) / "workspace"
        init(root)
        context = opened_workspace(root)
        serve(context, None, detach=True, timeout=60, standard_ports=False)
        try:
            filled(context, Path(folder))
            page = Served(root, None, "127.0.0.1", 0, access("127.0.0.1"))
            with page.running(), asked(root), chromium() as browser:
                pictures(browser, page.url)
        finally:
            stop(context, 15)


if __name__ == "__main__":
    main()
