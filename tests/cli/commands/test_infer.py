"""What `tritonpm infer --image` shows of an answer."""

from __future__ import annotations

from tritonpm.cli.commands.infer import _in_words


def test_numbers_are_shown_as_such() -> None:
    assert _in_words({"kind": "regression", "values": [0.0490196, 12.0]})[0] == "regression: 0.04902 12"
    assert _in_words({"kind": "embedding", "vector": [0.5] * 9})[0] == "embedding: 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 …"
    assert _in_words({"kind": "detection", "name": "bolt", "score": 0.9, "box": [1, 2, 3, 4]}) == (
        "bolt", "0.900", "1 2 3 4",
    )  # fmt: skip
