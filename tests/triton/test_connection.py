"""What a server may want to see: TLS, a header, a token; and what it can be told: its trace and log settings."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from tests.support.running import Running
from tritonpm.cli.app import cli
from tritonpm.core.errors import NotFoundError, ServerError, UsageError
from tritonpm.triton import embedded
from tritonpm.triton.client import Client
from tritonpm.triton.connection import Connection, Tls, bearer, headers_of

pytestmark = pytest.mark.server
SECRET = {"authorization": "Bearer s3cret"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Who signs, and the certificate of 127.0.0.1, as PEM files."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    return folder


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[embedded.Server]:
    """A server that speaks gRPC only with TLS, and lets only those see its repository who know a secret."""
    root = tmp_path_factory.mktemp("careful")
    (root / "models").mkdir()
    arguments = (
        "--grpc-use-ssl=1",
        f"--grpc-server-cert={certificates / 'certificate.pem'}",
        f"--grpc-server-key={certificates / 'key.pem'}",
        "--grpc-restricted-protocol=model-repository:authorization=Bearer s3cret",
        "--http-restricted-api=model-repository:authorization=Bearer s3cret",
    )
    server = embedded.start(embedded.find(), root / "models", root / "state", arguments=arguments)
    yield server
    embedded.stop(server, root / "state", timeout=15)


@pytest.fixture
def behind_tls(careful: embedded.Server, certificates: Path) -> Iterator[str]:
    """The server's HTTP endpoint behind what ends TLS in production: a proxy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "certificate.pem", certificates / "key.pem")
    host, _, port = careful.http.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as plain, context.wrap_socket(plain, server_side=True) as listener:

        def copy(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
            for each in (source, sink):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except ssl.SSLError:  # who does not trust us
                    continue
                except OSError:  # closed
                    return
                upstream = socket.create_connection((host, int(port)))
                for pair in ((client, upstream), (upstream, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(params=["https", "grpcs"])
def url(request: pytest.FixtureRequest, careful: embedded.Server, behind_tls: str) -> str:
    return behind_tls if request.param == "https" else f"grpcs://{careful.grpc}"


def test_tls_and_a_token(url: str, certificates: Path) -> None:
    tls = Tls(ca=str(certificates / "ca.pem"))
    with Client.of(Connection(url, SECRET, tls)) as client:
        assert client.live()
        assert client.index() == []
    with Client.of(Connection(url, {}, tls)) as client:
        assert client.live()
        with pytest.raises(ServerError, match=r"restricted|not allowed|expects"):
            client.index()


def test_its_models_are_adopted_by_who_shows_what_it_wants_to_see(url: str, certificates: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    shown = ["--server-token-file", str(tmp_path / "token"), "--server-ca", str(certificates / "ca.pem")]
    known = CliRunner().invoke(cli, ["adopt", url, *shown, "-o", "json"])
    assert known.exit_code == 0 and '"version": "2.51.0"' in known.output
    header = CliRunner().invoke(cli, ["adopt", url, "--server-header", "authorization=Bearer s3cret", *shown[2:]])
    assert header.exit_code == 0
    unknown = CliRunner().invoke(cli, ["adopt", url, *shown[2:]])
    assert unknown.exit_code != 0 and "Traceback" not in unknown.output


def test_who_signed_the_certificate_must_be_trusted(url: str) -> None:
    with Client.of(Connection(url, SECRET, timeout=5)) as client:
        assert not client.live()


def test_where_headers_come_from(tmp_path: Path) -> None:
    assert headers_of(["X-Line=3=4"]) == {"x-line": "3=4"}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        headers_of(["nothing"])
    for wrong in (">a\rb=two", "a b=two", "a=two\r\nx: three", "a=zw\u00f6lf"):
        with pytest.raises(UsageError, match=r"NAME=VALUE|characters"):
            headers_of([wrong])
    (tmp_path / "two").write_text("s3cret\nmore\n")
    with pytest.raises(UsageError, match="more than a token"):
        bearer(tmp_path / "two")
    (tmp_path / "token").write_text("s3cret\n")
    assert bearer(tmp_path / "token") == SECRET
    with pytest.raises(NotFoundError, match="cannot be read"):
        bearer(tmp_path / "none")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_trace_and_log_settings(running: Running, protocol: str) -> None:
    url = running.server.http if protocol == "http" else running.server.grpc
    with Client(url, protocol=protocol) as client:
        assert client.log_settings()["log_verbose_level"] in (0, "0")
        assert str(client.log_settings({"log_verbose_level": 1})["log_verbose_level"]) == "1"
        client.log_settings({"log_verbose_level": 0})
        assert client.trace_settings()["trace_level"] == "OFF"
        changed = client.trace_settings(changes={"trace_rate": "500", "trace_level": ["TIMESTAMPS"]})
        assert (changed["trace_rate"], changed["trace_level"]) == ("500", "TIMESTAMPS")
        client.trace_settings(changes={"trace_level": ["OFF"]})
        with pytest.raises(UsageError, match="no setting 'no_such_setting'"):
            client.log_settings({"no_such_setting": 1})
