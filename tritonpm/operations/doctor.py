"""What this machine has for tritonpm, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata

from tritonpm.core.extras import to_install
from tritonpm.core.types import Check
from tritonpm.core.units import human
from tritonpm.hardware.host import host
from tritonpm.hardware.machine import cores, gpus
from tritonpm.hardware.requirements import PackageNeeds, unmet
from tritonpm.triton.installation import CARRIER


def doctor(profile: str = "") -> list[Check]:
    """Every check, in the order in which a newcomer needs them; `profile` is the site's, such as mech-vision."""
    serves = _is_there(CARRIER)
    server = [_server(needed=serves), *([_compiled()] if serves else ())]  # they are the embedded server's
    tools = [*(_package(*row, serves=serves) for row in _PACKAGES), _tensorrt(), _perf_analyzer()]
    return [_python(), *server, *tools, _memory(), _gpu(), *_requirements(profile)]


# package, what it is for, whether who asked for the embedded server needs it
_PACKAGES = (
    ("onnxruntime", "the embedded server's onnxruntime backend", True),
    ("openvino", "the embedded server's openvino backend", True),
    ("nncf", "INT8 by OpenVINO", False),
    ("Pillow", "pictures: `infer --image`, `serve: image`, calibrating INT8 on them", False),
    ("keras", "converting .keras", False),
    ("torch", "converting .pt2 and .keras", False),
    ("optuna", "`tritonpm tune`", False),
    ("fastapi", "the page, `tritonpm ui`", False),
    ("uvicorn", "the page, `tritonpm ui`", False),
    ("authlib", "signing in to the page, `tritonpm ui --oidc`", False),
    ("obstore", "repositories in object stores", False),
    ("oras", "packages in OCI registries", False),
    ("model-signing", "signed packages", False),
    ("requests", "packages from https://", False),
    ("huggingface-hub", "models from hf://", False),
    ("mlflow-skinny", "models from MLflow, models:/", False),
    ("mcp", "`tritonpm mcp`, for agents", False),
    ("tritonserver", "Triton's in-process API (Python 3.12, glibc 2.39 or later)", False),
)


def _python() -> Check:
    version = f"{platform.python_version()} ({sys.executable})"
    return Check("Python", sys.version_info >= (3, 10), version, "install Python 3.10 or later")


def _is_there(distribution: str) -> bool:
    """Whether a distribution is installed, and so was asked for."""
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _server(*, needed: bool) -> Check:
    from tritonpm.core.errors import ServerError
    from tritonpm.triton.installation import find

    try:
        server = find()
    except ServerError as error:
        return Check("tritonserver", False, "", f"to serve here: {error}", needed=needed)
    version = f"{server.version}, " if server.version else ""
    return Check("tritonserver", True, f"{version}{server.source} ({server.binary})")


def _compiled() -> Check:
    from tritonpm.triton import compiled

    lacking = [f"{name}: {reason}" for name in compiled.NAMES if (reason := compiled.why_not(name))]
    serve = os.environ.get(compiled.VARIABLE) != "python"
    what = "used" if serve else f"Python-based ones serve, as {compiled.VARIABLE} asks"
    without = f"{'; '.join(lacking)}; Python-based ones serve, which cost more time and memory"
    return Check("compiled backends", not lacking, "" if lacking else what, without if lacking else "", needed=False)


def _package(name: str, purpose: str, of_server: bool, *, serves: bool) -> Check:
    needed = of_server and serves
    if _is_there(name):
        return Check(name, True, f"{metadata.version(name)}, for {purpose}", needed=needed)
    return Check(name, False, "", f"for {purpose}: {to_install(name)}", needed=needed)


def _tensorrt() -> Check:
    from tritonpm.convert.conversion import MissingToolError
    from tritonpm.convert.tensorrt import toolkit

    try:
        kit = toolkit()
    except MissingToolError as error:
        return Check("TensorRT", False, "", str(error), needed=False)
    return Check("TensorRT", True, f"{kit.flavour} {kit.version}, for engines", needed=False)


def _perf_analyzer() -> Check:
    from tritonpm.core.errors import NotFoundError
    from tritonpm.perf import tool

    try:
        analyzer = tool.find()
    except NotFoundError as error:
        return Check("perf_analyzer", False, "", f"for `tritonpm perf`: {error}", needed=False)
    return Check("perf_analyzer", True, f"{analyzer.version} {analyzer.source} ({analyzer.binary})", needed=False)


def _requirements(profile: str) -> list[Check]:
    """What would hinder a package that wants all that this machine could have."""
    this = host()
    devices = {"cpu", "gpu"} if this.gpus or this.driver else {"cpu"}
    wanted = PackageNeeds(frozenset(devices), frozenset({"openvino"}), profile=profile)
    lacking = unmet(this, wanted)
    listed = [
        Check(requirement.name, False, "", f"{requirement.sentence}: {requirement.do}", requirement.level == "error")
        for requirement in lacking
    ]
    return listed or [Check("requirements", True, f"met, on {this.cpu}")]


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    return Check("CPU and memory", True, f"{cores()} cores, {human(memory.available)} of {human(memory.total)} free")


def _gpu() -> Check:
    devices, why = gpus()
    listed = ", ".join(f"{gpu.name} ({human(gpu.memory_free)} free)" for gpu in devices)
    return Check("GPU", bool(devices), listed, f"{why}: models run on the CPU", needed=False)
