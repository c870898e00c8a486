"""What a server's log says of its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonpm.triton.log import last_words

STARTED = """E1129 22:19:53.680834 19238 server.cc:241] "CudaDriverHelper has not been initialized."
E1129 22:19:54.111679 19238 ensemble_scheduler.cc:1468] "unable to create stream for c: CUDA driver version is insufficient"
I1129 22:19:54.111736 19238 model_lifecycle.cc:839] "successfully loaded 'c'"
"""


@pytest.mark.parametrize(("further", "words"), [
    ("", ""),
    ("I1129 22:20:01.0 19238 model_lifecycle.cc:472] loading: d\n", ""),
    ("Signal (11) received.\n 0# 0x00\n", "Signal (11) received."),
    ("E1129 22:20:01.0 19238 main.cc:1] it refuses\n", "E1129 22:20:01.0 19238 main.cc:1] it refuses"),
    ("terminate called\n", "terminate called"),
])  # fmt: skip
def test_what_a_log_says_of_the_end(tmp_path: Path, further: str, words: str) -> None:
    log = tmp_path / "triton.log"
    log.write_text(STARTED + further)
    assert last_words(log) == words
    assert last_words(log, since=len(STARTED)) == words
    assert last_words(tmp_path / "none") == ""
