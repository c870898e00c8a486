"""Package × Settings × Target → the immutable revision: every model folder and its files, the ensemble last."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from tritonpm.core.errors import RenderError
from tritonpm.core.types import (
    BACKENDS,
    REVISION,
    BatchAxis,
    Optimised,
    Package,
    RenderedModel,
    RepositoryFile,
    Revision,
    Stage,
    Target,
)
from tritonpm.package.code import code_in_name
from tritonpm.package.config import is_ensemble, parsed, variant_of
from tritonpm.repository.adopt import adapt, in_folder, make_safe
from tritonpm.repository.cascade import require_unbound, wire
from tritonpm.repository.config import LABELS, member, messages, served_by
from tritonpm.repository.ensemble import ensemble
from tritonpm.repository.member_names import member_name
from tritonpm.repository.templates import config_text
from tritonpm.settings.settings import Settings

VERSION = "1"
CONFIG = "config.pbtxt"
_EMPTY = RepositoryFile(f"{VERSION}/.keep", text="")


def render(
    package: Package,
    settings: Settings,
    target: Target,
    axes: Mapping[str, BatchAxis],
    *,
    optimised: Mapping[str, Optimised] | None = None,
    configs: Mapping[str, str] | None = None,
    templates: Path | None = None,
    version: str = "1",
    earlier: Mapping[str, RenderedModel] | None = None,
) -> Revision:
    """The repository of a package: `optimised` serves in place of the stages' models, by stage.

    `configs` are the adopted stages' own, by package path; `version` is the version folder of a single model, beside
    what `earlier` contents were published as, by version. Raises RenderError.
    """
    optimised = optimised or {}
    package, axes = _as_served(package, axes, optimised)
    look = _Look(package, settings, target, axes, optimised, configs or {}, templates)
    if not package.cascade:
        require_unbound(package)
        made = look.stage(package.stages[0])
        model = look.model(_beside(replace(made, files=_moved(made.files, version)), earlier or {}), package.name)
        return Revision(package.name, _digest((model,)), (model,))
    wiring = wire(package)
    stages = {stage.name: look.stage(stage) for stage in package.stages}
    members = [look.member(stage, rendered) for stage, rendered in stages.items()]
    joined = ensemble(package.name, wiring, {stage: rendered.config for stage, rendered in stages.items()})
    last = look.model(_Made(joined, (_EMPTY,)), package.name)
    models = (*members, last)
    return Revision(package.name, _digest(models), models)


def max_batch_size(revision: Revision) -> int:
    """What Triton joins of a rendered package, 0 where it does not batch."""
    text = next(file.text or "" for file in revision.models[-1].files if file.path == CONFIG)
    return int(parsed(text, revision.name).max_batch_size)


def _as_served(
    package: Package, axes: Mapping[str, BatchAxis], optimised: Mapping[str, Optimised]
) -> tuple[Package, Mapping[str, BatchAxis]]:
    """The package with the models and signatures that are served: rewritten to any batch, optimised, shapes known."""

    def known(stage: Stage) -> Stage:
        stage = replace(stage, signature=axes[stage.name].signature or stage.signature)
        made = optimised.get(stage.name)
        if made is None or not made.files:
            return stage
        files = tuple(sorted(_place(stage.name, file.path) for file in made.files))
        model = _place(stage.name, made.model)
        return replace(stage, format=made.format, model=model, files=files, signature=made.signature)

    def plain(name: str, axis: BatchAxis) -> BatchAxis:
        made = optimised.get(name)
        return replace(axis, artefact=None, signature=None) if made and made.files else axis

    added = tuple(
        replace(file, path=_place(stage, file.path)) for stage, made in optimised.items() for file in made.files
    )
    stages = tuple(known(stage) for stage in package.stages)
    served = replace(package, stages=stages, files=(*package.files, *added))
    return served, {name: plain(name, axis) for name, axis in axes.items()}


def _place(stage: str, path: str) -> str:
    """An optimised model's file among a package's: a path that no package can have of its own."""
    return f"{stage}\0/{path}"


@dataclass(frozen=True)
class _Made:
    """A model to be: its config, its files, what was decided, and its config for other hardware."""

    config: Any
    files: tuple[RepositoryFile, ...]
    notes: tuple[str, ...] = ()
    variants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """16 hex digits of the digest of all that is served, under whatever name."""
        digest = hashlib.sha256(msgspec.json.encode(self.files))
        for hardware, config in (("", self.config), *sorted(self.variants.items())):
            nameless = messages().ModelConfig()
            nameless.CopyFrom(config)
            nameless.ClearField("name")
            nameless.parameters.pop(REVISION, None)
            digest.update(hardware.encode() + nameless.SerializeToString(deterministic=True))
        return digest.hexdigest()[:16]


class _Look:
    """One rendering: what every model of it shares."""

    def __init__(
        self,
        package: Package,
        settings: Settings,
        target: Target,
        axes: Mapping[str, BatchAxis],
        optimised: Mapping[str, Optimised],
        configs: Mapping[str, str],
        templates: Path | None,
    ) -> None:
        self.package, self.settings, self.target, self.axes = package, settings, target, axes
        self.optimised, self.configs, self.templates = optimised, configs, templates

    def stage(self, stage: Stage) -> _Made:
        """What a stage's model folder is to hold."""
        settings = self.settings.for_stage(stage.name)
        if stage.config:
            return self._adopted(stage, settings)
        optimised = self.optimised.get(stage.name)
        made = member(self.package, stage, settings, self.target, self.axes[stage.name], optimised)
        files = list(self._model_files(stage, made.file))
        if any(output.label_filename for output in made.config.output) and stage.labels:
            files.append(RepositoryFile(LABELS, blob=self.package.file(stage.labels).digest))
        notes = (*made.notes, *(f"stage {stage.name}: {note}" for note in (optimised.notes if optimised else ())))
        return _Made(made.config, tuple(files), notes, {} if optimised else self._variants(stage, settings))

    def _variants(self, stage: Stage, settings: Settings) -> dict[str, Any]:
        """The same model for other hardware, for Triton's --model-config-name: the CPU and each class of GPU."""
        devices = {"cpu": replace(settings, device="cpu", gpus=(), group_per_gpu=False, cuda_graphs=False)}
        if served_by(stage, settings) not in ("openvino", "python"):
            for gpu in self.target.gpus:
                devices[_slug(gpu.name)] = replace(settings, device="gpu")
        if served_by(stage, settings) == "tensorrt":
            del devices["cpu"]
        axis = self.axes[stage.name]
        return {
            hardware: member(self.package, stage, chosen, self.target, axis).config
            for hardware, chosen in devices.items()
        }

    def _model_files(self, stage: Stage, name: str) -> list[RepositoryFile]:
        """The version folder: the model under the backend's name, what it needs beside it under the names it knows."""
        axis, base = self.axes[stage.name], stage.model.rpartition("/")[0]
        files = [RepositoryFile(f"{VERSION}/{name}", blob=axis.artefact or self.package.file(stage.model).digest)]
        for path in stage.files:
            if path != stage.model:
                beside = path.removeprefix(f"{base}/") if base else path
                if path == stage.model.removesuffix(".xml") + ".bin":
                    beside = name.removesuffix(".xml") + ".bin"
                if reason := code_in_name(beside):
                    raise RenderError(f"{beside!r} {reason}", where=stage.name, do="import the package again")
                files.append(RepositoryFile(f"{VERSION}/{beside}", blob=self.package.file(path).digest))
        return files

    def _adopted(self, stage: Stage, settings: Settings) -> _Made:
        """As it came; its configs for other hardware get what ties them to this model, and keep what they choose."""
        config = self._own_config(stage, stage.config or CONFIG)
        paths = {in_folder(stage, path): path for path in stage.files if path != stage.config}
        variants = {name: self._own_config(stage, paths[path]) for path in paths if (name := variant_of(path))}
        files = [RepositoryFile(p, blob=self.package.file(paths[p]).digest) for p in paths if not variant_of(p)]
        if is_ensemble(config):  # Triton wants a version folder of it, too
            files.append(_EMPTY)
        notes: list[str] = []
        for variant in variants.values():
            make_safe(variant, settings, [])
        return _Made(adapt(config, settings, notes), tuple(files), tuple(notes), variants)

    def _own_config(self, stage: Stage, path: str) -> Any:
        config = parsed(self.configs[path], path)
        if not (config.backend or config.platform) and stage.format in BACKENDS:
            config.backend = BACKENDS[stage.format][0]  # else Triton takes one from a file's name
        return config

    def member(self, stage: str, made: _Made) -> RenderedModel:
        """A cascade's model, named by all that it holds: cascades with the same member share it, loaded once."""
        nameless = self.model(made, stage, member=True)
        return self.model(made, member_name(stage, _digest((nameless,))), member=True)

    def model(self, made: _Made, name: str, *, member: bool = False) -> RenderedModel:
        """The model folder of that name; its configs carry the mark of all that it holds."""
        mark, files = made.mark, list(made.files)
        configs = {f"configs/{hardware}.pbtxt": config for hardware, config in sorted(made.variants.items())}
        for path, config in {CONFIG: made.config, **configs}.items():
            config.name = name
            config.parameters[REVISION].string_value = mark
            notes = made.notes if path == CONFIG else ()
            text = config_text(config, self.package, notes, self.templates, member=member)
            files.append(RepositoryFile(path, text=text))
        if twice := sorted(p for p, n in Counter(file.path for file in files).items() if n > 1):
            raise RenderError(
                f"two of its files would be {twice[0]}", where=name, do="rename one of them in the package"
            )
        return RenderedModel(name, tuple(files), made.notes)


def _moved(files: tuple[RepositoryFile, ...], version: str, *, was: str = VERSION) -> tuple[RepositoryFile, ...]:
    """Files with the version folder `was` named otherwise."""
    prefix = f"{was}/"
    return tuple(
        replace(file, path=f"{version}/{file.path.removeprefix(prefix)}") if file.path.startswith(prefix) else file
        for file in files
    )


def _beside(made: _Made, earlier: Mapping[str, RenderedModel]) -> _Made:
    """With the version folders of earlier contents that the same config can serve; a note tells of the others."""
    for version, model in earlier.items():
        config = parsed(next(file.text or "" for file in model.files if file.path == CONFIG), CONFIG)
        if _serves_as(config) != _serves_as(made.config):
            note = f"version {version} is not kept: its tensors, backend or batching are others"
            made = replace(made, notes=(*made.notes, note))
            continue
        was = version if any(file.path.startswith(f"{version}/") for file in model.files) else VERSION
        own = tuple(file for file in model.files if file.path.startswith(f"{was}/"))
        made = replace(made, files=(*_moved(own, version, was=was), *made.files))
    return made


def _serves_as(config: Any) -> tuple[Any, ...]:
    """What the versions of one model share."""
    tensors = [(t.name, t.data_type, tuple(t.dims)) for side in (config.input, config.output) for t in side]
    return config.backend, config.platform, config.default_model_filename, config.max_batch_size > 0, tensors


def _digest(models: tuple[RenderedModel, ...]) -> str:
    return hashlib.sha256(msgspec.json.encode(models)).hexdigest()


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
