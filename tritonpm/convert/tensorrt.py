"""A TensorRT engine from ONNX, written once for TensorRT 10, TensorRT 11 and TensorRT-RTX.

The network is strongly typed: its precision is that of the graph, which `onnx_fp16` or `onnx_int8` made before. An
engine is tied to the toolkit's version and to the GPU's compute capability; `stale` says when it does not fit any more.
TensorRT-RTX builds without a GPU, for a compute capability that is named. DLA is left out.
Source: TensorRT's developer guide and API reference; TensorRT-RTX's guide on ahead-of-time builds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from tritonpm.convert import tensorrt_layers as layers
from tritonpm.convert.conversion import (
    Artefact,
    CancelledError,
    Conversion,
    ConversionError,
    MissingToolError,
    NotTakenError,
    Options,
    Record,
    Watch,
)
from tritonpm.convert.layer import Layer
from tritonpm.convert.tensorrt_shapes import profile_of
from tritonpm.core.extras import install
from tritonpm.core.files import write_atomically
from tritonpm.core.types import Format, Gpu, Step

PLAN = "model.plan"
_MODULES = (("tensorrt", "TensorRT"), ("tensorrt_rtx", "TensorRT-RTX"), ("tensorrt_rtx_bindings", "TensorRT-RTX"))
_RTX = "TensorRT-RTX"
_IN_PART = ("could not find any implementation", "unsupported", "not supported")  # of a graph that parses all the same


@dataclass(frozen=True)
class Toolkit:
    """The TensorRT that is installed: its module, its kind and its version."""

    module: Any
    flavour: str
    version: str


def toolkit() -> Toolkit:
    """The first TensorRT that imports. Raises MissingToolError."""
    for name, flavour in _MODULES:
        with suppress(ImportError, OSError):
            module = import_module(name)
            if hasattr(module, "Builder"):
                return Toolkit(module, flavour, str(module.__version__))
    raise MissingToolError(
        "TensorRT is not installed", do=f"{install('tensorrt')}, or {install('tensorrt-rtx')} for RTX GPUs"
    )


def convert(artefact: Artefact, options: Options, device: Gpu | None, folder: Path, watch: Watch) -> Conversion:
    """Build model.plan into `folder`. Raises ConversionError, MissingToolError, CancelledError."""
    kit = toolkit()
    if device is None:
        raise ConversionError("an engine is built for a GPU, and there is none here", do=_without_gpu(kit))
    if kit.flavour != _RTX:
        _use(device)
    build = _Build(kit, options, device, watch)
    plan = build.plan(artefact)
    path = folder / PLAN
    path.write_bytes(plan)
    tools = {kit.flavour: kit.version}
    return Conversion(replace(artefact, format=Format.TENSORRT, model=path), Record("tensorrt", tools, build.details))


def _use(device: Gpu) -> None:
    """TensorRT builds for the GPU that CUDA takes first: let that be the one. Raises ConversionError."""
    if not device.memory_total:
        raise ConversionError(
            f"TensorRT builds for a GPU that is here, not for compute capability {device.compute_capability}",
            do="build it on the machine that serves it, or with TensorRT-RTX",
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = str(device.index)  # CUDA reads it when it is first used: not before the build


def _without_gpu(kit: Toolkit) -> str:
    named = "name one with --compute-capability" if kit.flavour == _RTX else ""
    return named or "build it on the machine that serves it"


@dataclass
class _Build:
    """One build: what is told to the toolkit, and what it says."""

    kit: Toolkit
    options: Options
    device: Gpu
    watch: Watch
    details: dict[str, object] = field(default_factory=dict)

    def plan(self, artefact: Artefact) -> bytes:
        """The serialized engine."""
        trt, where = self.kit.module, artefact.model.name
        logger = _logger(trt)
        try:
            builder = trt.Builder(logger)
        except TypeError:  # what the binding raises where CUDA cannot be initialised
            raise ConversionError(f"{self.kit.flavour} cannot start: {logger.said()}", where=where) from None
        self._load_plugins(builder)
        network = self._parsed(builder, artefact, logger)
        config = self._config(builder, network, artefact)
        monitor = _monitor(trt, self.watch)
        config.progress_monitor = monitor
        logger.errors.clear()  # what was said before, of a cache that does not fit, is no reason
        serialized = builder.build_serialized_network(network, config)
        if monitor.stopped:
            raise CancelledError("was cancelled")
        if serialized is None:
            kind = NotTakenError if any(word in logger.said().lower() for word in _IN_PART) else ConversionError
            raise kind(f"{self.kit.flavour} cannot build it: {logger.said()}", where=where)
        self._keep_timings(config)
        plan = bytes(serialized)
        self.details.update(
            flavour=self.kit.flavour,
            version=self.kit.version,
            compute_capability=self.device.compute_capability,
            gpu=self.device.name,
            driver=driver(),
            bytes=len(plan),
            layers=layers.as_record(self._layers(logger, plan)),
        )
        return plan

    def _load_plugins(self, builder: Any) -> None:
        for library in self.options.plugins:
            if not Path(library).is_file():
                raise ConversionError("the plugin does not exist", where=library, do="give a shared library")
            if builder.get_plugin_registry().load_library(library) is None:
                raise ConversionError("is not a library of TensorRT plugins", where=library, do="build it again")
        if self.options.plugins:
            self.details["plugins"] = list(self.options.plugins)

    def _parsed(self, builder: Any, artefact: Artefact, logger: Any) -> Any:
        """The network of the ONNX file. Raises ConversionError with the parser's own words."""
        trt = self.kit.module
        typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(1 << int(typed) if typed is not None else 0)
        parser = trt.OnnxParser(network, logger)
        self.watch.report("parsing", 0, 0)
        if parser.parse_from_file(str(artefact.model)):
            return network
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        reasons = "; ".join(dict.fromkeys(_told(error) for error in errors)) or logger.said()
        raise NotTakenError(f"{self.kit.flavour} does not take it: {reasons[:600]}", where=artefact.model.name)

    def _config(self, builder: Any, network: Any, artefact: Artefact) -> Any:
        trt, options = self.kit.module, self.options
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        self._aim(config)
        self._add_profile(builder, network, config, artefact)
        if options.workspace_bytes is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
        if options.builder_level is not None:
            config.builder_optimization_level = options.builder_level
        if options.version_compatible:
            config.set_flag(self._known(trt.BuilderFlag, "VERSION_COMPATIBLE", "version-compatible engines"))
            config.plugins_to_serialize = list(options.plugins)
        if options.hardware_compatible:
            level = self._known(trt.HardwareCompatibilityLevel, "AMPERE_PLUS", "hardware-compatible engines")
            config.hardware_compatibility_level = level
        self.details["workspace_bytes"], self.details["builder_level"] = options.workspace_bytes, options.builder_level
        self.details.update(
            version_compatible=options.version_compatible, hardware_compatible=options.hardware_compatible
        )
        self._use_timings(config)
        return config

    def _known(self, kind: Any, name: str, what: str) -> Any:
        value = getattr(kind, name, None)
        if value is None or self.kit.flavour == _RTX:  # whose names are there, and without effect or without a runtime
            raise ConversionError(f"{self.kit.flavour} {self.kit.version} has no {what}", do="leave the option out")
        return value

    def _aim(self, config: Any) -> None:
        """Tell TensorRT-RTX which GPU it builds for: it needs none here. TensorRT builds for the one that is here."""
        if self.kit.flavour != _RTX:
            return
        known = self.kit.module.ComputeCapability
        capability = getattr(known, "SM" + self.device.compute_capability.replace(".", ""), None)
        if capability is None:
            can = ", ".join(f"{n[2:-1]}.{n[-1]}" for n in sorted(dir(known), key=len) if n.startswith("SM"))
            raise ConversionError(
                f"TensorRT-RTX does not build for compute capability {self.device.compute_capability}",
                do=f"it builds for {can}; other GPUs need TensorRT itself",
            )
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)

    def _add_profile(self, builder: Any, network: Any, config: Any, artefact: Artefact) -> None:
        """One optimisation profile with a range for each input that is dynamic. Raises ConversionError."""
        known = {tensor.name: tensor for tensor in artefact.signature.inputs}
        for name in set(self.options.shapes) - set(known):
            raise ConversionError(f"there is no input {name!r}", do=f"the inputs are {', '.join(known)}")
        profile, ranges = builder.create_optimization_profile(), {}
        for index in range(network.num_inputs):
            name = network.get_input(index).name
            if network.get_input(index).is_shape_tensor:
                raise ConversionError(
                    f"input {name!r} is a shape tensor, whose values an engine must know beforehand",
                    do="export the model with that shape fixed, or use --optimizer ort-tensorrt",
                )
            if shapes := profile_of(known[name], self.options.max_batch_size, self.options.shapes.get(name)):
                profile.set_shape(name, shapes.least, shapes.best, shapes.most)
                ranges[name] = [list(shapes.least), list(shapes.best), list(shapes.most)]
        if ranges:
            config.add_optimization_profile(profile)
        self.details["profile"] = ranges

    def _use_timings(self, config: Any) -> None:
        """Begin with what earlier builds learnt; a cache that does not fit is set aside, and said."""
        if self.kit.flavour == _RTX:
            self.details["timing_cache"] = "TensorRT-RTX has none: kernels are chosen on the GPU, at the first run"
            return
        path = Path(self.options.timing_cache) if self.options.timing_cache else None
        content = path.read_bytes() if path and path.is_file() else b""
        cache = config.create_timing_cache(content)
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            if path and content:
                path.replace(path.with_suffix(".unfit"))
            self.details["timing_cache"] = "begun: the one that was there does not fit this GPU and toolkit"
            config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
        else:
            self.details["timing_cache"] = "used" if content else "begun"

    def _keep_timings(self, config: Any) -> None:
        if self.kit.flavour == _RTX or not self.options.timing_cache:
            return
        write_atomically(Path(self.options.timing_cache), bytes(config.get_timing_cache().serialize()))

    def _layers(self, logger: Any, plan: bytes) -> list[Layer]:
        """From the inspector where the engine can be loaded, which takes a GPU; else from what the build said."""
        trt = self.kit.module
        if logged := layers.from_log(logger.messages):
            return logged
        engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
        if engine is None:
            return []
        text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        return layers.from_inspector(text)


def stale(step: Step, installed: tuple[str, str] | None, gpus: Sequence[Gpu]) -> str:
    """Why an engine does not fit this machine: "" where it does, or where there is no GPU to say.

    `installed` is the flavour and version of the toolkit that is here. A version-compatible engine fits every later
    version, a hardware-compatible one every GPU from Ampere (8.0) on.
    """
    details = step.details
    flavour, version = str(details["flavour"]), str(details["version"])
    if installed and installed[0] == flavour and installed[1] != version:
        later = _number(installed[1]) > _number(version)
        if not (later and details.get("version_compatible")):
            return f"it was built by {flavour} {version}, and {installed[1]} is here"
    here = {gpu.compute_capability for gpu in gpus}
    capability = str(details["compute_capability"])
    fits = details.get("hardware_compatible") and all(_number(present) >= (8, 0) for present in here)
    if here and here != {capability} and not fits:
        return f"it was built for compute capability {capability}, and the GPU here has {', '.join(sorted(here))}"
    return ""


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def driver() -> str:
    """The NVIDIA driver's version, "" where there is none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return ""


def _told(error: Any) -> str:
    """A parser error: the operator and node it is about, then its words."""
    about = f"{error.node_operator()} {error.node_name()!r}: " if error.node_operator() else ""
    return about + " ".join(error.desc().split())


def _logger(trt: Any) -> Any:
    """A logger that keeps what is said: errors for the user, the table of layers."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))
            elif message.startswith("Layers:"):
                self.messages.append(message)

        def said(self) -> str:
            return (self.errors or ["it does not say why"])[0][:400]

    return Logger()


def _monitor(trt: Any, watch: Watch) -> Any:
    """TensorRT's progress to ours; no exception passes through the builder, so that a wish to stop is remembered."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.totals: dict[str, int] = {}
            self.stopped = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.totals[phase_name] = num_steps
            self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return not self.stopped

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self.totals.get(phase_name, 0))

        def _tell(self, phase: str, done: int) -> None:
            try:
                watch.report(phase, done, self.totals.get(phase, 0))
            except CancelledError:
                self.stopped = True
            self.stopped = self.stopped or watch.cancelled

    return Monitor()
