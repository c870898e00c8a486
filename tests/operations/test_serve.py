"""Which ports the workspace's own server has: Triton's, those that it had, or others, which is said."""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tritonclient import grpc, http
from tritonclient.utils import InferenceServerException

from tests.support.models import scaled
from tests.support.workspaces import QUICKLY, opened, running
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload
from tritonpm.triton import embedded
from tritonpm.triton.restricted import headers, restricting

pytestmark = pytest.mark.server


def test_ports_are_kept_and_taken_ones_are_told(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    here = opened(context.workspace.root, warn=told.append)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        monkeypatch.setitem(embedded.PORTS, "http", other.getsockname()[1])
        try:
            serve(here, None, detach=True, timeout=600)
            first = embedded.ports_of(running(here))
            stop(here, 15)
            assert f"Port {embedded.PORTS['http']} (http) is in use; using {first['http']} instead" in told[0]
            told.clear()
            serve(here, None, detach=True, timeout=600)
            assert embedded.ports_of(running(here)) == first
            assert told == []
        finally:
            stop(here, 15)


def test_a_restricted_server_changes_nothing_for_a_stranger(context: Context, tmp_path: Path) -> None:
    """A load request may bring files, so it is code that runs; a page in a browser can send one to loopback."""
    (tmp_path / "bolts.onnx").write_bytes(scaled(2.0))
    import_package(context, tmp_path / "bolts.onnx")
    serve(context, None, **{**QUICKLY, "arguments": (*QUICKLY["arguments"], *restricting())})
    server = running(context)
    try:
        load(context, "bolts")
        brought = {"config": json.dumps({"backend": "python", "max_batch_size": 0}), "files": {"file:1/model.py": b"x"}}
        for library, address in ((http, server.http), (grpc, server.grpc)):
            stranger = library.InferenceServerClient(address)
            for change in (
                partial(stranger.load_model, "bolts", **brought), partial(stranger.unload_model, "bolts"),
                partial(stranger.update_trace_settings, settings={"trace_level": "TIMESTAMPS"}),
                partial(stranger.update_log_settings, {"log_verbose_level": 1}),
            ):  # fmt: skip
                with pytest.raises(InferenceServerException, match="restricted"):
                    change()
            x = library.InferInput("x", [1, 4], "FP32")
            x.set_data_from_numpy(np.ones((1, 4), np.float32))
            assert stranger.infer("bolts", [x]).as_numpy("y").tolist() == [[2.0] * 4]
            stranger.close()
        (key,) = set(headers(server.arguments).values())
        assert key.removeprefix("Bearer ") not in Path(server.log).read_text()
        with connect(context, "grpc") as client:
            assert client.ready("bolts")
            client.unload("bolts")
        unload(context, "bolts")
    finally:
        stop(context, 15)
