"""A process that imports tritonpm forks to run programs only, and gRPC does nothing before that: it may wait for ever."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SAID = "import tritonpm.triton.client, os; print(os.environ['GRPC_ENABLE_FORK_SUPPORT'])"


@pytest.mark.parametrize(("before", "after"), [({}, "0"), ({"GRPC_ENABLE_FORK_SUPPORT": "1"}, "1")])
def test_grpc_leaves_forks_alone_unless_it_is_told_otherwise(before: dict[str, str], after: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    command = [sys.executable, "-c", SAID]
    assert subprocess.check_output(command, env={**environment, **before}, text=True) == f"{after}\n"
