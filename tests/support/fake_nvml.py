"""Builds tests/support/fake_nvml.c: a libnvidia-ml.so.1 that nvidia-ml-py loads as it loads the driver's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
LIBRARY = "libnvidia-ml.so.1"


def build(folder: Path, *flags: str) -> Path:
    """The folder with the library, for LD_LIBRARY_PATH."""
    folder.mkdir(exist_ok=True)
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", *flags, "-o", folder / LIBRARY, SOURCE]
    subprocess.run(command, check=True, timeout=60)
    return folder


def variables(folder: Path, **behaviour: object) -> dict[str, str]:
    """The environment of a process that finds that library, and what the library shall do there."""
    chosen = {f"FAKE_NVML_{name.upper()}": str(value) for name, value in behaviour.items()}
    return {**os.environ, "LD_LIBRARY_PATH": str(folder), **chosen}
