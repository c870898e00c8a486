"""The cases against another Triton release (`script/conformance --target R`): its own runtime wheels, in an environment of
their own, that has all else from this one.

For each case: what lint foretells of the model as it came, whether the release's runtime loads it, and, where it is too
new, whether the one that was made older answers as ONNX expects there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.conformance import harness, onnx_cases
from tritonpm.convert.lower import OLDEST_OPSET, NotLowerableError, NotRaisableError, chance
from tritonpm.convert.lower_proof import made, reference
from tritonpm.convert.running import NotRunnableError
from tritonpm.core.releases import Release, release
from tritonpm.core.tensors import compare
from tritonpm.core.types import Needs
from tritonpm.repository.lint import lint_model

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/conformance.md"
START, END = "<!-- targets -->", "<!-- /targets -->"
_STEPS = 2.0**-6  # two of bfloat16's: who adds up in floats rounds otherwise than ONNX, which adds up in halves
_OWN = ("onnxruntime", "openvino")
_CONFIG = 'backend: "onnxruntime"\ninstance_group { count: 1 kind: KIND_CPU }\n'


def log_of(name: str) -> Path:
    """What was seen of the cases with a release."""
    return ROOT / f"build/conformance-{name}.jsonl"


def environment(target: Release) -> Path:
    """The Python of an environment with the release's runtimes; made once."""
    folder = ROOT / "build/targets" / target.name
    python = folder / "bin/python"
    if (folder / "made").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    packages = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(_OWN):
            (packages / entry.name).symlink_to(entry)
    wheels = [f"onnxruntime=={target.onnxruntime}", f"openvino=={target.openvino}"]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages), *wheels]
    subprocess.run(install, check=True)
    (folder / "made").touch()
    return python


def foretold(model: bytes, target: Release, folder: Path) -> tuple[str, str]:
    """Why lint says that the release does not load the model, and that the machine decides; each "" where it does not."""
    (folder / "m/1").mkdir(parents=True, exist_ok=True)
    (folder / "m/1/model.onnx").write_bytes(model)
    (folder / "m/config.pbtxt").write_text(_CONFIG)
    findings = lint_model(folder / "m", targets=(target,))
    refused = next((f.sentence for f in findings if f.rule.startswith("release")), "")
    return refused, "" if refused else next((f.sentence for f in findings if f.rule == "machine-locale"), "")


def happened(model: bytes) -> str:
    """Why the runtime of this environment does not load it; "" where it does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return harness.plain(error)
    return ""


def older(case: onnx_cases.Case, target: Release, folder: Path) -> tuple[str, str]:
    """(passed, refused, otherwise or wrong, why): the case made older for the release, and run there.

    Otherwise: of the older model ONNX's own reference answers right, or nobody can, and only the release's runtime does not.
    """
    import onnx

    source, lowered = folder / "source.onnx", folder / "older.onnx"
    source.write_bytes(case.model.SerializeToString())
    try:
        limits, ancient = Needs(target.ir, target.opset, target.ml), _is_ancient(case.model)
        how = made(source, lowered, limits, True, ancient, target.onnxruntime)[0].sentence
    except (NotLowerableError, NotRaisableError, NotRunnableError) as error:
        return "refused", str(error)
    try:
        answers = harness.bare(replace(case, model=onnx.load(lowered)))
    except Exception as error:  # a type that neither numpy nor Triton has, or the runtime's own refusal to run it
        return "refused", harness.plain(error)
    try:
        reason = _difference(case, answers)
    except KeyError as error:
        return "refused", f"Triton has no type for {error}"
    if not reason:
        return "passed", how
    own = chance(lowered) or (harness.has_bfloat16(case) and not _difference(case, answers, _STEPS))
    return "otherwise" if own or not _difference(case, _referred(case, lowered)) else "wrong", reason


def _is_ancient(model: Any) -> bool:
    """Whether a model that the runtime refuses is of an opset that it may have no kernels for, and so is made newer."""
    return any(not entry.domain and entry.version < OLDEST_OPSET for entry in model.opset_import)


def _difference(case: onnx_cases.Case, answers: list[dict[str, Any]], most: float = 0.0) -> str:
    """How answers differ from what ONNX expects; "" where they do not."""
    wanted = ({name: harness.sent(array) for name, array in want.items()} for _, want in case.sets)
    rtol = max(case.rtol, most)
    differences = (compare(want, got, rtol=rtol, atol=case.atol) for want, got in zip(wanted, answers, strict=True))
    return next(filter(None, differences), "")


def _referred(case: onnx_cases.Case, model: Path) -> list[dict[str, Any]]:
    """What ONNX's own reference answers."""
    run = reference(model)
    return [{name: harness.sent(array) for name, array in run(given).items()} for given, _ in case.sets]


def look(target: Release, names: list[str]) -> None:
    """Every case, a line each in the log; what is there is gone on from."""
    log = log_of(target.name)
    log.parent.mkdir(exist_ok=True)
    known = {row["name"] for row in rows(target.name)}
    with log.open("a") as lines, tempfile.TemporaryDirectory(prefix="conformance-target-") as name:
        for case_name in names:
            if case_name in known:
                continue
            try:
                case = onnx_cases.load(case_name)
            except onnx_cases.NotTensorsError:
                continue
            model = case.model.SerializeToString()
            refused, open_ = foretold(model, target, Path(name))
            row = {"name": case_name, "foretold": refused, "open": open_, "happened": happened(model)}
            if row["happened"]:
                row["older"], row["how"] = older(case, target, Path(name))
            lines.write(json.dumps(row) + "\n")
            lines.flush()


def rows(name: str) -> list[dict[str, Any]]:
    """What a log holds."""
    log = log_of(name)
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def section() -> str:
    """The table of all releases that were looked at."""
    lines = [
        START,
        "## Other releases",
        "",
        "The same cases with a release's own ONNX Runtime from PyPI (`script/conformance --target R`): what lint predicted for",
        "each model as it came, whether that runtime loaded it, and what it answered once the model was converted to an older opset.",
        "Not predicted is what depends on the machine: a StringNormalizer's locale, about which lint warns. \"The runtime's own\"",
        "are answers that differ by chance, by two steps of bfloat16 at most (which ONNX adds up in, and the runtime in floats), or",
        "while ONNX's reference, with the same converted model, gives the expected ones.",
        "",
        "| Release | ONNX Runtime | Cases | Loaded | Refused | Predictions right | wrong | not predicted "
        "| Converted: right answers | refused | the runtime's own | wrong |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    wrong = []
    for log in sorted((ROOT / "build").glob("conformance-*.jsonl")):
        name = log.stem.removeprefix("conformance-")
        found, target = rows(name), release(name)
        told = [row for row in found if not row["open"]]
        misses = [row for row in told if bool(row["foretold"]) != bool(row["happened"])]
        refused = [row for row in found if row["happened"]]
        count = Counter(row["older"] for row in refused)
        lines.append(
            f"| {name} | {target.onnxruntime} | {len(found)} | {len(found) - len(refused)} | {len(refused)} | "
            f"{len(told) - len(misses)} | {len(misses)} | {len(found) - len(told)} | {count['passed']} | {count['refused']} | "
            f"{count['otherwise']} | {count['wrong']} |"
        )
        wrong += [f"| {name} | {r['name']} | {r['foretold'] or 'loads'} | {r['happened'] or 'loads'} |" for r in misses]
    if wrong:
        lines += [
            "",
            "Wrong predictions:",
            "",
            "| Release | Case | Predicted | Result |",
            "| --- | --- | --- | --- |",
            *wrong,
        ]
    return "\n".join([*lines, END])


def written(page: str, part: str) -> str:
    """A page with this part in the place of the one that it has, or at its end."""
    before, found, rest = page.partition(START)
    after = rest.partition(END)[2] if found else "\n"
    return f"{before if found else page.rstrip() + chr(10) * 2}{part}{after}"


def kept(page: Path) -> str:
    """The part of a page that is there already."""
    text = page.read_text() if page.exists() else ""
    return START + text.partition(START)[2].partition(END)[0] + END if START in text else section()


def main(name: str, only: list[str]) -> int:
    """In the release's own environment: look. From any other one: make that, look there, write the page."""
    target = release(name)
    if os.environ.get("TRITONPM_CONFORMANCE_IN") == name:
        look(target, [n for n in onnx_cases.names() if not only or any(part in n for part in only)])
        return 0
    arguments = ["-m", "tests.support.conformance.run", "--target", name, *only]
    ended = subprocess.run(
        [environment(target), *arguments], cwd=ROOT, env={**os.environ, "TRITONPM_CONFORMANCE_IN": name}, check=False
    )
    PAGE.write_text(written(PAGE.read_text(), section()))
    return ended.returncode
