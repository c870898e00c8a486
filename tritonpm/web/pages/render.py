"""Templates to HTML, in the browser's language; everything that is not a template's own is escaped."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request

from tritonpm import __version__
from tritonpm.operations.monitor.figures import duration, number, size
from tritonpm.package.paths import NAME_PATTERN
from tritonpm.settings.settings import ENCODED, ON_DEMAND, PICTURES, PINNED, TENSORS
from tritonpm.web.api.common import PREFIX, language_of
from tritonpm.web.callers import ACTOR, named
from tritonpm.web.language import COOKIE, HERE, NAMES, Language, for_scripts
from tritonpm.web.pages.controls import denied
from tritonpm.web.problems import Problem
from tritonpm.web.roles import actor_of

DEVICES = {"cpu": "CPU", "gpu": "GPU (default)", "gpu-optimised": "GPU (optimised)"}
MODES = {"shared": "Shared", "performance": "Performance"}
RESIDENCIES = {PINNED: "Stays loaded", ON_DEMAND: "Loaded on the first request"}
SENT = {TENSORS: "Tensors", PICTURES: "Pixels", ENCODED: "JPEG or PNG"}  # by clients
HELPS = {  # what a choice means, below it
    "mode/shared": "One instance answers everybody, which takes the least memory.",
    "mode/performance": "Several instances answer at once, which takes memory for each.",
    "max_batch_size": "How many pictures or rows Triton joins into one execution: more of them give more throughput, "
    "later answers and take more memory. 0: each request is executed as it comes.",
    "device/cpu": "The processor, which every machine has.",
    "device/gpu": "The model as it came, on a GPU.",
    "device/gpu-optimised": "Compiled for this machine's GPU first, which takes minutes.",
    "precision/FP32": "The default, which the others are compared with.",
    "precision/FP16": "About half the memory, and quicker where the hardware has it.",
    "precision/INT8": "About a quarter of the memory, often the quickest; it is calibrated on samples.",
}  # fmt: skip
UNBATCHED = "Triton does not join requests of it: each is executed as it comes, with as many rows as it has."
_NAME = NAME_PATTERN[1:-1].replace("_-]", r"_\-]")  # browsers read it with the flag v, where "-" is escaped
RAIL = {
    "packages": "Packages", "jobs": "Jobs", "projects": "Projects", "monitor": "Monitor", "activity": "Activity",
    "logs": "Log", "triton": "Server", "api": "API",
}  # fmt: skip
STATUSES = {
    "imported": "Imported", "optimising": "Optimising", "ready": "Ready", "loaded": "Loaded", "failed": "Failed",
}  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(
        version=__version__, api=PREFIX, devices=DEVICES, modes=MODES, statuses=STATUSES, residencies=RESIDENCIES,
        sent=SENT, rail=RAIL, unbatched=UNBATCHED, helps=HELPS, languages=NAMES, name_pattern=_NAME,
        language_cookie=COOKIE,
    )  # fmt: skip
    environment.filters["moment"] = _moment
    environment.filters.update(of_tasks=of_tasks, batch=batch, number=number, duration=duration, size=size)
    return environment


def _moment(text: str) -> Markup:
    """A moment; scripts write it in the reader's time zone."""
    moment = datetime.fromisoformat(text)
    return Markup('<time datetime="{}">{}</time>').format(text, moment.strftime("%Y-%m-%d %H:%M:%S"))


def batch(largest: int, say: Language) -> str:
    """How many requests Triton joins; 0 is none, whatever rows one of them holds."""
    return say("batch {size}", size=largest) if largest else say("no batching")


def of_tasks(kinds: str, say: Language) -> str:
    """What a package does, "object detection + defect segmentation", in a language."""
    return " + ".join(say(kind) for kind in kinds.split(" + "))


def rendered(request: Request, template: str, code: int = 200, **values: Any) -> HTMLResponse:
    """A template as a response to somebody who was let in."""
    actor, say = actor_of(request), language_of(request)
    me = replace(actor, name=named(actor.name, say))
    return outside(request, template, code, actor=me, denied=denied(actor.role, say), **values)


def outside(request: Request, template: str, code: int = 200, **values: Any) -> HTMLResponse:
    """A template as a response to whoever it is."""
    say = language_of(request)
    html = (
        _environment()
        .get_template(template)
        .render(_=say, _n=say.plural, say=say, script_sentences=for_scripts, **values)
    )
    headers = {"Content-Language": say.code, "Vary": "Accept-Language, Cookie"}
    return HTMLResponse(html, code, headers)


def failed(request: Request, problem: Problem) -> HTMLResponse:
    """The page that says what went wrong; a part of one where a script asks, or nobody is let in yet."""
    if ACTOR not in request.scope or request.headers.get("hx-request"):
        return outside(request, "problem_part.html", problem.status, problem=problem)
    return rendered(request, "problem.html", problem.status, problem=problem)
