"""The three states on the page, before a real Triton: what is wanted, what was proved, and what closes a gap."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import found_by_axe, opened, too_wide
from tests.support.load import serving_answer
from tests.support.models import WIDTH, logarithm, scaled
from tests.support.networks import dense
from tests.support.packages import cascade
from tests.support.page import Site, zipped
from tests.support.workspaces import opened as opened_workspace
from tritonpm.operations.context import Context
from tritonpm.operations.optimize.jobs import list_jobs
from tritonpm.operations.set import change
from tritonpm.operations.show import show

pytestmark = pytest.mark.server
CHANGED = "Changed"
WATCHED = """() => {
  const look = () => { window.withheld ||= document.querySelector("[data-do=cancel]:disabled") !== null; };
  window.withheld = false;
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true });
}"""


def context(site: Site) -> Context:
    return opened_workspace(site.root)


def loaded(site: Site, folder: Path, model: bytes, name: str) -> None:
    site.done(site.upload(zipped(folder, model, name)))
    site.done(site.post(f"/packages/{name}/load"))


def row(page: Page, name: str) -> Locator:
    return page.locator(f"#package-{name}")


def test_what_is_wanted_and_not_proved_is_said_and_loaded(live: Site, browser: Browser, tmp_path: Path) -> None:
    loaded(live, tmp_path / "in", scaled(2.0), "wanted")
    with opened(browser, live.url) as page:
        page.goto("/packages")
        expect(row(page, "wanted").locator(".drift")).to_have_count(0)
        change(context(live), "wanted", {"max_batch_size": 4})
        expect(row(page, "wanted").locator(".drift summary")).to_have_text(CHANGED)
        row(page, "wanted").get_by_role("button", name="Load the change").click()
        expect(row(page, "wanted").locator(".drift")).to_have_count(0)
        assert show(context(live), "wanted").proved == 2
        page.goto("/packages/wanted")
        change(context(live), "wanted", {"max_batch_size": 2})
        expect(page.locator("#state .drift summary")).to_have_attribute("title", re.compile("since revision 2"))
        expect(page.locator("#state")).to_contain_text("proved: 2")
        page.locator("#state").get_by_role("button", name="Load the change").click()
        expect(page.locator("#state .drift")).to_have_count(0)
        expect(page.locator("#state")).to_contain_text("proved: 3")
    assert show(context(live), "wanted").drift == ""


def test_what_could_not_be_brought_in_says_why(live: Site, browser: Browser, tmp_path: Path) -> None:
    loaded(live, tmp_path / "in", scaled(3.5), "kept")
    live.refused(live.upload(zipped(tmp_path / "nan", logarithm(), "kept"), "/packages/kept/upgrade"))
    live.done(live.post("/packages/kept/unload"))
    live.done(live.upload(zipped(tmp_path / "again", logarithm(), "kept"), "/packages/kept/upgrade"))
    assert "NaN" in live.refused(live.post("/packages/kept/load"))["detail"]
    with opened(browser, live.url) as page:
        for path in ("/packages", "/packages/kept"):
            page.goto(path)
            expect(row(page, "kept").locator(".drift summary")).to_have_text(CHANGED)
            row(page, "kept").locator(".drift summary").click()
            expect(row(page, "kept").locator(".drift p")).to_contain_text("NaN")


def test_every_setting_is_shown_and_taken_back(live: Site, browser: Browser, tmp_path: Path) -> None:
    folder = cascade(tmp_path / "c", scaled(2.0, less=1.0, result="z1"), scaled(7.0, source="z1"), "steps")
    live.done(live.upload(Path(shutil.make_archive(str(folder), "zip", folder))))
    change(context(live), "steps", {"max_batch_size": 4}, stage="second")
    change(context(live), "steps", {"preferred_batch_sizes": [2, 4], "parameters": {"colour": "blue"}})
    with opened(browser, live.url) as page:
        page.goto("/packages/steps#config")
        chosen = page.locator("#settings-of table")
        expect(chosen.get_by_role("row", name="second max_batch_size 4")).to_be_visible()
        expect(chosen).to_contain_text("colour: blue")
        key = page.locator("#configs-of details[open] .code .key").first
        assert key.evaluate("(it) => getComputedStyle(it).display") == "inline"
        chosen.get_by_role("button", name="Unset max_batch_size second").click()
        expect(chosen).not_to_contain_text("second")
        chosen.get_by_role("button", name="Empty preferred_batch_sizes").click()
        expect(chosen).not_to_contain_text("preferred_batch_sizes")
        chosen.get_by_role("button", name="Unset parameters").click()
        expect(page.locator("#settings-of")).to_contain_text("All of them are what the package started with.")
        page.get_by_text("All settings").click()
        expect(page.locator("#settings-of dl")).to_contain_text("queue_delay_us")
    settings = show(context(live), "steps").settings
    assert (settings.stages, settings.preferred_batch_sizes, settings.parameters) == ({}, (), {})


def test_a_roll_back_begins_with_what_served_before(live: Site, browser: Browser, tmp_path: Path) -> None:
    loaded(live, tmp_path / "1", scaled(4.5), "back")
    live.done(live.upload(zipped(tmp_path / "2", scaled(5.5), "back"), "/packages/back/upgrade"))
    live.done(live.post("/packages/back/rollback"))
    live.done(live.upload(zipped(tmp_path / "3", scaled(6.5), "back"), "/packages/back/upgrade"))
    with opened(browser, live.url) as page:
        page.goto("/packages/back#versions")
        history = page.locator("#history-of tbody")
        expect(history.get_by_role("row", name=re.compile("^3 .*served last"))).to_be_visible()
        expect(history.get_by_role("row", name=re.compile("^1 .*step 1"))).to_be_visible()
        history.get_by_role("button", name="Roll back… 2").click()
        expect(page.locator("dialog").get_by_role("radio", checked=True)).to_have_value("2")
        page.locator("dialog").get_by_role("button", name="Close").click()
        page.locator("#state details.menu summary").click()
        page.get_by_role("button", name="Roll back…", exact=True).click()
        dialog = page.locator("dialog")
        expect(dialog.get_by_role("radio", checked=True)).to_have_count(1)
        expect(dialog.locator("label", has_text="served before")).to_contain_text("1 · ")
        dialog.get_by_role("button", name="Roll back").click()
        expect(history.get_by_role("row", name=re.compile("^1 .*served last"))).to_be_visible()
    assert serving_answer(context(live), "back") == 4.5
    assert show(context(live), "back").proved == 1


@pytest.mark.long
def test_precisions_are_measured_and_one_is_chosen(live: Site, browser: Browser, tmp_path: Path) -> None:
    model = dense(tmp_path / "model.onnx", layers=3, width=WIDTH).read_bytes()
    loaded(live, tmp_path / "in", model, "measured")
    before = show(context(live), "measured").settings
    with opened(browser, live.url) as page:
        page.goto("/packages/measured#performance")
        half = page.get_by_role("region", name="FP16")
        expect(half).to_contain_text("not measured")
        expect(half).to_contain_text("not made yet")
        page.get_by_role("button", name="Measure", exact=True).click()
        expect(page.locator("#state [data-do=cancel]")).to_be_enabled()
        page.evaluate(WATCHED)
        live.done(live.post("/packages/measured/load"))
        assert page.evaluate("window.withheld") is False  # what may take long can be cancelled, whatever else is done
        expect(page.locator(".toast", has_text="measured was measured.")).to_be_visible(timeout=240_000)
        expect(half).to_contain_text("inferences a second")
        expect(half).to_contain_text("requests in flight (95 %:")
        expect(half).to_contain_text("(cosine)")
        expect(page.get_by_role("region", name="FP32")).to_contain_text("The model as it came")
        unproved = page.get_by_role("region", name="INT8")
        expect(unproved).to_contain_text("nothing is proved")
        expect(unproved.get_by_role("button")).to_have_count(0)
        assert show(context(live), "measured").settings == before
        for width in (390, 1024, 1440):
            page.set_viewport_size({"width": width, "height": 844})
            assert too_wide(page) == [], width
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert (scheme, found_by_axe(page)) == (scheme, [])
        page.locator("#state details.menu summary").click()
        page.locator("#state").get_by_role("button", name="Configure…").click()
        said = page.locator("dialog").get_by_role("radio", name="FP16")
        expect(said).to_have_accessible_description(re.compile("requests in flight"))
        page.locator("dialog").get_by_role("button", name="Close").click()
        half.get_by_role("button", name="Apply, live FP16").click()
        expect(half).to_contain_text("chosen")
        expect(half.get_by_role("button")).to_have_count(0)
    assert show(context(live), "measured").settings.precision == "FP16"


def test_an_optimisation_that_fails_says_so_and_leaves_the_settings(
    live: Site, browser: Browser, tmp_path: Path
) -> None:
    model = dense(tmp_path / "model.onnx", layers=2, width=WIDTH).read_bytes()
    live.done(live.upload(zipped(tmp_path / "in", model, "proof")))
    change(context(live), "proof", {"tolerances": {"max_abs": 1e-12}})
    before = show(context(live), "proof").settings
    with opened(browser, live.url) as page:
        page.goto("/packages")
        row(page, "proof").get_by_role("button", name="Configure proof").click()
        dialog = page.locator("dialog")
        dialog.get_by_role("radio", name="FP16").check()
        expect(dialog.locator(".verdicts")).to_have_attribute("data-changes", re.compile("FP16"))
        dialog.get_by_role("button", name="Optimise", exact=True).click()
        failed = page.locator(".toast.failed")
        expect(failed).to_contain_text("proof was not optimised, and its settings are what they were")
        expect(row(page, "proof")).to_contain_text("FP32")
        page.goto("/packages/proof")
        expect(page.locator("#jobs-of tbody tr").first).to_contain_text("failed")
        expect(page.locator("#settings-of table")).not_to_contain_text("precision")
    assert show(context(live), "proof").settings == before
    assert list_jobs(context(live))[0].state == "failed"
