"""docs/architecture.md is true: the files that it names are there, and each verb is in the file that it says."""

import re
from pathlib import Path

import pytest

from tritonpm.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
CODE = ROOT / "tritonpm"
VERBS = next(part for part in PAGE.split("\n\n") if part.startswith("Verbs whose file has another name"))
NAMED = re.findall(r"`([\w/]+(?:\.py|/))`", PAGE)


@pytest.mark.parametrize("path", sorted({*NAMED} - {"operations/VERB.py", "cli/commands/VERB.py"}))
def test_a_named_file_is_there(path: str) -> None:
    assert any((base / path).exists() for base in (ROOT, CODE, CODE / "operations"))


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_is_in_the_file_of_its_name_or_the_page_says_where(verb: str) -> None:
    own = CODE / "operations" / f"{verb}.py"
    assert own.exists() or f"`{verb}`" in VERBS


@pytest.mark.parametrize(("path", "name"), re.findall(r"`([\w/]+\.py)` \(`(\w+)`", PAGE))
def test_a_named_definition_is_in_its_file(path: str, name: str) -> None:
    assert re.search(rf"(?m)^ *(?:def |)(?:\w+, )*{name}\b", (CODE / path).read_text(encoding="utf-8"))
