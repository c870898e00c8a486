"""What the browser's tests need: Debian's Chromium, a detector to try, and axe-core."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from playwright.sync_api import Browser, JSHandle, Page, sync_playwright

from tests.support.models import quadrants
from tritonpm.core.tensors import save_npz

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
DEADLINE = 30_000  # milliseconds, for what a click leads to
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text("utf-8")
WORST = ("serious", "critical")
BRIGHT = 250
BOX = (0.25, 0.25, 0.75, 0.5)  # of the detector's first answer to a picture as bright as that, as shares of the image


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, *, expected: str = "", **options: Any) -> Iterator[Page]:
    """A page in a context of its own; what its scripts complain of fails the test, but for what a pattern `expected`."""
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(DEADLINE)
    wrong: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    try:
        yield page
        surprising = [one for one in wrong if not (expected and re.search(expected, one))]
        assert surprising == [], surprising
    finally:
        context.close()


def found_by_axe(page: Page) -> list[Any]:
    """What axe-core calls serious or critical: (rule, what it is, where)."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    told = page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)")
    return [
        (each["id"], each["help"], [node["target"] for node in each["nodes"]][:5])
        for each in told
        if each["impact"] in WORST
    ]


def too_wide(page: Page) -> list[str]:
    """Which of the page and its dialog hold more than they are wide."""
    script = "(names) => names.filter((name) => { const it = document.querySelector(name); return it.scrollWidth > it.clientWidth; })"
    return list(page.evaluate(script, ["html", "main", "dialog"]))


def dragged(page: Page, name: str, content: bytes) -> JSHandle:
    """A file in a hand over the page."""
    return page.evaluate_handle(
        """([name, content]) => {
          const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name));
          return transfer;
        }""",
        [name, base64.b64encode(content).decode()],
    )


def drop(page: Page, name: str, content: bytes) -> None:
    """Drop a file onto the page, as a hand would."""
    transfer = dragged(page, name, content)
    page.dispatch_event("main", "dragenter", {"dataTransfer": transfer})
    page.locator("#drop").wait_for(state="visible")
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def detector() -> bytes:
    """A model that finds a nut, in bright images more surely, and in those of BRIGHT at BOX: of [batch, 3, 8, 8]."""
    drift = 0.008  # pixels of a corner for each step of brightness: answers must differ, or a proof could not tell
    constants = {
        "drift": np.full(1, drift, np.float32),
        "surer": np.full(1, 0.0005, np.float32),
        "corners": np.array([[[*(8 * np.array(BOX))], [0, 0, 1, 1]]], np.float32) - np.float32(BRIGHT * drift),
        "sure": np.array([[[0.1, 0.8], [0.1, 0.1]]], np.float32),
        "rank": np.array([-1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "rank"], ["bright"]),
        helper.make_node("Mul", ["bright", "drift"], ["moved"]),
        helper.make_node("Mul", ["bright", "surer"], ["more"]),
        helper.make_node("Add", ["moved", "corners"], ["boxes"]),
        helper.make_node("Add", ["more", "sure"], ["scores"]),
    ]

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(
        nodes, "g", [value("image", 3, 8, 8)], [value("boxes", 2, 4), value("scores", 2, 2)], weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def detecting(folder: Path, name: str = "bolts") -> Path:
    """A package of that detector, with labels and a sample, as a .zip."""
    folder.mkdir()
    meaning = "preprocess: {resize: stretch, size: [8, 8]}, decode: {kind: boxes}"
    known = f"task: object-detection, labels: [bolt, nut], {meaning}"
    stage = f"{{name: detect, model: m.onnx, samples: [{{inputs: i.npz}}], {known}}}"
    (folder / "package.yaml").write_text(f'schema: 1\nname: {name}\nversion: "1"\nstages: [{stage}]\n')
    (folder / "m.onnx").write_bytes(detector())
    (folder / "note.txt").write_text(f"the content of {name} alone")
    save_npz(folder / "i.npz", {"image": np.full((2, 3, 8, 8), [[[[100]]], [[[200]]]], np.float32)})
    return Path(shutil.make_archive(str(folder), "zip", folder))


def seeing(folder: Path) -> Path:
    """A package of YOLOv8's head, which says itself what it means, with a black sample and one of two quarters."""
    folder.mkdir()
    samples = "[{inputs: black.npz}, {inputs: two.npz}]"
    stage = f"{{name: s, model: m.onnx, samples: {samples}}}"
    (folder / "package.yaml").write_text(f'schema: 1\nname: quarters\nversion: "1"\nstages: [{stage}]\n')
    (folder / "m.onnx").write_bytes(quadrants())
    two = np.zeros((1, 3, 32, 32), np.float32)
    save_npz(folder / "black.npz", {"images": two})
    two[0, 0, 16:, :16], two[0, 1, :16, 16:] = 1.0, 128 / 255
    save_npz(folder / "two.npz", {"images": two})
    return Path(shutil.make_archive(str(folder), "zip", folder))


def image(value: int) -> bytes:
    """A grey picture of 40 by 20 pixels as .png."""
    stream = io.BytesIO()
    Image.new("RGB", (40, 20), (value, value, value)).save(stream, "png")
    return stream.getvalue()
