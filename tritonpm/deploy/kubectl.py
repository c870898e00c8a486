"""Bringing objects to a cluster with kubectl: a dry run by its server first, which changes nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tritonpm.core.errors import DeploymentError, RequirementError

SECONDS = 120.0  # for each call


def apply(folder: Path, context: str = "") -> list[str]:
    """What the cluster says that it did with a kustomization, line by line.

    Raises RequirementError without kubectl; DeploymentError where the cluster cannot be reached, or refuses any object:
    then none was changed.
    """
    program = shutil.which("kubectl")
    if program is None:
        do = "install it, or write the files with --output and use `kubectl apply --server-side -k` elsewhere"
        raise RequirementError("kubectl is not on PATH", do=do)
    command = [program, *(("--context", context) if context else ()), "apply", "--server-side", "-k", str(folder)]
    _run([*command, "--dry-run=server"], "the cluster took none of it")
    return _run(command, "not all of it was taken").splitlines()


def _run(command: list[str], where: str) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise DeploymentError(f"no answer in {SECONDS:g} s", where=where, do="check the connection") from None
    if ended.returncode:
        text = ended.stderr.partition("; if you choose to ignore")[0]  # kubectl's advice to look away
        lines = [line for line in text.splitlines() if line.strip()] or [f"kubectl ended with {ended.returncode}"]
        raise DeploymentError(
            lines[-1].rstrip("."), where=where, do="check `kubectl config current-context`, or the object"
        )
    return ended.stdout
