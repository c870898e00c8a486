"""What PyPI shows: a README whose links lead somewhere, and the project's addresses, of one line in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

ROOT = Path(__file__).parents[1]
RELATIVE = re.compile(r"\]\((?![a-z]+:|#)")
ADDRESS = "https://git.site/platform/tritonpm"


def metadata(monkeypatch: pytest.MonkeyPatch, repository: str) -> ProjectMetadata[PluginManager]:
    read = ProjectMetadata(str(ROOT), PluginManager())
    read.hatch.metadata.hook_config["custom"] = {"repository": repository}
    return read


def test_where_the_address_is_known_all_leads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    project = metadata(monkeypatch, ADDRESS + "/").core
    assert project.readme_content_type == "text/markdown"
    assert not RELATIVE.search(project.readme)
    for image in re.findall(r"!\[[^\]]*\]\((\S+?)\)", project.readme):
        assert image.startswith(f"{ADDRESS}/raw/HEAD/")
        assert (ROOT / image.removeprefix(f"{ADDRESS}/raw/HEAD/")).is_file()
    assert f"[the workspace]({ADDRESS}/blob/HEAD/docs/workspace.md)".lower() in project.readme.lower()
    assert project.urls["Issues"] == f"{ADDRESS}/issues"
    assert (ROOT / project.urls["Documentation"].removeprefix(f"{ADDRESS}/blob/HEAD/")).is_file()


def test_where_it_is_not_known_nothing_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    project = metadata(monkeypatch, "").core
    assert not RELATIVE.search(project.readme)
    assert "![" not in project.readme
    assert project.urls == {}
    assert "The architecture, contributing" in project.readme
