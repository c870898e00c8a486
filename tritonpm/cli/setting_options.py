"""The options that choose settings: one row each, shared by `import` and `set`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from tritonpm.settings.settings import DEVICES, ON_DEMAND, OPTIMIZERS, PINNED, PRECISIONS, SERVE
from tritonpm.settings.shapes import EXAMPLE

F = TypeVar("F", bound=Callable[..., Any])


class Numbers(click.ParamType[Any]):
    """A comma-separated list of whole numbers."""

    name = "N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """`"0,1"` as (0, 1); an empty text is ()."""
        try:
            return tuple(int(part) for part in str(value).split(",") if part)
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers such as 0,1", param, ctx)


class Words(click.ParamType[Any]):
    """A comma-separated list of words."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """`"a,b"` as ("a", "b"); an empty text is ()."""
        return tuple(part for part in str(value).split(",") if part)


class Pair(click.ParamType[Any]):
    """KEY=VALUE."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """`"a=b"` as ("a", "b")."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not of the form KEY=VALUE", param, ctx)
        return key, text


class Counts(Pair):
    """RESOURCE=COUNT."""

    name = "RESOURCE=N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`"r=2"` as ("r", 2)."""
        key, text = super().convert(value, param, ctx)
        try:
            return key, int(text)
        except ValueError:
            self.fail(f"{text!r} is not a whole number", param, ctx)


AUTO = "auto"


class Instances(click.ParamType[Any]):
    """A whole number, or auto."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """`"2"` as 2, `"auto"` as it is; what measures is `set`."""
        if value == AUTO:
            if ctx and ctx.info_name != "set":
                self.fail("instances are measured by `tritonpm set NAME --instances auto`", param, ctx)
            return AUTO
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor {AUTO}", param, ctx)


class Bound(Pair):
    """MEASURE=BOUND."""

    name = "MEASURE=BOUND"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`"cosine=0.99"` as ("cosine", 0.99)."""
        key, text = super().convert(value, param, ctx)
        try:
            return key, float(text)
        except ValueError:
            self.fail(f"{text!r} is not a number", param, ctx)


class Said(Pair):
    """FIELD=VALUE, the value as JSON, as numbers with commas, or as a word."""

    name = "FIELD=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`"size=640,640"` as ("size", [640, 640])."""
        key, text = super().convert(value, param, ctx)
        for form in (text, f"[{text}]"):
            try:
                return key, json.loads(form)
            except ValueError:
                continue
        return key, text


class Fields(click.ParamType[Any]):
    """A comma-separated list of settings, spelt as their options or as their fields."""

    name = "SETTING,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """`"max-batch-size,tolerance"` as ("max_batch_size", "tolerances")."""
        from tritonpm.core.errors import RuleError
        from tritonpm.settings import field_named

        names = [part.strip().removeprefix("--").replace("-", "_") for part in str(value).split(",") if part.strip()]
        try:
            return tuple(field_named(_SPELT.get(name, name)) for name in names)
        except RuleError as error:
            self.fail(f"{error.what}; {error.do}", param, ctx)


UNSET = click.option(
    "--unset",
    type=Fields(),
    multiple=True,
    help="Reset a setting to what the package started with, e.g. max-batch-size; with --stage, remove the stage's own "
    "value (repeatable).",
)


def named(unset: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """The settings that --unset was given with, each once."""
    return tuple(dict.fromkeys(field for fields in unset for field in fields))


OPTIONS = (
    click.option("--mode", type=click.Choice(["shared", "performance"]), help="One instance, or several."),
    click.option(
        "--instances",
        type=Instances(),
        help="How many in performance mode; auto measures how many are worth it [default: by cores or GPUs].",
    ),
    click.option(
        "--device", type=click.Choice(DEVICES), help="What it runs on; gpu runs the model as it was handed in."
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS, case_sensitive=False),
        help="FP32 is the precision that the model came with.",
    ),
    click.option("--optimizer", type=click.Choice(["none", "auto", *OPTIMIZERS]), help="What compiles the model."),
    click.option("--max-drop", type=float, help="INT8: the share of the score that may be lost, e.g. 0.01."),
    click.option(
        "--tolerance", "tolerances", type=Bound(), multiple=True, help="A bound that the proof must meet (repeatable)."
    ),
    click.option("--bf16/--no-bf16", default=None, help="CPU: compute in bf16 if the CPU supports it."),
    click.option("--openvino-device", help="CPU, AUTO, HETERO:GPU,CPU or MULTI:CPU,GPU."),
    click.option("--streams", help="OpenVINO: requests processed in parallel, a number or AUTO."),
    click.option("--threads", type=int, help="Threads of each instance [default: an equal share of the cores]."),
    click.option("--performance-hint", help="OpenVINO: LATENCY or THROUGHPUT."),
    click.option(
        "--shape",
        "shapes",
        type=Pair(),
        multiple=True,
        help=f"TensorRT: INPUT=LEAST:BEST:MOST, e.g. {EXAMPLE} (repeatable).",
    ),
    click.option(
        "--compute-capability",
        metavar="X.Y",
        help="TensorRT-RTX: the compute capability to build for, if the GPU is not in this machine.",
    ),
    click.option("--workspace-mb", type=int, help="TensorRT: MiB of scratch memory for building."),
    click.option("--builder-level", type=int, help="TensorRT: builder optimisation level, 0 to 5."),
    click.option(
        "--version-compatible/--this-version",
        default=None,
        help="TensorRT: build an engine that later versions can load, too.",
    ),
    click.option(
        "--hardware-compatible/--this-hardware",
        default=None,
        help="TensorRT: build an engine that other GPUs can run, too.",
    ),
    click.option("--gpus", type=Numbers(), help="Which GPUs [default: all]."),
    click.option("--group-per-gpu/--one-group", default=None, help="Write a separate instance group for each GPU."),
    click.option(
        "--max-batch-size",
        type=int,
        help="The largest batch that Triton forms; 0: no batching, and any number of rows per request.",
    ),
    click.option("--backend", help="Use another backend than the model format's own, e.g. openvino for ONNX."),
    click.option(
        "--dynamic-batching/--no-dynamic-batching", default=None, help="Let Triton combine requests into batches."
    ),
    click.option("--preferred-batch-sizes", type=Numbers(), help="Batch sizes that the batcher aims for."),
    click.option("--queue-delay-us", type=int, help="How long the batcher may wait for more requests, in µs."),
    click.option("--version-policy", help="latest:N, all or specific:1,3."),
    click.option("--kept-versions", type=int, help="How many earlier versions stay available to clients that pin one."),
    click.option("--residency", type=click.Choice([PINNED, ON_DEMAND]), help="on-demand: unloaded when idle."),
    click.option(
        "--idle-seconds", type=int, help="on-demand: idle time before it is unloaded, without requests or users."
    ),
    click.option("--warmup/--no-warmup", default=None, help="Run the model once before the first request."),
    click.option("--response-cache/--no-response-cache", default=None, help="Answer repeated requests from a cache."),
    click.option("--rate-limiter", type=Counts(), multiple=True, help="A resource of the rate limiter (repeatable)."),
    click.option("--priority", type=int, help="Its priority in the rate limiter."),
    click.option("--cuda-graphs/--no-cuda-graphs", default=None, help="Replay CUDA graphs (GPU)."),
    click.option("--accelerators", type=Words(), help="ONNX Runtime's execution accelerators, e.g. tensorrt."),
    click.option(
        "--serve",
        type=click.Choice(SERVE),
        help="image: the server takes pixels and returns objects; encoded: it takes JPEG or PNG files.",
    ),
    click.option(
        "--raw-outputs/--no-raw-outputs", default=None, help="With --serve image: return the model's own outputs, too."
    ),
    click.option("--preprocess", type=Said(), multiple=True, help="How a picture becomes the input (repeatable)."),
    click.option("--decode", type=Said(), multiple=True, help="What the outputs are, e.g. score=0.4 (repeatable)."),
    click.option("--parameter", "parameters", type=Pair(), multiple=True, help="A backend parameter (repeatable)."),
)


def setting_options(function: F) -> F:
    """Add every setting's option; the command gets those that were given as `changes`."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        changes = {name: kwargs.pop(name) for name in NAMES}
        absent = {name for name in MAPPINGS if not changes[name]}  # repeatable: () where it was not given
        given = {name: value for name, value in changes.items() if value is not None and name not in absent}
        given |= {name: dict(given[name]) for name in MAPPINGS if name in given}
        return function(*args, changes=given, **kwargs)

    wrapped: Any = call
    before = len(getattr(wrapped, "__click_params__", ()))
    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    NAMES.update(param.name for param in wrapped.__click_params__[before:])
    return wrapped  # type: ignore[no-any-return]


NAMES: set[str] = set()
# How options spell the settings whose names they do not have: each is repeated for one entry.
_SPELT = {
    "tolerance": "tolerances",
    "shape": "shapes",
    "parameter": "parameters",
    "plugin": "plugins",
    "stage": "stages",
}
MAPPINGS = ("rate_limiter", "parameters", "tolerances", "shapes", "preprocess", "decode")
