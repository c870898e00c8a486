"""How numbers are told."""

import pytest

from tritonpm.core.units import human, number_of


@pytest.mark.parametrize(("number", "words"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_a_number_of_things(number: int, words: str) -> None:
    assert number_of(number, "file") == words


@pytest.mark.parametrize(
    ("size", "words"), [(3, "3 bytes"), (1536, "1.5 KiB"), (1 << 20, "1 MiB"), (5 << 40, "5120 GiB")]
)
def test_a_size(size: int, words: str) -> None:
    assert human(size) == words
