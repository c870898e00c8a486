"""Models rewritten so that a Triton release serves them, by `convert.lower_proof` in a process of its own.

Those that are too new are made older, those older than ONNX Runtime's kernels newer, operators that it has no kernel
for others, and sizes of 0, and those with a largest in OpenVINO's models, are left open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tritonpm.convert.batch import COPIES, LARGEST, LEAST_MEMORY, MEMORY, laid_out
from tritonpm.convert.lower import OLDEST_OPSET
from tritonpm.core import releases
from tritonpm.core.apart import Apart
from tritonpm.core.errors import PackageError
from tritonpm.core.releases import Release
from tritonpm.core.sandbox import EndedError
from tritonpm.core.types import Format, Needs, Signature, Stage, Tensor
from tritonpm.core.units import GIB
from tritonpm.package.kernels import within

SECONDS = 300.0  # for a small model, and once more for each GiB
_LOWER = "tritonpm.convert.lower_proof:answer"


@dataclass(frozen=True)
class LoweredModel:
    """The rewritten model, in the folder that it was to be made in, and what its record says."""

    path: Path
    sentence: str


def too_new(stage: Stage, release: Release) -> bool:
    """Whether a stage's model asks for more than the release's ONNX Runtime loads."""
    asked = stage.needs
    newer = asked.ir > release.ir or asked.opset > release.opset or asked.ml > release.ml
    return newer and stage.format is Format.ONNX and stage.config is None


def unfit(stage: Stage, release: Release, gpus: bool) -> bool:
    """Whether a stage's model may have to be rewritten before the release serves it; GPUs have kernels of their own."""
    if stage.config is not None or stage.format is not Format.ONNX:
        return bool(_bounded(stage))
    return _refused_as_it_is(stage, release) or _old(stage) or (not gpus and lacks_kernels(stage, release))


def _refused_as_it_is(stage: Stage, release: Release) -> bool:
    return too_new(stage, release) or opened(stage.signature) != stage.signature


def lacks_kernels(stage: Stage, release: Release) -> bool:
    """Whether the release's ONNX Runtime lacks one on a CPU for some operator of a stage's model, as it came."""
    return bool(release.onnxruntime) and any(within(release.onnxruntime, span) for span in stage.needs.kernels)


def _bounded(stage: Stage) -> list[str]:
    """The inputs of an OpenVINO model whose open sizes have a largest."""
    return [tensor.name for tensor in stage.signature.inputs if tensor.bounds and stage.config is None]


def opened(signature: Signature) -> Signature:
    """With sizes of 0, which Triton's config cannot say, left open, and without bounds, which it cannot say either."""

    def open_sizes(tensor: Tensor) -> Tensor:
        tensor = replace(tensor, bounds=())
        if tensor.shape is None or 0 not in tensor.shape:
            return tensor
        return replace(tensor, shape=tuple(size or f"{tensor.name}_{place}" for place, size in enumerate(tensor.shape)))

    inputs, outputs = (tuple(map(open_sizes, side)) for side in (signature.inputs, signature.outputs))
    return replace(signature, inputs=inputs, outputs=outputs)


def _old(stage: Stage) -> bool:
    return 0 < stage.needs.opset < OLDEST_OPSET


def lower(
    stage: Stage,
    files: Mapping[str, Path],
    samples: Sequence[Path],
    release: Release,
    workdir: Path,
    apart: Apart | None = None,
    *,
    gpus: bool = False,
) -> LoweredModel | None:
    """The stage's model as the release takes it, proved to answer as before, in `workdir`; None where that is as it is.

    `workdir` is an empty folder; `files` says where the stage's files lie, by package path; `apart` is a process to do
    it in, else one is started. `gpus`: operators that have no kernel on a CPU stay.
    Raises PackageError where it cannot be, with the operator and the first release that takes it.
    """
    opset = max(stage.needs.opset, OLDEST_OPSET if _old(stage) else 0)
    limits = Needs(min(release.ir, stage.needs.ir), min(release.opset, opset), release.ml)
    size = sum(files[path].stat().st_size for path in stage.files)
    kernels = not gpus and (too_new(stage, release) or lacks_kernels(stage, release))
    request = {
        "model": str(laid_out(stage, files, workdir / "model")),
        "limits": asdict(limits),
        "inputs": [[t.name, t.dtype, t.shape, t.optional] for t in stage.signature.inputs],
        "values": {name: asdict(values) for name, values in stage.values.items()},
        "samples": [str(path) for path in samples],
        "run": size <= LARGEST,
        "old": _old(stage),
        "other": _refused_as_it_is(stage, release),
        "onnxruntime": release.onnxruntime if kernels else "",
        "bounded": _bounded(stage),
        "here": release.name == releases.EMBEDDED,
    }
    memory, seconds = min(MEMORY, LEAST_MEMORY + COPIES * size), SECONDS * (1 + size / GIB)
    with nullcontext(apart) if apart else Apart() as process:
        try:
            raw = process.ask(_LOWER, json.dumps(request).encode(), workdir, seconds=seconds, memory=memory)
        except EndedError as error:
            raise _refused(stage, release, f"rewriting it {error}", needs=stage.needs) from None
    answer: dict[str, Any] = json.loads(raw)
    if "fits" in answer:
        return None
    if "operator" in answer:
        domain, version = answer["domain"], answer["needs"]
        what = f"its operator {answer['operator']} came with opset {version}{f' of {domain}' if domain else ''}"
        raise _refused(stage, release, what, needs=Needs(opset=0 if domain else version, ml=version if domain else 0))
    if "refused" in answer:
        raise _refused(stage, release, answer["refused"], needs=stage.needs)
    return LoweredModel(Path(answer["model"]), _sentence(stage.needs, limits.ir, release, answer))


def _refused(stage: Stage, release: Release, why: str, *, needs: Needs) -> PackageError:
    """The sentence: what is too new, and which release takes it."""
    firsts = [
        releases.first_with_ir(needs.ir),
        releases.first_with_opset(needs.opset),
        releases.first_with_ml(needs.ml),
    ]
    newest = max(firsts) if all(firsts) else ""
    do = f"serve it with {newest}, the first release that takes it" if newest else "no release takes it so far"
    what = f"{_asked(stage.needs)} is more than {release.title} takes ({_asked(_taken(release))})"
    if not too_new(stage, release):
        what, do = f"opset {stage.needs.opset} is older than ONNX Runtime has all kernels of ({OLDEST_OPSET})", ""
        if not _old(stage):
            what = "a tensor has a size of 0, which Triton cannot say"
    other = f"export it for opset {release.opset}"
    return PackageError(f"{what}, and {why}", where=f"stage {stage.name}", do=f"{do}, or {other}" if do else other)


def _taken(release: Release) -> Needs:
    return Needs(release.ir, release.opset)


def _asked(needs: Needs) -> str:
    return f"IR {needs.ir}, opset {needs.opset}"


def _sentence(asked: Needs, ir: int, release: Release, answer: Mapping[str, Any]) -> str:
    made = replace(asked, ir=ir, opset=answer["opset"] or asked.opset)
    proof = answer["proof"]
    how = answer["how"]
    if answer["kernels"] and made == asked:
        how = f"made for {release.title}: {how}"
    if made != asked:
        how = f"made {_asked(made)} for {release.title}, from {_asked(asked)}: {how}"
    if proof["state"] == "unverified":
        return f"{how}; not proved by running it: {proof['reason']}"
    return f"{how}; proved equal on {proof['inputs']}" if proof["inputs"] else how
