"""What the site has beside docs/: pages at the root, results of benchmarks, and the help of every command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Pages of the root by their place in the site, where links lead one folder less up than in the repository.
OUTSIDE = {"README.md": "index.md"} | {
    name: name for name in ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md")
}
COMMANDS = """# Commands

::: mkdocs-click
    :module: tritonpm.cli.app
    :command: cli
    :prog_name: tritonpm
    :depth: 1
    :style: table
"""


def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside docs/."""
    places = OUTSIDE | {
        str(path.relative_to(ROOT)): str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks/results").glob("*.md")
    }
    for source, place in places.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "commands.md", content=COMMANDS))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as they lead in the site."""
    here = page.file.src_uri
    if here in OUTSIDE.values():
        return re.sub(r"(\]\()(docs/)?", lambda found: found[1], markdown).replace("(README.md", "(index.md")
    up = "../" * here.count("/")
    found = re.sub(r"\]\((?:\.\./)+docs/", f"]({up}", markdown)
    if not up:
        found = found.replace("](../README.md", "](index.md").replace("](../", "](")
    return found
