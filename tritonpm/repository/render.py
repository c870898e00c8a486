"""Package × Settings × Target → the immutable revision: every model folder and its files, the ensemble last."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from tritonpm.data import (
    BatchAxis,
    Package,
    RenderedModel,
    RepositoryFile,
    Revision,
    Settings,
    Stage,
    Target,
    config_dtype,
    dims,
)  # fmt: skip
from tritonpm.repository.adopt import adapt
from tritonpm.repository.cascade import Wiring, wire
from tritonpm.repository.config import REVISION, backend_of, member, messages, parse
from tritonpm.repository.templates import config_text

VERSION = "1"
CONFIG = "config.pbtxt"


def render(
    package: Package,
    settings: Settings,
    target: Target,
    axes: Mapping[str, BatchAxis],
    *,
    configs: Mapping[str, str] | None = None,
    templates: Path | None = None,
) -> Revision:
    """The repository of a package; `configs` are the adopted stages' config.pbtxt, by stage. Raises RenderError."""
    look = _Look(package, settings, target, axes, configs or {}, templates)
    if not package.cascade:
        model = look.stage(package.stages[0], package.name)
        return Revision(package.name, _digest(model), (model,))
    wiring = wire(package)
    members = {}
    for stage in package.stages:
        model = look.stage(stage, f"{package.name}.{stage.name}")
        members[stage.name] = _renamed(model, f"{model.name}.{_digest(model)[:8]}")
    ensemble = look.ensemble(wiring, members)
    models = (*members.values(), ensemble)
    return Revision(package.name, _digest(*models), models)


class _Look:
    """One rendering: what every model of it shares."""

    def __init__(
        self,
        package: Package,
        settings: Settings,
        target: Target,
        axes: Mapping[str, BatchAxis],
        configs: Mapping[str, str],
        templates: Path | None,
    ) -> None:
        self.package, self.settings, self.target, self.axes = package, settings, target, axes
        self.configs, self.templates = configs, templates
        self.batches: dict[str, int] = {}  # stage → max_batch_size of its member

    def stage(self, stage: Stage, name: str) -> RenderedModel:
        """A stage's model folder."""
        settings = self.settings.for_stage(stage.name)
        if stage.config:
            return self._adopted(stage, settings, name)
        made = member(self.package, stage, settings, self.target, self.axes[stage.name], name)
        self.batches[stage.name] = made.config.max_batch_size
        files = list(self._model_files(stage, made.file))
        if any(output.label_filename for output in made.config.output) and stage.labels:
            files.append(RepositoryFile("labels.txt", blob=self.package.file(stage.labels).digest))
        variants = self._variants(stage, settings, name)
        return self._model(name, made.config, files, made.notes, variants)

    def _variants(self, stage: Stage, settings: Settings, name: str) -> dict[str, Any]:
        """The same model for other hardware, for Triton's --model-config-name: the CPU and each class of GPU."""
        devices = {"cpu": replace(settings, device="cpu", gpus=(), group_per_gpu=False, cuda_graphs=False)}
        if backend_of(stage, settings) != "openvino":
            for gpu in self.target.gpus:
                devices[_slug(gpu.name)] = replace(settings, device="gpu")
        if backend_of(stage, settings) == "tensorrt":
            del devices["cpu"]
        axis = self.axes[stage.name]
        return {
            hardware: member(self.package, stage, chosen, self.target, axis, name).config
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
                files.append(RepositoryFile(f"{VERSION}/{beside}", blob=self.package.file(path).digest))
        return files

    def _adopted(self, stage: Stage, settings: Settings, name: str) -> RenderedModel:
        config = adapt(parse(self.configs[stage.name], stage.config or CONFIG), settings)
        config.name = name
        self.batches[stage.name] = config.max_batch_size
        prefix = f"{stage.root}/" if stage.root else ""
        files = [
            RepositoryFile(path.removeprefix(prefix), blob=self.package.file(path).digest)
            for path in stage.files
            if path != stage.config
        ]
        return self._model(name, config, files, (), {})

    def ensemble(self, wiring: Wiring, members: Mapping[str, RenderedModel]) -> RenderedModel:
        """The ensemble that runs the members; it is named as the package."""
        config = messages().ModelConfig(name=self.package.name, platform="ensemble")
        config.max_batch_size = min(self.batches.values())
        skip = 1 if config.max_batch_size else 0
        publics = {(stage, tensor.name): name for name, stage, tensor in wiring.outputs}
        tensors = [(config.input.add(), t.name, t) for t in wiring.inputs]
        tensors += [(config.output.add(), name, t) for name, _, t in wiring.outputs]
        for entry, name, tensor in tensors:
            entry.name, entry.data_type = name, messages().DataType.Value(config_dtype(tensor.dtype))
            entry.dims.extend(dims((tensor.shape or ())[skip:]) or (1,))
        used = {(edge.source_stage, edge.source_tensor) for edge in wiring.edges} | set(publics)
        for stage in self.package.stages:
            step = config.ensemble_scheduling.step.add(model_name=members[stage.name].name, model_version=-1)
            for edge in wiring.edges:
                if edge.stage == stage.name:
                    source = (edge.source_stage, edge.source_tensor)
                    internal = ".".join(source) if edge.source_stage else edge.source_tensor
                    step.input_map[edge.tensor] = publics.get(source, internal)
            for tensor in stage.signature.outputs:
                if (stage.name, tensor.name) in used:
                    step.output_map[tensor.name] = publics.get((stage.name, tensor.name), f"{stage.name}.{tensor.name}")
        files = [RepositoryFile(f"{VERSION}/.keep", text="")]
        return self._model(self.package.name, config, files, (), {})

    def _model(
        self,
        name: str,
        config: Any,
        files: list[RepositoryFile],
        notes: tuple[str, ...],
        variants: Mapping[str, Any],
    ) -> RenderedModel:
        """A model folder whose config carries the digest of all that it holds."""
        config.parameters.pop(REVISION, None)
        mark = hashlib.sha256(config.SerializeToString(deterministic=True) + msgspec.json.encode(files)).hexdigest()[
            :16
        ]
        texts = {
            CONFIG: config,
            **{f"configs/{hardware}.pbtxt": variant for hardware, variant in sorted(variants.items())},
        }
        for path, each in texts.items():
            each.parameters[REVISION].string_value = mark
            text = config_text(each, self.package, notes if path == CONFIG else (), self.templates)
            files.append(RepositoryFile(path, text=text))
        return RenderedModel(name, tuple(files), notes)


def _renamed(model: RenderedModel, name: str) -> RenderedModel:
    old, new = f'name: "{model.name}"', f'name: "{name}"'
    files = tuple(
        replace(file, text=file.text.replace(old, new, 1)) if file.text and file.path.endswith(".pbtxt") else file
        for file in model.files
    )
    return RenderedModel(name, files, model.notes)


def _digest(*models: RenderedModel) -> str:
    return hashlib.sha256(msgspec.json.encode(models)).hexdigest()


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
