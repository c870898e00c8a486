"""A model file alone: converted and proved in a worker, without a workspace."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tritonpm.convert.conversion import Options
from tritonpm.convert.converters import CONVERTERS, require_installed
from tritonpm.convert.plan import STEPS
from tritonpm.convert.requests import Answer, Convert, ModelFile
from tritonpm.core import sandbox
from tritonpm.core.errors import NotFoundError, OptimisationError, PackageError, UsageError
from tritonpm.core.types import Agreement, Format, Gpu, Signature, Step
from tritonpm.operations.optimize.jobs import TIME_LIMIT, default_memory
from tritonpm.settings.shapes import shape_ranges

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class ConversionView:
    """A converted file, and how its answers compare with the original's."""

    model: str
    format: str
    precision: str
    bytes: int
    agreement: Agreement
    steps: tuple[Step, ...]


def convert(
    source: Path,
    target: str,
    output: Path,
    *,
    progress: Callable[[str], AbstractContextManager[Report]],
    precision: str = "FP32",
    calibration: Path | None = None,
    max_drop: float | None = None,
    tolerances: Mapping[str, float] | None = None,
    max_batch_size: int = 8,
    shapes: Mapping[str, str] | None = None,
    compute_capability: str | None = None,
    time_limit: float = TIME_LIMIT,
    memory_limit: int | None = None,
    trusted: bool = True,
) -> ConversionView:
    """Write what `source` becomes into `output`, a new or empty folder.

    What is not `trusted` is not run to prove it, where its format is a program.

    Raises NotFoundError, PackageError, RequirementError, OptimisationError.
    """
    from tritonpm.package.tree import plain

    _require_places(source, output)
    with plain(source) as path:
        model = _model(path)
        steps = _steps(source, model.format, target, precision)
        require_installed(steps)
        samples = _samples(calibration)
        request = Convert(
            events="",
            memory=memory_limit or default_memory(),
            about=source.name,
            model=model,
            steps=steps,
            options=Options(
                precision=precision,
                max_batch_size=max_batch_size,
                samples=samples,
                max_drop=max_drop,
                shapes=shape_ranges(shapes or {}),
            ),
            gpu=_gpu(compute_capability),
            samples=samples,
            tolerances=dict(tolerances or {}),
            trusted=trusted,
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tritonpm-convert-", dir=output.parent) as scratch:
            return _moved(_answer_of(request, Path(scratch), time_limit, progress), Path(scratch), output, precision)


def _require_places(source: Path, output: Path) -> None:
    """Raise PackageError where something is at `output` already, NotFoundError where nothing is at `source`."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        what = "exists already, and is not an empty folder"
        raise PackageError(what, where=str(output), do="choose another --output")
    if not source.exists():
        raise NotFoundError("there is no such file or folder", where=str(source), do="check the path")


def _moved(answer: Answer, scratch: Path, output: Path, precision: str) -> ConversionView:
    """What was made in `scratch`, in the folder that was asked for."""
    main = scratch / answer.model
    output.mkdir(exist_ok=True)
    for path in main.parent.iterdir():
        shutil.move(path, output / path.name)
    size = sum(path.stat().st_size for path in output.iterdir())
    made = answer.format.value if answer.format else ""
    return ConversionView(str(output / main.name), made, precision, size, answer.agreement, answer.steps)


def _answer_of(
    request: Convert, folder: Path, deadline: float, progress: Callable[[str], AbstractContextManager[Report]]
) -> Answer:
    """A worker's answer. Raises OptimisationError."""
    request = msgspec.structs.replace(request, events=str(folder / "events.jsonl"))
    (folder / "request.json").write_bytes(msgspec.json.encode(request))
    where = request.about
    try:
        with progress(f"Converting {where}"):
            raw = sandbox.answered("tritonpm.convert.worker", folder, deadline=deadline)
    except sandbox.EndedError as error:
        raise OptimisationError(f"the conversion {error}", where=where, do="give it more with --memory-limit") from None
    answer = msgspec.json.decode(raw, type=Answer)
    if answer.state == "failed":
        raise OptimisationError(answer.reason, where=where)
    return answer


def _steps(source: Path, format: Format, target: str, precision: str) -> tuple[str, ...]:
    """The converters that make the target of that format. Raises UsageError."""
    from tritonpm.package.signature import to_convert

    steps = STEPS[target].get(precision, ())
    takes = CONVERTERS[steps[0]].takes if steps else (Format.ONNX,)
    if format not in takes:
        kinds = " or ".join(kind.value for kind in takes)
        what = f"is {format.value}, and {target} at {precision} is made of {kinds} only"
        do = to_convert(str(source)) if format in CONVERTERS["openvino"].takes else "choose another --to"
        raise UsageError(what, where=source.name, do=do)
    if not steps:
        raise UsageError(f"{source.name} is {target} at {precision} as it is", do="choose another --to or --precision")
    return steps


def _model(source: Path) -> ModelFile:
    """What the file or folder is. Raises PackageError."""
    from tritonpm.package.limits import Limits
    from tritonpm.package.signature import CONVERTIBLE, PROGRAMS, SAVED_MODEL, inspect_model, read_signature

    path = source.resolve()
    if path.is_dir():
        if not (path / SAVED_MODEL).is_file():
            raise PackageError("is not a model", where=str(source), do=f"give a file, or a folder with {SAVED_MODEL}")
        return ModelFile(Format.SAVED_MODEL, str(path), Signature((), ()))
    if format := CONVERTIBLE.get(path.suffix.lower()):
        if format in PROGRAMS:
            inspect_model(path, path.name, Limits(), format)
        return ModelFile(format, str(path), Signature((), ()))
    format, signature = read_signature(path)
    return ModelFile(format, str(path), signature)


def _samples(folder: Path | None) -> tuple[str, ...]:
    if folder is None:
        return ()
    from tritonpm.convert.calibration import gather

    return tuple(str(path) for path in gather(folder))


def _gpu(compute_capability: str | None) -> Gpu | None:
    from tritonpm.hardware import target

    if compute_capability:
        return Gpu.named(compute_capability)
    return next(iter(target().gpus), None)
