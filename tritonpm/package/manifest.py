"""package.yaml: what it may say, and every way in which it does not."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from tritonpm.core.errors import ManifestError, RuleError
from tritonpm.core.types import DTYPES, Package, Sample, Signature, Stage, Task, Tensor, Values
from tritonpm.meaning.spec import Condition, Crop, Decode, Preprocess
from tritonpm.package.document import load
from tritonpm.package.limits import Limits
from tritonpm.package.paths import NAME_PATTERN, problem
from tritonpm.settings.changes import changed
from tritonpm.settings.settings import LOCAL_SETTINGS, Settings
from tritonpm.settings.values import require_values

FILE = "package.yaml"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
_TEXT = 200  # characters of a version or an exporter's name


def _path(value: str) -> str:
    if reason := problem(value, Limits()):
        raise ValueError(f"{value!r} {reason}")
    return value


def _task(value: Any) -> Any:
    return re.sub(r"[\s_-]+", "-", value.strip().lower()) if isinstance(value, str) else value


def _task_spellings(schema: dict[str, Any]) -> None:
    words = [task.value for task in Task]
    schema.clear()
    schema.update(
        {
            "description": "What the stage does; words may also be separated by spaces or underscores.",
            "enum": [*words, *(w.replace("-", s) for s in " _" for w in words if "-" in w)],
        }
    )


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Text = Annotated[str, Field(min_length=1, max_length=_TEXT, pattern=r"^[^\x00-\x1f\x7f]*$")]
TensorName = Annotated[str, Field(min_length=1, max_length=1024)]
Path = Annotated[
    str, Field(min_length=1, description="A file of the package, relative, with '/'."), AfterValidator(_path)
]
TaskWord = Annotated[Task, BeforeValidator(_task), Field(json_schema_extra=_task_spellings)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ExporterEntry(_Strict):
    """The tool that wrote the package."""

    name: Text
    version: Text = ""


class SampleEntry(_Strict):
    """A recorded inference: .npz files whose arrays are named after tensors."""

    inputs: Path
    outputs: Path | None = None


class ValuesEntry(_Strict):
    """What an input holds, if that is less than its type allows: proofs use no other values."""

    range: Annotated[list[float | int], Field(min_length=2, max_length=2)] | None = Field(
        None, description="The least and the largest value."
    )
    vocabulary: Annotated[list[Text], Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="Texts that the model knows."
    )


class TensorEntry(_Strict):
    """One tensor of a model whose file does not describe it."""

    name: TensorName
    dtype: Literal[DTYPES]  # type: ignore[valid-type]
    shape: Annotated[
        list[Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1, max_length=64)]],
        Field(max_length=32, description="Sizes, and names (or '?') of dynamic dimensions; the batch axis included."),
    ]
    optional: bool = False


class SignatureEntry(_Strict):
    """The tensors of a TensorRT plan or PyTorch model, in the model's order."""

    inputs: Annotated[list[TensorEntry], Field(min_length=1)]
    outputs: Annotated[list[TensorEntry], Field(min_length=1)]


def _allowed(serving: BaseModel) -> BaseModel:
    """Refuse what no package may have, here and not when it is imported: the manifest's author reads this."""
    try:
        require_values(changed(Settings(), serving.model_dump(exclude_unset=True)), "serving")
    except RuleError as error:
        raise ValueError(f"no package may have such a setting: {error.what}") from None
    return serving


def _serving() -> type[BaseModel]:
    hints = get_type_hints(Settings)
    names = [field.name for field in fields(Settings) if field.name not in LOCAL_SETTINGS]
    model: type[BaseModel] = create_model(  # type: ignore[call-overload]
        "Serving",
        __base__=_Strict,
        __doc__="Settings that the exporter suggests; each of them can be changed after the import.",
        **{name: (hints[name], None) for name in names},
    )
    return model


Serving: Any = _serving()


def _said(kind: type[Preprocess] | type[Decode] | type[Crop] | type[Condition], name: str, doc: str) -> type[BaseModel]:
    """A part of the fields of a spec: what is left out, what wrote the model may have said."""
    hints = get_type_hints(kind)
    said: type[BaseModel] = create_model(  # type: ignore[call-overload]
        name, __base__=_Strict, __doc__=doc, **{field.name: (hints[field.name], None) for field in fields(kind)}
    )
    return said


PreprocessEntry: Any = _said(Preprocess, "Preprocess", "How a picture or a text becomes the model's input.")
DecodeEntry: Any = _said(Decode, "Decode", "What the model's outputs are.")
ConditionEntry: Any = _said(Condition, "Condition", "How many objects of some kind there may be.")
CropEntry: Any = _said(Crop, "Crop", "Instead of a model: cut out what an earlier stage finds, for a later one.")


class StageEntry(_Strict):
    """One model: a file, a folder in Triton's layout, or what cuts out objects between two others."""

    name: Name
    task: TaskWord = Task.OTHER
    model: Path | None = Field(None, description="The model file: .onnx, .xml (its .bin beside it), .plan, .pt, .pt2.")
    folder: str | None = Field(
        None, description="Instead of a model file: a folder in Triton's layout ('.': this one)."
    )
    signature: SignatureEntry | None = Field(
        None, description="For models whose file does not contain it (.plan, .pt, .pt2)."
    )
    labels: Path | Annotated[list[Text], Field(min_length=1)] | None = Field(
        None, description="Class names: a file with one per line, or the names themselves."
    )
    inputs: dict[TensorName, Annotated[str, Field(min_length=1, max_length=1024)]] = Field(
        default_factory=dict, description="Where an input comes from: 'stage.output', or an input of the package."
    )
    outputs: dict[TensorName, TensorName] = Field(
        default_factory=dict,
        description="What clients call its outputs; if a stage says any, the package gives these and no others.",
    )
    max_instances: int | None = Field(None, ge=1, description="The most objects that an image has, if that is known.")
    serving: Annotated[Serving, AfterValidator(_allowed)] = Field(default_factory=lambda: Serving())
    samples: list[SampleEntry] = Field(default_factory=list)
    preprocess: PreprocessEntry = Field(default_factory=lambda: PreprocessEntry())
    decode: DecodeEntry = Field(default_factory=lambda: DecodeEntry())
    values: dict[TensorName, ValuesEntry] = Field(
        default_factory=dict, description="What inputs hold, by name: a range of numbers, or a vocabulary."
    )
    crop: CropEntry | None = None


class Manifest(_Strict):
    """A package: one stage (single), or several in series (cascade)."""

    schema_version: Literal[1] = Field(alias="schema", description="The version of this format.")
    name: Name
    version: Text
    exporter: ExporterEntry | None = None
    license: Text = Field("", description="An SPDX expression such as Apache-2.0; LicenseRef-… for one of your own.")
    model_card: Path | None = Field(None, description="A text of the package: what its models are for.")
    stages: Annotated[list[StageEntry], Field(min_length=1, max_length=64)]
    samples: list[SampleEntry] = Field(default_factory=list, description="Of the package as a whole.")
    verdict: dict[Text, ConditionEntry] = Field(
        default_factory=dict,
        description="The conditions, by name, that an answer must meet to be OK; otherwise it is NG.",
    )
    files: dict[str, Annotated[str, Field(pattern=DIGEST_PATTERN)]] | None = Field(
        None, description="Every file but package.yaml with its digest, 'sha256:' and 64 hex digits."
    )


def parse(raw: bytes, where: str, limits: Limits) -> Manifest:
    """The manifest in these bytes. Raises ManifestError with every problem and its path."""
    document = load(raw, where, limits)
    if isinstance(document, dict) and isinstance(document.get("schema"), int) and document["schema"] > 1:
        raise ManifestError([("schema", f"{document['schema']} is newer than 1, update tritonpm")], where=where)
    try:
        manifest = Manifest.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise ManifestError(_problems(error, document), where=where) from None
    if problems := list(_beyond_schema(manifest)):
        raise ManifestError(problems, where=where)
    return manifest


def _beyond_schema(manifest: Manifest) -> Any:
    seen: set[str] = set()
    given = [name for stage in manifest.stages for name in stage.outputs.values()]
    for index, stage in enumerate(manifest.stages):
        if twice := sorted(name for name in stage.outputs.values() if given.count(name) > 1):
            yield f"stages[{index}].outputs", f"{twice[0]!r} is there twice"
        if stage.outputs and len(manifest.stages) == 1:
            yield f"stages[{index}].outputs", "are those of the one model, under their own names"
        if stage.name in seen:
            yield f"stages[{index}].name", f"{stage.name!r} is there twice"
        seen.add(stage.name)
        if stage.crop is not None:
            yield from _beyond_crop(stage, index, [other.name for other in manifest.stages])
        elif (stage.model is None) == (stage.folder is None):
            yield f"stages[{index}]", "needs either `model` or `folder`, or `crop`"
        for name, values in stage.values.items():
            if (values.range is None) == (values.vocabulary is None):
                yield f"stages[{index}].values.{name}", "needs either `range` or `vocabulary`"
            elif values.range and not -math.inf < values.range[0] <= values.range[1] < math.inf:
                yield f"stages[{index}].values.{name}.range", "must be two finite numbers, the smaller one first"
        if stage.folder not in (None, ".") and (reason := problem(str(stage.folder), Limits())):
            yield f"stages[{index}].folder", f"{stage.folder!r} {reason}"


def _beyond_crop(stage: StageEntry, index: int, names: list[str]) -> Any:
    if stage.folder is not None:
        yield f"stages[{index}]", "has `crop`, and so no `folder`"
    for field, others in (("of", names[:index]), ("into", names[index + 1 :])):
        said = getattr(stage.crop, field)
        if not others or (said and said not in others):
            where = "an earlier" if field == "of" else "a later"
            yield f"stages[{index}].crop.{field}", f"must name {where} stage ({', '.join(others) or 'there is none'})"


_SENTENCES = {
    "extra_forbidden": "there is no such field",
    "missing": "is missing",
    "string_type": "must be text (put it in quotes)",
    "string_pattern_mismatch": "{input!r} does not match {pattern}",
}


def _problems(error: ValidationError, document: Any) -> list[tuple[str, str]]:
    problems: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        sentence = _SENTENCES.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        sentence = (
            sentence.format(input=fault["input"], **fault.get("ctx", {})) if fault["type"] in _SENTENCES else sentence
        )
        problems.setdefault(_loc(fault["loc"], document), sentence)
    return list(problems.items())


def _loc(loc: tuple[int | str, ...], document: Any) -> str:
    """stages[1].model; what pydantic adds for the branches of a union, and is not in the document, is left out."""
    path, value = "", document
    for index, part in enumerate(loc):
        if isinstance(part, int) and isinstance(value, list):
            path, value = f"{path}[{part}]", value[part] if part < len(value) else None
        elif isinstance(value, dict) and (part in value or index == len(loc) - 1):
            path, value = f"{path}.{part}" if path else str(part), value.get(part)
    return path


def of(package: Package, *, named: bool = True) -> dict[str, Any]:
    """The canonical manifest of a package: what `export` writes and, without the name, what the digest is over."""
    exporter = {"name": package.exporter, "version": package.exporter_version}
    return {
        "schema": 1,
        **({"name": package.name} if named else {}),
        "version": package.version,
        **({"exporter": {k: v for k, v in exporter.items() if v}} if package.exporter else {}),
        **({"license": package.license} if package.license else {}),
        **({"model_card": package.model_card} if package.model_card else {}),
        "stages": [_stage(stage) for stage in package.stages],
        **({"samples": _samples(package.samples)} if package.samples else {}),
        **({"verdict": {name: dict(said) for name, said in package.verdict.items()}} if package.verdict else {}),
        "files": {file.path: file.digest for file in package.files},
    }


def _stage(stage: Stage) -> dict[str, Any]:
    from tritonpm.package.signature import SPEAKING

    adopted = stage.config is not None or stage.model == ""
    optional = {
        "signature": None if adopted or stage.format in SPEAKING else _signature(stage.signature),
        "labels": stage.labels,
        "max_instances": stage.max_instances,
        "inputs": dict(stage.bindings),
        "outputs": dict(stage.outputs),
        "serving": {key: list(v) if isinstance(v, tuple) else v for key, v in stage.serving.items()},
        "preprocess": dict(stage.preprocess),
        "decode": dict(stage.decode),
        "crop": dict(stage.crop or {}),
        "samples": _samples(stage.samples),
        "values": {name: _values(own) for name, own in stage.values.items()},
    }
    return {
        "name": stage.name,
        "task": stage.task.value,
        **({"folder": stage.root or "."} if adopted else {"model": stage.model}),
        **{key: value for key, value in optional.items() if value or (key == "crop" and stage.crop is not None)},
    }


def _values(values: Values) -> dict[str, Any]:
    return {"vocabulary": list(values.texts)} if values.texts else {"range": [values.low, values.high]}


def _samples(samples: tuple[Sample, ...]) -> list[dict[str, str]]:
    return [{"inputs": s.inputs, **({"outputs": s.outputs} if s.outputs else {})} for s in samples]


def _signature(signature: Signature) -> dict[str, Any]:
    return {"inputs": [_tensor(t) for t in signature.inputs], "outputs": [_tensor(t) for t in signature.outputs]}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    entry = {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape or ())}
    return {**entry, "optional": True} if tensor.optional else entry


def declared(entry: SignatureEntry) -> Signature:
    """The signature that a manifest gives for a model whose file does not tell."""

    def tensors(entries: list[TensorEntry]) -> tuple[Tensor, ...]:
        return tuple(Tensor(e.name, e.dtype, tuple(e.shape), e.optional) for e in entries)

    return Signature(tensors(entry.inputs), tensors(entry.outputs))
