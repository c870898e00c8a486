"""A Python model that comes with a requirements.txt: pip builds its environment once, when it is imported.

From then on the environment is a file of the package like any other, so that what was tried is what is served; what
is in it stands beside it, as requirements that get the same again.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tritonpm.convert.python_environment import PYTHON, EnvironmentAnswer, EnvironmentRequest
from tritonpm.core import sandbox
from tritonpm.core.errors import PackageError, RequirementError
from tritonpm.core.files import digest_of
from tritonpm.core.types import File, Package, Stage
from tritonpm.core.units import number_of
from tritonpm.operations.optimize.jobs import default_memory
from tritonpm.package.config import backend_of, parse, variant_of
from tritonpm.package.reader import digest

if TYPE_CHECKING:
    from tritonpm.core.releases import Release
    from tritonpm.operations.context import Context

REQUIREMENTS = "requirements.txt"
ARCHIVE, LOCK = "requirements.tar.gz", "requirements.lock"
PARAMETER = "EXECUTION_ENV_PATH"
_SECONDS = 1800.0
_SAID = f'\nparameters {{ key: "{PARAMETER}" value {{ string_value: "$$TRITON_MODEL_DIRECTORY/{ARCHIVE}" }} }}\n'
_ELSE = f"pack an environment with conda-pack and name it in {PARAMETER}; or leave it out, where the server has it all"
_DO = f"correct it (what has no wheel is built from source where it says `--no-binary NAME`); or {_ELSE}"
_NUMPY_1 = "24.11"  # the last release whose Python backend may answer with nothing where NumPy is 2


def with_environments(context: Context, package: Package, staging: Path) -> Package:
    """The package, with an environment for each Python model that names its requirements and brings none.

    Its files are in `staging`; whoever calls this was allowed to run its code. Raises PackageError, RequirementError.
    """
    for stage in package.stages:
        if requirements := _requirements(stage, staging, package.name):
            package = _with_environment(context, package, stage, requirements, staging)
    return package


def _requirements(stage: Stage, staging: Path, name: str) -> str:
    """The path of a stage's requirements: in its folder, or beside its newest version's program; "" for none."""
    if stage.config is None:
        return ""
    config = parse((staging / stage.config).read_bytes(), name)
    if backend_of(config) != "python" or PARAMETER in config.parameters:
        return ""
    root = f"{stage.root}/" if stage.root else ""
    inside = [path.removeprefix(root) for path in stage.files if path.endswith(f"/{REQUIREMENTS}")]
    versions = [path for path in inside if path.count("/") == 1 and path.partition("/")[0].isdigit()]
    newest = max(versions, key=lambda path: int(path.partition("/")[0]), default="")
    found = root + (REQUIREMENTS if root + REQUIREMENTS in stage.files else newest)
    return found if found in stage.files else ""


def _numpy(release: Release) -> str:
    """The NumPy that a release's Python backend takes: until it had pybind11 2.12, tensors of a newer one are empty."""
    return "numpy<2" if release.of <= _NUMPY_1 else "numpy"


def _with_environment(context: Context, package: Package, stage: Stage, path: str, staging: Path) -> Package:
    where, root, numpy = f"{package.name}: {path}", staging / stage.root, _numpy(context.release)
    if find_spec("pip") is None:
        raise RequirementError("pip is not installed here", where=where, do=f"install it; or {_ELSE}")
    asked = EnvironmentRequest(str(staging / path), numpy, str(root / ARCHIVE), str(root / LOCK), default_memory())
    with context.workspace.scratch("environment") as scratch, context.progress(f"Installing {where}"):
        (scratch / "request.json").write_bytes(msgspec.json.encode(asked))
        try:
            raw = sandbox.answered("tritonpm.convert.python_environment", scratch, deadline=_SECONDS)
        except sandbox.EndedError as error:
            raise PackageError(f"pip {error}", where=where, do=_DO) from None
    answer = msgspec.json.decode(raw, type=EnvironmentAnswer)
    if answer.refused:
        raise PackageError(f"pip refuses it: {answer.refused}", where=where, do=_DO)
    held = number_of(len(answer.packages), "package")
    listed = f" ({', '.join(answer.packages)})" if answer.packages else ""
    context.warn(f"{where}: was built into an environment of {held} for Python {PYTHON}{listed}")
    return _joined(package, stage, staging)


def _joined(package: Package, stage: Stage, staging: Path) -> Package:
    """With the archive, the list of what is in it, and configs that name the archive."""
    prefix = f"{stage.root}/" if stage.root else ""
    configs = [path for path in stage.files if variant_of(path.removeprefix(prefix))]
    for path in (str(stage.config), *configs):
        with (staging / path).open("a", encoding="utf-8") as config:
            config.write(_SAID)
    added = (prefix + ARCHIVE, prefix + LOCK)
    files = {file.path: file for file in package.files}
    files |= {path: _file(staging, path) for path in (str(stage.config), *configs, *added)}
    served = replace(stage, files=tuple(sorted({*stage.files, *added})))
    stages = tuple(served if one is stage else one for one in package.stages)
    made = replace(package, stages=stages, files=tuple(file for _, file in sorted(files.items())))
    return replace(made, digest=digest(made))


def _file(staging: Path, path: str) -> File:
    return File(path, digest_of(staging / path), (staging / path).stat().st_size)
