"""Each fuzz target: it reads what it starts from, and refuses what somebody's hand has slipped over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.seeds import CORPUS, seeds
from fuzz.targets import TARGETS, tried

_LONG, _DEAR = pytest.mark.long, ("rest",)  # asks a whole page each time
NUMBERS = st.integers(0, 1 << 16)


def kept(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir(), key=lambda path: path.name)]


def test_every_target_has_a_corpus_and_a_seed_that_it_reads() -> None:
    assert set(seeds()) == set(TARGETS) == {folder.name for folder in Path(CORPUS).iterdir()}


@pytest.mark.parametrize("target", TARGETS)
def test_what_it_starts_from_reaches_the_parser(target: str) -> None:
    read = [tried(target, content) for content in kept(target)]
    assert any(read) or target == "policy"  # whose keys are not there


@pytest.mark.parametrize("target", [pytest.param(one, marks=_LONG if one in _DEAR else ()) for one in TARGETS])
def test_nothing_is_a_bug(target: str) -> None:
    contents = kept(target)

    @given(
        st.sampled_from(contents), st.lists(st.tuples(NUMBERS, st.binary(max_size=8), st.integers(0, 16)), max_size=6)
    )
    def slipped(content: bytes, slips: list[tuple[int, bytes, int]]) -> None:
        for at, more, fewer in slips:
            at %= len(content) + 1
            content = content[:at] + more + content[at + fewer :]
        tried(target, content)

    slipped()
