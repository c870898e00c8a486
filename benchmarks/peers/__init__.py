"""Other ways to serve the same model, each started for itself and asked by the same client over gRPC."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tritonpm.triton import embedded

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tritonpm" / "benchmarks"
HINTS = {"throughput": "THROUGHPUT", "latency": "LATENCY"}  # each peer serves the model once for each
START = 180.0  # seconds that a peer has to become ready


@dataclass(frozen=True)
class Peer:
    """A server that answers: its gRPC address, its process, and the model's name for each measure."""

    name: str
    url: str
    pid: int
    models: Mapping[str, str]


@contextmanager
def started(model: Path, precision: str, work: Path, cache: Path) -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """Every peer that can be started here with the model (OpenVINO IR), and why the others cannot be."""
    peers: list[Peer] = []
    lacking: dict[str, str] = {}
    with ExitStack() as stack:
        for name, start in PEERS.items():
            folder = work / name.partition(" ")[0].lower()
            folder.mkdir(parents=True)
            try:
                peers.append(stack.enter_context(start(name, model, precision, folder, cache)))
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                lacking[name] = str(error).strip()
        yield peers, lacking


@contextmanager
def by_hand(name: str, model: Path, precision: str, work: Path, _: Path) -> Iterator[Peer]:
    """The same Triton with a hand-written model.py."""
    from tritonpm.triton.client import Client

    for each, hint in HINTS.items():
        folder = work / "repository" / each
        (folder / "1").mkdir(parents=True)
        shutil.copyfile(HERE / "model.py", folder / "1/model.py")
        told = {"MODEL": str(model), "PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": precision}
        lines = [
            'backend: "python"',
            "max_batch_size: 8",
            'input { name: "gpu_0/data_0" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }',
            'output { name: "gpu_0/softmax_1" data_type: TYPE_FP32 dims: [ 1000 ] }',
            "instance_group { count: 1 kind: KIND_CPU }",
            *(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in told.items()),
        ]
        (folder / "config.pbtxt").write_text("\n".join(lines) + "\n")
    running = embedded.start(embedded.find(), work / "repository", work / "state")
    try:
        with Client(running.grpc, protocol="grpc") as client:
            for each in HINTS:
                client.load_and_wait(each)
        yield Peer(name, running.grpc, running.pid, {each: each for each in HINTS})
    finally:
        embedded.stop(running, work / "state")


@contextmanager
def pytriton(name: str, model: Path, precision: str, work: Path, _: Path) -> Iterator[Peer]:
    """NVIDIA's PyTriton, by its own API."""
    http, grpc, metrics = _free_ports(3)
    command = [sys.executable, str(HERE / "pytriton_server.py"), str(http), str(grpc), str(metrics), str(model),
               precision]  # fmt: skip
    own = sysconfig.get_config_var("LIBDIR")  # its stub must not run this Python's library on another one's libpython
    libraries = os.pathsep.join(filter(None, (own, os.environ.get("LD_LIBRARY_PATH"))))
    with _running(command, work, grpc, LD_LIBRARY_PATH=libraries) as pid:
        yield Peer(name, f"127.0.0.1:{grpc}", pid, {each: each for each in HINTS})
    for region in Path("/dev/shm").glob(f"pytrtion{pid}-*"):  # it leaves them there
        region.unlink()


@contextmanager
def mlserver(name: str, model: Path, precision: str, work: Path, cache: Path) -> Iterator[Peer]:
    """MLServer, with its own defaults but for the addresses, in an environment of its own."""
    program = _mlserver_environment(cache)
    http, grpc, metrics = _free_ports(3)
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    (work / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "debug": False, **ports}))
    for each, hint in HINTS.items():
        extra = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": precision}
        told = {
            "name": each,
            "implementation": "mlserver_model.Network",
            "parameters": {"uri": str(model), "extra": extra},
        }
        (work / each).mkdir()
        (work / each / "model-settings.json").write_text(json.dumps(told))
    with _running([str(program), "start", str(work)], work, grpc, PYTHONPATH=str(HERE)) as pid:
        yield Peer(name, f"127.0.0.1:{grpc}", pid, {each: each for each in HINTS})


PEERS: dict[str, Callable[..., object]] = {
    "Triton, model.py by hand": by_hand,
    "PyTriton": pytriton,
    "MLServer": mlserver,
}


def _mlserver_environment(cache: Path) -> Path:
    """MLServer's program; its libraries do not agree with ours. Raises SubprocessError where it cannot be installed."""
    from importlib.metadata import version

    program = cache / "mlserver/bin/mlserver"
    if not program.is_file():
        subprocess.run([sys.executable, "-m", "venv", cache / "mlserver"], check=True, timeout=300)
        # uvloop 0.22 and later refuse what MLServer 1.7 does in its workers
        wanted = ["mlserver", "uvloop<0.22", f"openvino=={version('openvino')}"]
        subprocess.run([cache / "mlserver/bin/python", "-m", "pip", "install", "-q", *wanted], check=True, timeout=900)
    return program


@contextmanager
def _running(command: Sequence[str], work: Path, port: int, **variables: str) -> Iterator[int]:
    """A server in a process group of its own until the block ends. Raises RuntimeError where it does not get ready."""
    log = work / "said.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            command, cwd=work, stdout=said, stderr=said, env={**os.environ, **variables}, start_new_session=True
        )
    try:
        _wait(process, port, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
            ends = time.monotonic() + 10
            while _alive(process.pid) and time.monotonic() < ends:
                time.sleep(0.1)
        finally:
            if _alive(process.pid):
                os.killpg(process.pid, signal.SIGKILL)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    ends = time.monotonic() + START
    with InferenceServerClient(f"127.0.0.1:{port}") as client:
        while process.poll() is None and time.monotonic() < ends:
            try:
                if all(client.is_model_ready(each) for each in HINTS):
                    return
            except InferenceServerException:
                pass  # it does not listen yet
            time.sleep(0.5)
    raise RuntimeError(f"it did not become ready: {log.read_text(errors='replace')[-6000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
