"""Compiles the backends in C++ into the wheel with this machine's compiler; without one it has their sources only."""

from __future__ import annotations

import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from tritonpm.triton import compiled


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]
    """What hatchling asks for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tag the wheel with the platform; an editable install compiles when they are first asked for."""
        if version != "standard" or sys.platform != "linux":
            return
        self.scratch = tempfile.TemporaryDirectory(prefix="tritonpm-building-")
        try:
            made = [compiled.build(name, Path(self.scratch.name)) for name in compiled.NAMES]
        except compiled.UnfitError as reason:
            self.app.display_warning(f"the backends in C++ are not compiled: {reason}")
            return
        place = compiled.SOURCES.relative_to(Path(self.root).resolve())
        build_data["force_include"].update({str(path): str(place / path.name) for path in made})
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take the scratch away."""
        if scratch := getattr(self, "scratch", None):
            scratch.cleanup()
