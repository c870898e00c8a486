"""What comes in by the page: imports with their refusals, new versions, what was changed; before a page without Triton."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import detecting, dragged, found_by_axe, opened, too_wide
from tests.support.models import scaled
from tests.support.page import API, Site, zipped

FOREIGN = Path(__file__).parents[1] / "convert" / "fixtures"


def row(page: Page, name: str) -> Locator:
    return page.locator(f"#package-{name}")


def found(page: Page, name: str) -> Locator:
    """What a file that came in holds, once it is shown."""
    form = page.locator("#uploads li", has_text=name).locator("form")
    expect(form).to_be_visible()
    return form


def test_what_a_file_holds_is_shown_and_named_before_it_is_imported(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    with opened(browser, site.url) as page:
        page.goto("/packages")
        page.set_input_files("#files", detecting(tmp_path / "plates", "plates"))
        form = found(page, "plates.zip")
        for said in (
            "object detection",
            "image FP32 [batch, 3, 8, 8]",
            "decode.kind boxes",
            "preprocess.resize stretch",
        ):
            expect(form).to_contain_text(said)
        assert site.http.get(f"{API}/packages/plates").status_code == 404
        page.reload()
        page.get_by_role("button", name="1 import", exact=True).click()
        form = found(page, "plates.zip")
        form.get_by_label("Name").fill("plates-left")
        form.get_by_label("Task").select_option("defect-segmentation")
        form.get_by_role("button", name="Import").click()
        expect(row(page, "plates-left")).to_contain_text("defect segmentation")
        expect(page.locator("#imports")).to_be_hidden()
        page.set_input_files("#files", [zipped(tmp_path / f"{n}", scaled(60.5 + n), f"part-{n}") for n in (1, 2)])
        for number in (1, 2):
            found(page, f"{number}.zip")
        page.get_by_role("button", name="Hide the imports").click()
        page.get_by_role("button", name="2 imports").click()
        handed: list[str] = []
        page.on("request", lambda request: handed.append(request.url) if request.url.endswith("/import") else None)
        page.get_by_role("button", name="Import all").evaluate("(it) => { it.click(); it.click(); }")
        for number in (1, 2):
            expect(row(page, f"part-{number}")).to_be_visible()
        assert len(handed) == 2
    assert site.get("/packages/plates-left")["stages_in_detail"][0]["task"] == "defect-segmentation"


def test_a_duplicate_is_renamed_put_in_its_place_or_opened(site: Site, browser: Browser, tmp_path: Path) -> None:
    site.done(site.upload(zipped(tmp_path / "1", scaled(1.5), "gears")))
    with opened(browser, site.url) as page:
        page.goto("/packages")
        page.set_input_files("#files", zipped(tmp_path / "2", scaled(2.5), "gears"))
        form = found(page, "2.zip")
        expect(form).to_contain_text("The name gears is taken.")
        expect(form.get_by_role("link", name="Open gears")).to_have_attribute("href", "/packages/gears")
        form.get_by_role("button", name="Replace as new version").click()
        expect(page.locator(".toast", has_text="Upgraded gears.")).to_be_visible()
        expect(page.locator("#uploads li")).to_have_count(0)
        third = zipped(tmp_path / "3", scaled(3.5), "gears")
        page.set_input_files("#files", third)
        form = found(page, "3.zip")
        expect(form.get_by_label("Name")).to_have_value("gears-2")
        form.get_by_label("Name").fill("gears")
        form.get_by_role("button", name="Import", exact=False).click()
        expect(form.get_by_role("alert")).to_contain_text("the name 'gears' is taken")
        form.get_by_label("Name").fill("gears-left")
        form.get_by_role("button", name="Import").click()
        expect(row(page, "gears-left")).to_be_visible()
        expect(page.locator("#uploads li")).to_have_count(0)
        page.set_input_files("#files", third)
        form = found(page, "3.zip")
        expect(form).to_contain_text("The same content is here already, as gears-left.")
        expect(form.get_by_role("link", name="Open gears-left")).to_be_visible()
        expect(form.get_by_role("button")).to_have_text(["Discard 3.zip"])
        with page.expect_response(lambda answer: answer.request.method == "DELETE"):
            form.get_by_role("button", name="Discard").click()
        expect(page.locator("#uploads li")).to_have_count(0)


def test_a_model_that_must_be_converted_or_trusted_says_so(site: Site, browser: Browser, tmp_path: Path) -> None:
    shutil.copy(FOREIGN / "net.tflite", tmp_path / "letters.tflite")
    with opened(browser, site.url, expected="status of 422") as page:
        page.goto("/packages")
        page.set_input_files("#files", tmp_path / "letters.tflite")
        form = found(page, "letters.tflite")
        expect(form).to_contain_text("This is a TensorFlow Lite model")
        form.get_by_role("button", name="Convert and import").click()
        expect(page.locator(".toast", has_text="Imported letters")).to_contain_text("verified against tflite")
        (tmp_path / "engine.plan").write_bytes(b"ftrt" + bytes(64))
        page.set_input_files("#files", tmp_path / "engine.plan")
        expect(page.locator("#uploads li.failed")).to_contain_text("engine.plan")
    held = site.upload(program(tmp_path / "net.pt2"), "/incoming/packages")
    assert (held["converts"], held["inspection"]) == ("torch-export", None)
    assert "is a PyTorch export, which is a program" in held["runs_code"]
    with_trust = site.get(f"/incoming/packages/{held['id']}", params={"allow_code": True})
    assert with_trust["runs_code"] == ""
    refused = site.refused(site.post(f"/incoming/packages/{held['id']}/import", {}))
    assert refused["type"] == "urn:tritonpm:unsafe"
    assert site.http.delete(f"{API}/incoming/packages/{held['id']}").status_code == 204
    assert site.http.get(f"{API}/incoming/packages/{held['id']}").status_code == 404


def program(path: Path) -> Path:
    """What is taken for a PyTorch export, by its name."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"")
    return path


def test_an_upload_is_called_off_and_not_left_unasked(site: Site, browser: Browser, tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    with large.open("wb") as file:
        file.truncate(40 << 20)
    with opened(browser, site.url) as page:
        page.goto("/packages")
        page.route("**/incoming/packages?filename=*", lambda route: None)  # it does not end by itself
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
        page.goto("/packages")
        row(page, "pins").locator("details.menu summary").click()
        row(page, "pins").get_by_role("button", name="New version…").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Run mode").select_option(label="Performance")
        chooser = dialog.get_by_label("Package or model file")
        expect(dialog.locator("label.file")).to_contain_text("Choose a file No file chosen")
        page.dispatch_event("label.file", "drop", {"dataTransfer": dragged(page, "fallen.zip", b"")})
        expect(dialog.locator("label.file")).to_contain_text("fallen.zip")
        expect(page.locator("#uploads li")).to_have_count(0)
        chooser.set_input_files(newer)
        expect(dialog.locator("label.file")).to_contain_text(newer.name)
        chooser.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        expect(chooser).to_be_focused()
        ring = dialog.locator("label.file .button").evaluate("(it) => getComputedStyle(it).outlineStyle")
        assert ring == "solid"
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
        for width, most in ((1440, 60), (1024, 110), (920, 110), (390, 110)):
            page.set_viewport_size({"width": width, "height": 800})
            assert too_wide(page) == [], width
            assert max(page.locator("tbody tr").evaluate_all(heights)) <= most, width
            assert row(page, "pins").evaluate("(it) => it.offsetHeight") <= (47 if width == 1440 else most), width
            assert row(page, "pins").locator("th a").evaluate(lines) == 1
        page.set_viewport_size({"width": 1440, "height": 800})
        for part in row(page, long).locator("th, td.memory, select").all():
            assert part.evaluate("(it) => it.scrollWidth <= it.clientWidth"), part
        names = page.locator("tbody button:visible").evaluate_all("(all) => all.map((it) => it.textContent.trim())")
        assert len(names) == len(set(names))


def test_many_are_done_at_once_and_one_is_not_done_twice(pins: Site, browser: Browser, tmp_path: Path) -> None:
    for number in (1, 2):
        pins.done(pins.upload(zipped(tmp_path / f"{number}", scaled(50.5 + number), f"several-{number}")))
    with opened(browser, pins.url) as page:
        page.goto("/packages?q=several")
        page.get_by_label("Select all on this page").check()
        group = page.get_by_role("group", name="Selected packages")
        expect(group).to_contain_text("2 selected")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/load") else None)
        group.get_by_role("button", name="Load", exact=True).click()
        expect(group).to_be_hidden()
        expect(page.locator(".toast.failed")).to_have_count(2)  # no Triton runs here
        expect(page.locator(".toast").first.get_by_role("button", name="Start Triton")).to_be_visible()
        expect(page.locator(".toast p").first).to_have_text("No server is running for this workspace")
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
        message.get_by_role("button", name="Choose it anyway").click()
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
        half = dialog.get_by_role("radio", name="FP16")
        expect(half).to_have_accessible_description(re.compile("About half the memory.*Not measured for this package"))
        expect(dialog).to_contain_text("The tensors of a full batch take 256 bytes.")
        slider = dialog.get_by_label("Rows that are joined")
        slider.focus()
        with page.expect_response("**/packages/rivets/configure"):
            slider.press("ArrowRight")
        expect(dialog.get_by_label("Batch size")).to_have_value("16")
        expect(dialog).to_contain_text("The tensors of a full batch take 512 bytes.")
        expect(slider).to_be_focused()
        dialog.get_by_text("Advanced").click()
        batch = dialog.get_by_label("Batch size")
        batch.fill("3")
        with page.expect_response("**/packages/rivets/configure"):
            batch.press("Tab")
        expect(dialog.locator(".verdicts")).to_have_attribute("data-changes", re.compile("max_batch_size"))
        expect(dialog.get_by_role("radio", name="FP32")).to_be_focused()
        expect(dialog.get_by_label("Optimizer")).to_be_visible()  # what was unfolded stays so


@pytest.mark.long
def test_the_panel_of_imports_fits_and_axe_finds_nothing_serious(pins: Site, browser: Browser, tmp_path: Path) -> None:
    taken = zipped(tmp_path / "taken", scaled(72.5), "pins")
    files = [detecting(tmp_path / "in", "panes"), taken, program(tmp_path / "net.pt2")]
    with opened(browser, pins.url) as page:
        page.goto("/packages")
        page.set_input_files("#files", files)
        expect(page.locator("#uploads form")).to_have_count(len(files))
        for width in (390, 1024, 1440):
            page.set_viewport_size({"width": width, "height": 844})
            assert too_wide(page) == [], width
            assert page.locator("#imports").evaluate("(it) => it.scrollWidth <= it.clientWidth"), width
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                assert (width, scheme, found_by_axe(page)) == (width, scheme, [])
        for left in range(len(files) - 1, -1, -1):
            page.get_by_role("button", name="Discard").first.click()
            expect(page.locator("#uploads form")).to_have_count(left)
        page.goto("about:blank")
