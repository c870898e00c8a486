"""Models made older for a Triton release, asked of a process of its own: what does it is `convert.lower_proof`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tritonpm.convert.batch import COPIES, LARGEST, LEAST_MEMORY, MEMORY, laid_out
from tritonpm.core import releases
from tritonpm.core.apart import Apart
from tritonpm.core.errors import PackageError
from tritonpm.core.releases import Release
from tritonpm.core.sandbox import EndedError
from tritonpm.core.types import Format, Needs, Stage
from tritonpm.core.units import GIB

SECONDS = 300.0  # for a small model, and once more for each GiB
_LOWER = "tritonpm.convert.lower_proof:answer"


@dataclass(frozen=True)
class LoweredModel:
    """The older model, in the folder that it was to be made in, and what its record says."""

    path: Path
    sentence: str


def too_new(stage: Stage, release: Release) -> bool:
    """Whether a stage's model asks for more than the release's ONNX Runtime loads."""
    asked = stage.needs
    newer = asked.ir > release.ir or asked.opset > release.opset or asked.ml > release.ml
    return newer and stage.format is Format.ONNX and stage.config is None


def lower(
    stage: Stage,
    files: Mapping[str, Path],
    samples: Sequence[Path],
    release: Release,
    workdir: Path,
    apart: Apart | None = None,
) -> LoweredModel:
    """The stage's model as the release takes it, proved to answer as before, in `workdir`, an empty folder.

    `files` says where the stage's files lie, by package path; `apart` is a process to do it in, else one is started.
    Raises PackageError where it cannot be, with the operator and the first release that takes it.
    """
    limits = Needs(min(release.ir, stage.needs.ir), min(release.opset, stage.needs.opset), release.ml)
    size = sum(files[path].stat().st_size for path in stage.files)
    request = {
        "model": str(laid_out(stage, files, workdir / "model")),
        "limits": asdict(limits),
        "inputs": [[t.name, t.dtype, t.shape, t.optional] for t in stage.signature.inputs],
        "values": {name: asdict(values) for name, values in stage.values.items()},
        "samples": [str(path) for path in samples],
        "run": size <= LARGEST,
    }
    memory, seconds = min(MEMORY, LEAST_MEMORY + COPIES * size), SECONDS * (1 + size / GIB)
    with nullcontext(apart) if apart else Apart() as process:
        try:
            raw = process.ask(_LOWER, json.dumps(request).encode(), workdir, seconds=seconds, memory=memory)
        except EndedError as error:
            raise _refused(stage, release, f"making it older {error}", needs=stage.needs) from None
    answer: dict[str, Any] = json.loads(raw)
    if "operator" in answer:
        domain, version = answer["domain"], answer["needs"]
        what = f"its operator {answer['operator']} came with opset {version}{f' of {domain}' if domain else ''}"
        raise _refused(stage, release, what, needs=Needs(opset=0 if domain else version, ml=version if domain else 0))
    if "refused" in answer:
        raise _refused(stage, release, answer["refused"], needs=stage.needs)
    return LoweredModel(Path(answer["model"]), _sentence(stage.needs, limits, release, answer))


def _refused(stage: Stage, release: Release, why: str, *, needs: Needs) -> PackageError:
    """The sentence: what is too new, and which release takes it."""
    firsts = [
        releases.first_with_ir(needs.ir),
        releases.first_with_opset(needs.opset),
        releases.first_with_ml(needs.ml),
    ]
    newest = max(firsts) if all(firsts) else ""
    do = f"serve it with {newest}, the first release that takes it" if newest else "no release takes it so far"
    return PackageError(
        f"{_asked(stage.needs)} is more than {release.title} takes ({_asked(_taken(release))}), and {why}",
        where=f"stage {stage.name}",
        do=f"{do}, or export it for opset {release.opset}",
    )


def _taken(release: Release) -> Needs:
    return Needs(release.ir, release.opset)


def _asked(needs: Needs) -> str:
    return f"IR {needs.ir}, opset {needs.opset}"


def _sentence(asked: Needs, limits: Needs, release: Release, answer: Mapping[str, Any]) -> str:
    made = replace(limits, ir=min(limits.ir, asked.ir), opset=min(limits.opset, asked.opset))
    proof = answer["proof"]
    how = f"made {_asked(made)} for {release.title}, from {_asked(asked)}: {answer['how']}"
    if proof["state"] == "unverified":
        return f"{how}; not proved by running it: {proof['reason']}"
    return f"{how}; proved equal on {proof['inputs']}" if proof["inputs"] else how
