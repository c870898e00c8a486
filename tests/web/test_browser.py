"""The page in a real browser, before a real Triton: what a click says is asked of the page, the workspace and Triton."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.support.browser import (
    BOX,
    BRIGHT,
    detecting,
    drop,
    found_by_axe,
    image,
    opened,
    seeing,
    too_wide,
)
from tests.support.load import under_load
from tests.support.models import WIDTH, scaled
from tests.support.networks import dense
from tests.support.page import Site, zipped
from tests.support.workspaces import opened as opened_workspace
from tritonpm.core.tensors import save_npz
from tritonpm.meaning.draw import colour_of
from tritonpm.operations.context import Context
from tritonpm.operations.infer import infer
from tritonpm.operations.list import packages
from tritonpm.operations.server import connect, is_loaded
from tritonpm.operations.show import show
from tritonpm.operations.use import release, use
from tritonpm.triton.served_revision import serves
from tritonpm.web.language import NAMES
from tritonpm.web.pages.package import TABS

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def bolts(live: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A page with a detector that is loaded and was switched once."""
    live.done(live.upload(detecting(tmp_path_factory.mktemp("bolts") / "in")))
    live.done(live.post("/packages/bolts/load"))
    changed = live.http.patch("/api/v1/packages/bolts/settings", json={"changes": {"max_batch_size": 4}, "live": True})
    live.done(changed.json())
    return live


def context(site: Site) -> Context:
    return opened_workspace(site.root)


def config(site: Site, model: str) -> dict[str, object]:
    """What Triton itself says of a model."""
    with connect(context(site)) as client:
        return dict(client.raw.get_model_config(model))


def row(page: Page, name: str) -> Locator:
    return page.locator(f"#package-{name}")


def status(page: Page, name: str, said: str) -> None:
    """Wait until the package's row, or its page, says this of it."""
    expect(row(page, name).locator(".status").first).to_have_text(said)


def menu(page: Page, name: str, entry: str) -> Locator:
    """Choose something of a package's menu; the dialog."""
    row(page, name).locator("details.menu summary").click()
    row(page, name).get_by_role("button", name=entry, exact=True).click()
    return page.locator("dialog")


def toast(page: Page, said: str) -> Locator:
    """The message that says so."""
    message = page.locator(".toast", has_text=said).last
    expect(message).to_be_visible()
    return message


def test_a_package_comes_in_is_optimised_served_tried_and_goes(live: Site, browser: Browser, tmp_path: Path) -> None:
    with opened(browser, live.url) as page:
        page.goto("/packages")
        page.set_input_files("#files", detecting(tmp_path / "in", "screws"))
        page.locator("#uploads").get_by_role("button", name="Import").click()
        status(page, "screws", "Imported")
        assert show(context(live), "screws").status == "imported"

        dialog = menu(page, "screws", "Configure…")
        expect(row(page, "screws").locator("details.menu")).not_to_have_attribute("open", "")
        dialog.get_by_label("Batch size").fill("2")
        dialog.get_by_role("radio", name="FP16").check()
        expect(dialog.locator(".verdicts")).to_have_attribute("data-changes", re.compile("FP16"))
        dialog.get_by_role("button", name="Apply").click()
        toast(page, "screws was changed.")
        settings = show(context(live), "screws").settings
        assert (settings.precision, settings.max_batch_size) == ("FP16", 2)

        menu(page, "screws", "Optimise")
        status(page, "screws", "Ready")
        [made] = show(context(live), "screws").optimisations
        assert (made.state, made.precision) == ("verified", "FP16")

        row(page, "screws").get_by_role("button", name=re.compile("^Load ")).click()
        status(page, "screws", "Loaded")
        toast(page, "Loaded screws, revision 1")
        assert is_loaded(context(live), "screws")
        assert config(live, "screws")["backend"] == "openvino"

        dialog = menu(page, "screws", "Unregister…")
        expect(dialog).to_contain_text("It is loaded; unload it first.")
        expect(dialog.get_by_role("button", name="Unregister")).to_be_disabled()
        dialog.get_by_role("button", name="Close").click()
        row(page, "screws").get_by_role("button", name="Unload").click()
        status(page, "screws", "Ready")
        assert not is_loaded(context(live), "screws")

        use(context(live), "screws", "LINE-3", 60)
        dialog = menu(page, "screws", "Unregister…")
        expect(dialog).to_contain_text("It is in use by:")
        expect(dialog.locator("li")).to_have_text("LINE-3")
        expect(dialog.get_by_role("button", name="Unregister")).to_be_disabled()
        dialog.get_by_role("button", name="Close").click()
        release(context(live), "screws", "LINE-3")
        dialog = menu(page, "screws", "Unregister…")
        expect(dialog).to_contain_text("No project uses it.")
        dialog.get_by_role("button", name="Unregister").click()
        expect(row(page, "screws")).to_have_count(0)
        assert "screws" not in [view.name for view in packages(context(live).catalogue)]


def test_a_package_that_is_dropped_comes_in_and_a_bad_one_says_why(
    live: Site, browser: Browser, tmp_path: Path
) -> None:
    with opened(browser, live.url, expected="status of 422") as page:
        page.goto("/packages")
        drop(page, "dropped.zip", zipped(tmp_path / "in", scaled(5.0), "dropped").read_bytes())
        page.locator("#uploads").get_by_role("button", name="Import").click()
        status(page, "dropped", "Imported")
        assert show(context(live), "dropped").status == "imported"
        drop(page, "bad.zip", b"no archive")
        expect(page.locator("#uploads li.failed")).to_contain_text("bad.zip")
        assert "bad" not in [view.name for view in packages(context(live).catalogue)]


def test_an_answer_is_told_and_drawn(bolts: Site, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "bright.png").write_bytes(image(BRIGHT))
    with opened(browser, bolts.url) as page:
        page.goto("/packages/bolts")
        answer = page.locator("#try-answer")
        page.get_by_role("button", name="Run").click()
        expect(answer.locator("tbody tr").first).to_contain_text("nut")
        inference = infer(context(bolts), "bolts", None, None)
        assert "0.85" in next(tensor.values for tensor in inference.tensors if tensor.name == "scores")
        expect(answer.locator("tbody tr").first).to_contain_text("0.850")
        expect(answer.locator("canvas")).to_have_count(2)  # the sample's rows
        page.set_input_files("#try-form input[type=file]", tmp_path / "bright.png")
        page.get_by_role("button", name="Run").click()
        expect(answer.locator("tbody tr").first).to_contain_text("0.925")
        expect(answer.locator("tbody tr").first).to_contain_text("10.0, 5.0, 30.0, 10.0")  # BOX of 40 x 20 pixels
        canvas = answer.locator("canvas")
        expect(canvas).to_be_visible()
        left, top, right, bottom = BOX
        on, off = drawn(canvas, left, (top + bottom) / 2), drawn(canvas, 0.05, 0.9)
        assert off == [250, 250, 250]
        assert on == list(colour_of(1))
        assert drawn(canvas, right, (top + bottom) / 2) == on
        assert coloured(canvas, on, left + 0.02, top - 0.2, 0.2, 0.18) > 5  # the label above it


def test_a_detector_is_tried_by_its_meaning(live: Site, browser: Browser, tmp_path: Path) -> None:
    live.done(live.upload(seeing(tmp_path / "in")))
    live.done(live.post("/packages/quarters/load"))
    with opened(browser, live.url) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/infer" in request.url else None)
        page.goto("/packages/quarters")
        thumbnails = page.locator("[data-sample] img")
        expect(thumbnails).to_have_count(2)
        assert thumbnails.evaluate_all(
            "(all) => Promise.all(all.map((one) => one.decode().then(() => one.naturalWidth)))"
        )
        page.get_by_role("button", name="Sample 2").click()
        answer = page.locator("#try-answer")
        rows = answer.locator(".found tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text("red1.0000.0, 16.0, 16.0, 32.0")
        expect(rows.nth(1)).to_contain_text("green0.50216.0, 0.0, 32.0, 16.0")
        expect(answer.locator(".legend li")).to_have_text(["red", "green"])
        canvas = answer.locator("canvas")
        assert drawn(canvas, 0.25, 0.75) == [255, 0, 0]  # the sample itself is behind them
        assert drawn(canvas, 0.75, 0.01) == list(colour_of(1))
        answer.get_by_label("Score from").fill("0.6")
        expect(rows).to_have_count(1)
        expect(answer.locator(".legend li")).to_have_text(["red"])
        assert drawn(canvas, 0.75, 0.01) == [0, 128, 0]
        assert len(asked) == 1
        with page.expect_response(lambda answer: answer.url.endswith("/packages/quarters")):
            page.evaluate("htmx.trigger(document.body, 'packages-changed')")
        fits(page, "an answer")
        expect(rows).to_have_count(1)  # it stays when the page is drawn anew


def drawn(canvas: Locator, x: float, y: float) -> list[int]:
    """The colour of a point, given as shares of the canvas."""
    return list(
        canvas.evaluate(
            "(it, [x, y]) => [...it.getContext('2d').getImageData(x * it.width, y * it.height, 1, 1).data].slice(0, 3)",
            [x, y],
        )
    )


def coloured(canvas: Locator, colour: list[int], x: float, y: float, width: float, height: float) -> int:
    """How many pixels of a part of the canvas have a colour."""
    return int(
        canvas.evaluate(
            """(it, [colour, x, y, width, height]) => {
              const part = [x * it.width, y * it.height, width * it.width, height * it.height];
              const { data } = it.getContext("2d").getImageData(...part);
              return data.filter((_, i) => i % 4 === 0 && colour.every((value, at) => data[i + at] === value)).length;
            }""",
            [colour, x, y, width, height],
        )
    )


def test_what_a_client_uses_is_switched_only_when_that_is_said(live: Site, browser: Browser, tmp_path: Path) -> None:
    live.done(live.upload(zipped(tmp_path / "in", scaled(2.0), "busy")))
    live.done(live.post("/packages/busy/load"))
    with opened(browser, live.url) as page, under_load(context(live), "busy", clients=1) as seen:
        page.goto("/packages")
        row(page, "busy").get_by_label("Run mode: busy").select_option("performance")
        refused = toast(page, "busy is in use by clients that are not registered")
        assert show(context(live), "busy").settings.mode == "shared"
        assert show(context(live), "busy").revision == 1
        expect(row(page, "busy").get_by_label("Run mode: busy")).to_have_value("shared")
        refused.get_by_role("button", name="Switch it live").click()
        toast(page, "busy serves revision 2")
        expect(row(page, "busy").get_by_label("Run mode: busy")).to_have_value("performance")
        assert show(context(live), "busy").settings.mode == "performance"
    assert seen.failures == []
    assert set(seen.answers) == {2.0}
    with opened(browser, live.url) as page:
        page.goto("/packages/busy")
        dialog = menu(page, "busy", "Roll back…")
        dialog.get_by_role("radio", name=re.compile("^1 · ")).check()
        dialog.get_by_role("button", name="Roll back").click()
        toast(page, "busy serves revision 1")
        assert show(context(live), "busy").settings.mode == "shared"
        published = context(live).catalogue.revision("busy")
        assert published is not None
        with connect(context(live)) as client:
            assert serves(client, published)


def test_samples_for_int8_are_chosen_in_the_dialog(live: Site, browser: Browser, tmp_path: Path) -> None:
    model = dense(tmp_path / "model.onnx", layers=2, width=WIDTH).read_bytes()
    live.done(live.upload(zipped(tmp_path / "in", model, "eight")))
    for number in range(3):
        save_npz(tmp_path / f"{number}.npz", {"x": np.full((2, WIDTH), number, np.float32)})
    with opened(browser, live.url) as page:
        page.goto("/packages")
        dialog = menu(page, "eight", "Configure…")
        expect(dialog.get_by_label("Calibrated on")).to_have_count(0)
        dialog.get_by_role("radio", name="INT8").check()
        expect(dialog).to_contain_text("The package's own samples.")
        dialog.get_by_label("Calibrated on").set_input_files(sorted(tmp_path.glob("*.npz")))
        expect(dialog).to_contain_text("3 files.")
        expect(dialog.get_by_role("radio", name="INT8")).to_be_checked()
        dialog.get_by_text("Advanced").click()
        dialog.get_by_label("Residency").select_option("on-demand")
        dialog.get_by_label("Idle after (s)").fill("60")
        dialog.get_by_label("Idle after (s)").press("Tab")  # a field has changed when it is left
        expect(dialog.locator(".verdicts")).to_have_attribute("data-changes", re.compile("idle_seconds"))
        dialog.get_by_role("button", name="Apply").click()
        toast(page, "eight was changed.")
    settings = show(context(live), "eight").settings
    assert (settings.precision, len(settings.calibration)) == ("INT8", 3)
    assert (settings.residency, settings.idle_seconds) == ("on-demand", 60)


def test_moments_stay_in_the_reader_s_time_zone_when_a_part_is_drawn_anew(bolts: Site, browser: Browser) -> None:
    with opened(browser, bolts.url, locale="en", timezone_id="Asia/Shanghai") as page:
        page.goto("/packages/bolts#versions")
        times = page.locator("#history-of time")
        before = times.all_text_contents()
        changed = bolts.http.patch(
            "/api/v1/packages/bolts/settings", json={"changes": {"queue_delay_us": 7}, "live": True}
        )
        bolts.done(changed.json())
        expect(times).not_to_have_count(len(before))
        assert all("/" in moment for moment in times.all_text_contents()), times.all_text_contents()


def test_what_is_typed_while_the_form_is_judged_stays(bolts: Site, browser: Browser) -> None:
    held: list[Route] = []
    with opened(browser, bolts.url) as page:
        page.route(
            "**/configure",
            lambda route: route.continue_() if held or not route.request.post_data else held.append(route),
        )
        page.goto("/packages")
        dialog = menu(page, "bolts", "Configure…")
        with page.expect_request("**/configure"):
            dialog.get_by_role("radio", name="FP16").check()
        batch = dialog.get_by_role("spinbutton", name="Batch size")
        batch.fill("3")  # and not left: no field has changed yet
        held[0].continue_()
        verdicts = dialog.locator(".verdicts")
        expect(verdicts).to_have_attribute("data-changes", re.compile("max_batch_size"))
        expect(verdicts).to_have_attribute("data-changes", re.compile("FP16"))
        expect(batch).to_have_value("3")
        expect(batch).to_be_focused()


def test_a_canary_is_served_beside_and_given_up(bolts: Site, browser: Browser) -> None:
    with opened(browser, bolts.url) as page:
        page.goto("/packages")
        dialog = menu(page, "bolts", "New version…")
        dialog.get_by_role("button", name="Serve as a canary").click()
        expect(dialog.get_by_role("alert")).to_have_text("Choose a file, or change a setting.")
        dialog.get_by_label("Run mode").select_option(label="Performance")
        dialog.get_by_role("button", name="Serve as a canary").click()
        toast(page, "bolts-canary serves beside bolts")
        status(page, "bolts-canary", "Loaded")
        assert is_loaded(context(bolts), "bolts-canary")
        page.goto("/packages/bolts")
        page.get_by_label("Compare with").select_option(label="bolts-canary")
        page.get_by_role("button", name="Run").click()
        sides = page.locator("#try-answer .side")
        expect(sides.locator("h3")).to_have_text(["bolts", "bolts-canary"])
        expect(sides.nth(1).locator(".found tbody tr")).to_have_text(
            sides.nth(0).locator(".found tbody tr").all_text_contents()
        )
        page.goto("/packages/bolts#versions")
        beside = page.locator("#canary")
        expect(beside.get_by_role("row", name="mode shared performance")).to_be_visible()
        expect(beside.get_by_role("row", name="Failed since it was loaded 0 0")).to_be_visible()
        beside.get_by_role("button", name="Send the samples to both").click()
        page.evaluate("htmx.trigger(document.body, 'packages-changed')")  # something else happens meanwhile
        expect(beside).to_contain_text("Alike: 1 of 1.")
        fits(page, "a canary")
        page.goto("/packages")
        menu(page, "bolts", "New version…").get_by_role("button", name="Discard canary").click()
        toast(page, "Discarded the canary of bolts.")
        expect(row(page, "bolts-canary")).to_have_count(0)
        assert not is_loaded(context(bolts), "bolts-canary")
        assert is_loaded(context(bolts), "bolts")


def test_the_monitor_shows_what_is_measured(bolts: Site, browser: Browser) -> None:
    with opened(browser, bolts.url) as page:
        page.goto("/monitor")
        loads = page.locator("section[aria-labelledby=loads]")
        expect(loads.get_by_role("row", name="bolts").first).to_be_visible()
        expect(page.locator("section[aria-labelledby=gpus]")).to_contain_text("no NVIDIA driver found")
        asked = context(bolts)
        for _ in range(3):
            infer(asked, "bolts", None, None)
        figure = page.locator("figure[data-figure=p99_us]")
        expect(figure.locator("canvas")).to_be_visible()
        figure.locator("summary").click()
        expect(figure.get_by_role("columnheader", name="bolts", exact=True)).to_be_visible()
        expect(figure.locator("tbody tr").first).not_to_have_text("")
        pause = page.get_by_role("button", name="Pause")
        pause.click()
        expect(pause).to_have_attribute("aria-pressed", "true")
        measured = page.locator("#now time").inner_text()
        last = bolts.get("/monitor")[0]["number"]
        while bolts.get("/monitor")[0]["number"] < last + 2:
            page.wait_for_timeout(200)
        assert page.locator("#now time").inner_text() == measured
        pause.click()
        expect(page.locator("#now time")).not_to_have_text(measured)


DIALOGS = ("configure", "newer", "rename", "back", "remove", "/server/stop")


@pytest.mark.parametrize(
    "code", [code if code == "en" else pytest.param(code, marks=pytest.mark.long) for code in NAMES]
)
def test_pages_fit_and_axe_finds_nothing_serious(bolts: Site, browser: Browser, code: str) -> None:
    with opened(browser, bolts.url, locale=code) as page:
        for path in ("/packages", "/packages/bolts", "/monitor"):
            page.goto(path)
            assert page.locator("html").get_attribute("lang") == code
            expect(page.locator("main table").first).to_be_visible()
            if path == "/monitor":
                expect(page.locator("figure canvas").first).to_be_visible()
            fits(page, path)
        for path in (*(f"/packages/bolts#{tab}" for tab in TABS), "/jobs", "/projects", "/triton", "/logs", "/api"):
            page.goto(path)
            expect(page.locator("h1")).to_be_visible()
            fits(page, path)
        page.goto("/packages")
        for dialog in DIALOGS:
            page.evaluate(
                "(path) => htmx.ajax('GET', path, '#dialog-content')",
                dialog if dialog.startswith("/") else f"/packages/bolts/{dialog}",
            )
            expect(page.locator("dialog #dialog-title")).to_be_visible()
            fits(page, dialog)
            page.locator("#dialog-content").evaluate("(it) => it.replaceChildren()")


def fits(page: Page, what: str) -> None:
    """Nothing is wider than the window of a telephone, a tablet and a desktop; light and dark can be read."""
    for width in (390, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 844})
        assert (what, width, too_wide(page)) == (what, width, [])
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert (what, scheme, found_by_axe(page)) == (what, scheme, [])
