"""Every command line of tritonserver that a deployment has is run by a real one, and what it measures is what we ask."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import psutil
import pytest
from moto.server import ThreadedMotoServer
from prometheus_client.parser import text_string_to_metric_families

from tests.support.deployment import KUBERNETES, PACKAGES, command_lines, containers, expressions, one, services, used
from tests.support.models import scaled
from tests.support.packages import cascade, single
from tests.support.ports import free_ports
from tests.support.waiting import until
from tests.support.workspaces import opened, publish
from tritonpm.core.releases import embedded
from tritonpm.deploy import Choices, metrics
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.triton.client import Client
from tritonpm.triton.installation import environment, find, prepare_backends

pytestmark = pytest.mark.server
COMMANDS = command_lines()
CREDENTIALS = {
    "s3": {"": {"secret_key": "secret", "key_id": "key", "region": "eu-central-1", "session_token": "", "profile": ""}}
}
# What Prometheus adds to every scrape, of which the adapter's is one in a cluster.
ADDED = {"job", "instance", "namespace", "pod"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a manager published: the single package p and the cascade c; and a model that nobody can load."""
    root = tmp_path_factory.mktemp("workspace")
    init(root)
    context = opened(root)
    import_package(context, single(root / "single", scaled(2.0)))
    import_package(context, cascade(root / "cascade", scaled(2.0, result="m"), scaled(3.0, source="m")))
    for name in PACKAGES:
        publish(context, name)
    broken = context.workspace.repository / "broken" / "1"
    broken.mkdir(parents=True)
    (broken.parent / "config.pbtxt").write_text('name: "broken" backend: "onnxruntime"')
    (broken / "model.onnx").write_bytes(b"none")
    return context.workspace.repository


@dataclass(frozen=True)
class Started:
    """A server that was started by a deployment's command line."""

    process: psutil.Popen
    log: Path
    http: str
    metrics: str

    def status(self, path: str, body: bytes | None = None) -> int:
        """What it answers; 0 where it does not."""
        try:
            with urlopen(Request(f"http://{self.http}{path}", data=body), timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code
        except (URLError, OSError):
            return 0


class Servers:
    """Servers by their command lines: each is started once, and all are told to end at the same time."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder, self.repository = folder, str(repository)
        self.prefix = f"tritonpm_test_{uuid.uuid4().hex[:8]}_"
        self._running: dict[tuple[str, ...], Started] = {}

    def run(self, command: list[str], where: str = "", **variables: str) -> Started:
        """The server of a command line, as it is but for its paths and addresses: this machine's."""
        paths = {"--model-repository=": where or self.repository, "--trace-config=triton,file=": f"{self.folder}/trace"}
        here = [argument for argument in command[1:] if embedded().takes(argument)]  # which is older than the image
        line = tuple(next((f"{k}{p}" for k, p in paths.items() if a.startswith(k)), a) for a in here)
        if line not in self._running:
            self._running[line] = self._started(line, **variables)
        return self._running[line]

    def _started(self, line: tuple[str, ...], **variables: str) -> Started:
        installation, (http, grpc, measured) = find(), free_ports(3)
        folder = self.folder / str(len(self._running))
        here = [
            str(installation.binary),
            *line,
            f"--backend-directory={prepare_backends(installation, folder / 'backends')}",
            *((f"--cache-directory={installation.caches}",) if installation.caches else ()),
            *(f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")),
            f"--http-port={http}",
            f"--grpc-port={grpc}",
            f"--metrics-port={measured}",
            *(f"--backend-config={name},shm-region-prefix-name={self.prefix}" for name in ("onnxruntime", "openvino")),
        ]
        log = folder / "log"
        with log.open("wb") as output:
            process = psutil.Popen(
                here, stdout=output, stderr=output, env=environment(installation) | variables, cwd=folder,
                start_new_session=True,
            )  # fmt: skip
        server = Started(process, log, f"127.0.0.1:{http}", f"127.0.0.1:{measured}")
        self._running[line] = server
        until(lambda: process.poll() is not None or server.status("/v2/health/ready") == 200, log.read_text)
        assert process.poll() is None, log.read_text()[-3000:]
        return server

    def end(self) -> list[int]:
        """TERM for all, then the exit code of each; nothing of them is left, whatever they do."""
        processes = [server.process for server in self._running.values()]
        for process in processes:
            process.terminate()
        try:
            return [process.wait(30) for process in processes]
        finally:
            for process in processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            for region in Path("/dev/shm").glob(f"{self.prefix}*"):
                region.unlink()


@pytest.fixture(scope="module")
def servers(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    started = Servers(tmp_path_factory.mktemp("servers"), repository)
    try:
        yield started
    finally:
        codes = started.end()
    assert not any(codes)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "kubernetes s3"])
def test_a_deployments_command_line_serves(name: str, servers: Servers) -> None:
    server = servers.run(COMMANDS[name])
    named = [each.partition("=")[2] for each in COMMANDS[name] if each.startswith("--load-model=")]
    assert named == ([] if name.startswith("compose") else list(PACKAGES))
    assert all(server.status(f"/v2/models/{each}/ready") == 200 for each in named)
    if not named:
        assert server.status("/v2/repository/models/p/load", b"{}") == 200
    with Client(server.http, protocol="http") as client:
        (answer,) = client.infer("p", {"x": np.ones((2, 4), np.float32)}).values()
    assert np.array_equal(answer, np.full((2, 4), 2.0, np.float32))


def test_a_repository_in_an_object_store_is_served_with_credentials_in_a_file(
    repository: Path, tmp_path: Path, servers: Servers
) -> None:
    import boto3

    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    try:
        host, port = store.get_host_and_port()
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        bucket = boto3.resource("s3", endpoint_url=f"http://{host}:{port}", **keys).create_bucket(Bucket="models")
        for path in sorted((repository / "p").rglob("*")):
            if path.is_file():
                bucket.upload_file(str(path), f"line-3/{path.relative_to(repository)}")
        (tmp_path / "credentials.json").write_text(json.dumps(CREDENTIALS))
        choices = Choices(("p",), repository=f"s3://http://{host}:{port}/models/line-3")
        (container,) = containers(one("Deployment", "kubernetes", choices, "triton"))
        (variable,) = (each["name"] for each in container["env"] if "/secrets/" in each["value"])
        given = {variable: str(tmp_path / "credentials.json")}
        server = servers.run(container["args"], choices.repository, **given)
        assert server.status("/v2/models/p/ready") == 200
    finally:
        store.stop()


def scraped(server: Started) -> dict[str, list[dict[str, str]]]:
    """The labels of every series, by metric, as a real client of Prometheus reads them."""
    with urlopen(f"http://{server.metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, list[dict[str, str]]] = {}
    declared = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            # the parser gives a counter's sample the suffix of OpenMetrics, which Prometheus itself does not
            plain = sample.name.removesuffix("_total")
            name = plain if declared.get(plain) == "counter" else sample.name
            found.setdefault(name, []).append(dict(sample.labels))
    return found


def test_every_metric_and_label_that_is_asked_for_is_measured(servers: Servers) -> None:
    server = servers.run(COMMANDS["kubernetes volume"])
    with Client(server.http, protocol="http") as client:
        for name in PACKAGES:
            client.infer(name, {"x": np.ones((1, 4), np.float32)})
    there = scraped(server)
    for where, query in expressions().items():
        for metric, labels in used(query).items():
            if metric in metrics.GPU:
                assert labels <= {"gpu_uuid"} | ADDED, where
            elif metric not in metrics.PROMETHEUS:
                assert metric in there, f"{where}: {metric} is not measured"
                assert labels <= set().union(*there[metric]) | ADDED, f"{where}: {metric} has no such labels"
    models = {labels["model"] for labels in there["nv_inference_request_success"]}
    assert set(PACKAGES) < models and len(models) == 4  # and the cascade's two members


def test_a_series_is_there_while_a_package_is_loaded_asked_or_not(servers: Servers) -> None:
    """What TritonPackageNotReady takes for granted: absent means not loaded, not `never asked`."""

    def measured() -> set[str]:
        return {labels["model"] for labels in scraped(server).get("nv_inference_request_success", ())}

    server = servers.run(services(Choices())["triton-cpu"]["command"])
    assert "c" not in measured()
    assert server.status("/v2/repository/models/c/load", b"{}") == 200
    assert "c" in measured()
    assert server.status("/v2/repository/models/c/unload", b"{}") == 200
    until(lambda: "c" not in measured())


def test_a_failed_load_takes_no_server_out_of_service(servers: Servers) -> None:
    """Readiness is the server's: a pod stays in its service while a package is loaded, and where one cannot be."""
    (probe,) = (
        each["readinessProbe"]["httpGet"]["path"]
        for each in containers(one("Deployment", "kubernetes", KUBERNETES, "triton"))
        if each["name"] == "triton"
    )
    server = servers.run(COMMANDS["kubernetes volume"])
    assert server.status("/v2/repository/models/broken/load", b"{}") == 400
    assert server.status(probe) == 200
