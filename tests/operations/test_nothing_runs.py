"""The other way round: the real server, and all that leads to it, under a tracer, with packages that try to run.

`strace` sees every process that there is: no file of a package is executed, mapped as code or imported, and nothing is
written, renamed or removed outside of the workspace. What is refused is refused; what is served is harmless.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archives import CONFIG, MODEL, folder
from tests.support.hostile.corpus import corpus
from tests.support.hostile.payloads import environment, payloads, python
from tests.support.hostile.tracing import traced

pytestmark = pytest.mark.server
# What is refused of each kind, and what is let in because under a name of ours it is only data.
CORE = (
    "bare-library-libtriton-onnxruntime-so", "bare-python-w-bin", "ir-python", "adopted-1-model-py",
    "variant-parameter-bait-EXECUTION-ENV-PATH", "config-backend---------", "adopted-weights-w-bin", "config-nameless", "variant-nameless",
)  # fmt: skip
FORMS = re.compile(
    r"config\.pbtxt|configs/[a-z0-9-]+\.pbtxt|labels\.txt|warmup/w|[12]/(model\.(onnx|xml|bin)|weights-[0-9a-f]{32}\.bin)"
)


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Path]:
    """A folder outside of the workspace that packages name: nothing in it is touched."""
    made = folder(tmp_path / "bait", {
        "model.py": python(tmp_path / "canaries/bait"), "env.tar.gz": environment(tmp_path / "canaries/bait")})  # fmt: skip
    before = sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*"))
    yield made
    assert sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*")) == before


@pytest.fixture
def packages(tmp_path: Path, bait: Path) -> dict[str, Path]:
    (tmp_path / "made").mkdir()
    kinds = payloads(tmp_path / "canaries", tmp_path / "made")
    return corpus(tmp_path / "in", kinds, bait)


@pytest.mark.long
def test_nothing_of_a_package_runs(tmp_path: Path, packages: dict[str, Path]) -> None:
    """And the tracer would see it: of the two that may run code, the library is mapped and the Python runs."""
    model = {"config.pbtxt": CONFIG, "1/model.onnx": MODEL}
    library = (packages["adopted-libtriton-onnxruntime-so"] / "libtriton_onnxruntime.so").read_bytes()
    trusted = {
        "library": folder(tmp_path / "in/library", {**model, "1/libtriton_onnxruntime.so": library}),
        "python": folder(tmp_path / "in/python", {
            "config.pbtxt": CONFIG.replace("onnxruntime", "python"), "1/model.py": python(tmp_path / "canaries/trusted")}),
    }  # fmt: skip
    found = traced(tmp_path, {**{name: packages[name] for name in CORE}, **trusted}, tuple(trusted))
    served = {name for name, outcome in found.outcomes.items() if outcome == "served"}
    assert {"bare-python-w-bin", "adopted-weights-w-bin", "config-nameless", "variant-nameless"} <= served
    assert all("refused" in found.outcomes[name] for name in CORE if name not in served), found.outcomes
    assert all(map(FORMS.fullmatch, found.written)), found.written
    seen = {escape.split(":")[0] for escape in found.escapes}
    assert seen == {"mapped executable", "ran", "openat"}, found.escapes
    assert all("libtriton_onnxruntime.so" in e or "canaries" in e or e in ("ran: library", "ran: trusted")
               for e in found.escapes), found.escapes  # fmt: skip


@pytest.mark.long
def test_nothing_of_the_corpus_runs(tmp_path: Path, packages: dict[str, Path]) -> None:
    """Every eighth of it; all of it where TRITONPM_CORPUS says 1, as in docs/threats.md."""
    step = int(os.environ.get("TRITONPM_CORPUS", "8"))
    found = traced(tmp_path, dict(list(packages.items())[::step]))
    outcomes = [outcome.split(":")[0] for outcome in found.outcomes.values()]
    counts = {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}
    print(f"{len(outcomes)} packages, {counts}, {found.calls} calls, {len(found.escapes)} escapes")
    assert len(outcomes) * step >= 300
    assert all(map(FORMS.fullmatch, found.written)), found.written
    assert not found.escapes
