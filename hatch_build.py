"""Compiles the backends in C++ into the wheel with this machine's compiler; without one it has their sources only.

And says of a release where the project is: links and pictures of the README, files of the checkout, lead there.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

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


class CustomMetadataHook(MetadataHookInterface):  # type: ignore[misc]
    """The project's addresses, and the README as it is read elsewhere; `repository` stands in pyproject.toml alone."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the readme and the URLs."""
        repository = str(self.config.get("repository", "")).rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": elsewhere(text, repository)}
        if repository:
            metadata["urls"] = {
                "Homepage": repository,
                "Documentation": f"{repository}/blob/HEAD/docs/tutorial.md",
                "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }


_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^][]*)\]\((?P<path>(?![a-z]+:|#)[^()\s]+)\)")


def elsewhere(readme: str, repository: str) -> str:
    """A README whose links lead to the repository: plain text, without pictures, where its address is not known.

    A diagram stays as it is written: what shows no diagrams shows its source.
    """

    def replaced(link: re.Match[str]) -> str:
        if not repository:
            return "" if link["image"] else link["text"]
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({repository}/{kind}/HEAD/{link['path']})"

    return _LINK.sub(replaced, readme)
