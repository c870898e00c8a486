"""One real server for all the tests of the backends; a model is a folder written into its repository and loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.support.waiting import until
from tritonpm.core.errors import ServerError
from tritonpm.triton import compiled, embedded
from tritonpm.triton.client import Client

BACKENDS = ("onnxruntime", "openvino")
CPU = "instance_group { count: 1 kind: KIND_CPU }\n"


class Triton:
    """The server, its repository and a client."""

    def __init__(self, repository: Path, client: Client, kind: str, log: Path, http: str) -> None:
        self.repository, self.client, self.kind, self.log, self.http = repository, client, kind, log, http

    def write(
        self, name: str, model: onnx.ModelProto | bytes | None, config: str = "", *, path: str = "1/model.onnx"
    ) -> Path:
        """A model folder; no config.pbtxt where `config` is empty. An openvino config is told the .onnx file's name."""
        folder = self.repository / name
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if model is not None:
            (folder / path).write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        if 'backend: "openvino"' in config and path.endswith(".onnx"):
            config += f'default_model_filename: "{Path(path).name}"\n'
        if config:
            (folder / "config.pbtxt").write_text(config + (CPU if "instance_group" not in config else ""))
        return folder

    def load(self, name: str, model: onnx.ModelProto | bytes | None = None, config: str = "", **options: str) -> None:
        """Write the folder, where a model is given, and load it."""
        if model is not None:
            self.write(name, model, config, **options)
        self.client.load_and_wait(name)

    def refused(self, name: str, model: onnx.ModelProto | bytes | None, config: str = "", **options: str) -> str:
        """Why the model does not load."""
        self.write(name, model, config, **options)
        with pytest.raises(ServerError) as failed:
            self.client.load_and_wait(name)
        return str(failed.value)

    def infer(self, name: str, **inputs: Any) -> dict[str, np.ndarray]:
        """One inference, every output."""
        return self.client.infer(name, {key: np.asarray(value) for key, value in inputs.items()})

    def together(self, name: str, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, np.ndarray] | ServerError]:
        """The requests at once; an answer or an error for each."""

        def one(inputs: Mapping[str, Any]) -> dict[str, np.ndarray] | ServerError:
            try:
                return self.infer(name, **inputs)
            except ServerError as error:
                return error

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(one, requests))

    def executions(self, name: str, inferences: int) -> int:
        """The calls that so many inferences took. Triton counts a request a little after it has answered it."""
        until(lambda: self.client.statistics(name)[0].inferences >= inferences, every=0.02)
        [statistics] = self.client.statistics(name)
        assert statistics.inferences == inferences
        return statistics.executions


@pytest.fixture(scope="session", params=compiled.KINDS)
def triton(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Triton]:
    """A running server on an empty repository, with Python-based backends and with compiled ones."""
    root = tmp_path_factory.mktemp("backends")
    (root / "repository").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiled.VARIABLE, request.param)
        server = embedded.start(embedded.find(), root / "repository", root / "state")
    try:
        with Client(server.grpc, protocol="grpc") as client:
            yield Triton(root / "repository", client, request.param, Path(server.log), server.http)
    finally:
        embedded.stop(server, root / "state", timeout=15)
    crashes = re.findall(r"Signal \((?!15\)).*", Path(server.log).read_text())
    assert not crashes  # while everything was unloaded, say


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each of the backends."""
    return str(request.param)
