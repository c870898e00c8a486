"""`tritonpm ui` and `tritonpm serve --ui` as a user starts and ends them."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from tests.support.command import run, started
from tests.support.page import TOKEN
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE
from tritonpm.catalogue import find


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    run("init", tmp_path / "a workspace")
    return tmp_path / "a workspace"


def test_the_page_starts_answers_and_ends(workspace: Path) -> None:
    with started("ui", "-w", workspace, "--port", 0) as (process, url):
        assert httpx.get(f"{url}packages", trust_env=False, timeout=PATIENCE).status_code == 200
        with httpx.stream("GET", f"{url}api/v1/events", trust_env=False, timeout=PATIENCE) as events:
            next(events.iter_lines())
            process.send_signal(signal.SIGINT)
            assert process.wait(8) == 0
    assert "Traceback" not in (process.stderr.read() if process.stderr and not process.stderr.closed else "")


def test_a_token_comes_from_a_file(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with started("ui", "-w", workspace, "--port", 0, "--token-file", tmp_path / "token") as (_, url):
        assert httpx.get(url, trust_env=False, timeout=PATIENCE).status_code == 401
        assert httpx.get(url, auth=("x", TOKEN), trust_env=False, timeout=PATIENCE).status_code == 200


def test_others_reach_it_with_tokens_of_a_file(workspace: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    assert "there is no such file" in run("ui", "-w", workspace, "--tokens", file, code=5)
    token = run("token", "add", "anna", "--role", "view", "--file", file, workspace=workspace).strip()
    page = started("ui", "-w", workspace, "--host", "0.0.0.0", "--port", 0, "--tokens", file, TRITONPM_UI_TOKEN="")
    with page as (process, url), httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        me = f"{url.replace('0.0.0.0', '127.0.0.1')}api/v1/me"
        wrong = {"authorization": f"Bearer {token}x"}
        assert [client.get(me).status_code, client.get(me, headers=wrong).status_code] == [401, 401]
        assert client.get(me, headers={"authorization": f"Bearer {token}"}).json()["role"] == "view"
        run("token", "remove", "anna", "--file", file, workspace=workspace)
        assert client.get(me, headers={"authorization": f"Bearer {token}"}).status_code == 401
        process.terminate()
        said = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0
    assert "a wrong token came from 127.0.0.1" in said
    assert token not in said


@pytest.mark.server
def test_a_server_with_its_page(workspace: Path) -> None:
    """One process: the page tells of the Triton beside it, and both end together."""
    names = ("http", "grpc", "metrics")
    ports = [option for name, port in zip(names, free_ports(3), strict=True) for option in (f"--{name}-port", port)]
    serve = ("serve", "-w", workspace, "--ui", "--ui-port", 0, *ports)
    with started(*serve, stream="stderr") as (process, url):
        assert httpx.get(f"{url}api/v1/server", trust_env=False, timeout=PATIENCE).json()["state"] == "live"
        assert "Triton 2" in httpx.get(f"{url}server", trust_env=False, timeout=PATIENCE).text
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert "stopped" in run("status", "-w", workspace)


def test_tls_and_an_address_that_others_reach_need_a_token(workspace: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(tmp_path / "cert.pem"), append=True)
    tls = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    page = started("ui", "-w", workspace, "--host", "0.0.0.0", "--port", 0, *tls, TRITONPM_UI_TOKEN=TOKEN)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    with page as (_, url), httpx.Client(verify=trusted, trust_env=False, timeout=PATIENCE) as client:
        assert url.startswith("https://0.0.0.0:")
        here = url.replace("0.0.0.0", "127.0.0.1")
        assert client.get(f"{here}packages").status_code == 401
        assert client.get(f"{here}packages", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        elsewhere = {"host": "plant.example", "authorization": f"Bearer {TOKEN}"}
        assert client.get(f"{here}packages", headers=elsewhere).status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"{here.replace('https', 'http')}packages")


def test_what_cannot_be_served_is_said(workspace: Path, tmp_path: Path) -> None:
    assert "needs a token" in run("ui", "-w", workspace, "--host", "0.0.0.0", code=2, TRITONPM_UI_TOKEN="")
    assert "cannot be read" in run("ui", "-w", workspace, "--token-file", tmp_path / "none", code=5)
    assert "go together" in run("ui", "-w", workspace, "--port", 0, "--tls-key", tmp_path / "key", code=2)
    with started("ui", "-w", workspace, "--port", 0) as (_, url):
        taken = url.rstrip("/").rpartition(":")[2]
        assert "cannot be bound" in run("ui", "-w", workspace, "--port", taken, code=6)
    assert "stays with its server" in run("serve", "-w", workspace, "--ui", "--detach", code=2)
    run("token", "add", "anna", "--role", "view", workspace=workspace)
    find(workspace).tokens.unlink()
    assert "is lost, and with it who may open the page" in run("ui", "-w", workspace, "--port", 0, code=7)
    run("token", "add", "anna", "--role", "view", workspace=workspace)
    run("token", "remove", "anna", workspace=workspace)  # the workspace is others' as well


def test_without_its_libraries_it_says_what_to_install(workspace: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['tritonpm', 'ui', '-w', sys.argv[1]]\n"
        "from tritonpm.cli.main import main\nmain()"
    )
    ended = subprocess.run([sys.executable, "-c", code, workspace], capture_output=True, text=True, check=False)
    assert ended.stderr == 'Error: the page needs uvicorn; pip install "tritonpm[web]"\n'
    assert ended.returncode == 7
