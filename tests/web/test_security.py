"""Who is let in and what may come: Host, token, origin, rate; and what a page may never hold."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import scaled
from tests.support.page import API, TOKEN, Site, Start, zipped
from tests.support.workspaces import opened
from tritonpm.core.addresses import is_loopback
from tritonpm.core.errors import UsageError
from tritonpm.operations.use import use
from tritonpm.web.problems import shown
from tritonpm.web.security import Buckets, PageAccess, access, host_name


def raw(site: Site, request: bytes) -> bytes:
    """The first bytes of the answer to a request that no client library would send."""
    host, _, port = site.url.removeprefix("http://").rstrip("/").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(4096)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
def test_a_name_that_was_pointed_at_loopback_is_refused(site: Site, host: str) -> None:
    answer = raw(site, f"GET /api/v1/packages HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] == b"421"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:80"])
def test_loopback_by_its_names_is_let_in(site: Site, host: str) -> None:
    assert site.http.get("/packages", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:1"},
    ],
)
def test_another_sites_page_changes_nothing(site: Site, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/packages?filename=x.zip"), ("DELETE", "/packages/x"), ("POST", "/server/stop")):
        answer = site.http.request(method, API + path, headers=headers)
        assert (answer.status_code, answer.json()["title"]) == (403, "Foreign origin")


def test_the_pages_own_requests_are_let_in(site: Site) -> None:
    own = {"origin": site.url.rstrip("/"), "sec-fetch-site": "same-origin"}
    assert site.http.delete(f"{API}/packages/nobody", headers=own).status_code == 404


def test_a_token_opens_and_wrong_ones_close(start: Start) -> None:
    guarded = start(access("127.0.0.1", token=TOKEN))
    refused = guarded.http.get("/packages")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert guarded.http.get("/packages", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert guarded.http.get("/packages", auth=("anybody", TOKEN)).status_code == 200
    assert guarded.http.get("/static/app.js").status_code == 401
    answers = [guarded.http.get("/packages", auth=("x", f"wrong {i}")).status_code for i in range(15)]
    assert answers[0] == 401
    assert answers[-1] == 429


def test_other_addresses_need_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        assert not is_loopback(host)
        with pytest.raises(UsageError, match="needs a token"):
            access(host)
        assert access(host, token=TOKEN).hosts == ()
    for host in ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"):
        assert is_loopback(host)
    with pytest.raises(UsageError, match="shorter"):
        access("127.0.0.1", token="short")


def test_a_client_that_asks_too_often_waits(start: Start) -> None:
    slow = start(PageAccess(changes=0.001, burst=3))
    answers = [slow.http.delete(f"{API}/packages/nobody").status_code for _ in range(5)]
    assert answers == [404, 404, 404, 429, 429]
    assert slow.http.get("/packages").status_code == 200


def test_buckets_forget_who_came_long_ago() -> None:
    buckets = Buckets(rate=1, burst=1, most=10)
    for number in range(100):
        assert buckets.take(str(number))
    assert len(buckets.levels) == 10


def test_every_answer_has_the_headers_that_browsers_obey(site: Site) -> None:
    for path in ("/packages", "/static/app.js", f"{API}/packages", "/nowhere"):
        headers = site.http.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert site.http.get("/packages").headers["cache-control"] == "no-store"


def test_what_users_write_never_becomes_markup(site: Site, tmp_path: Path) -> None:
    site.http.post(
        f"{API}/packages", params={"filename": "x.zip"}, content=zipped(tmp_path / "i", scaled(41.0), "m").read_bytes()
    )
    evil = "<img src=x onerror=alert(1)>\"'&"
    context = opened(site.root)
    wait_for(site, "m")
    use(context, "m", evil, 60)
    context.catalogue.set_status("m", "failed", f"{evil} {{{{7*7}}}}")
    for path in (
        "/packages",
        "/packages/m",
        "/packages/m/remove",
        f"/packages?q={evil}",
        "/packages/" + "%3Cscript%3E",
    ):
        text = site.http.get(path).text
        assert "<img src=x" not in text
        assert "<script>" not in text
        assert " 49" not in text
    assert "&lt;img src=x" in site.http.get("/packages/m").text


def wait_for(site: Site, name: str) -> None:
    """Until an import has ended."""
    for operation in site.get("/operations"):
        site.ended(operation)
    assert site.get(f"/packages/{name}")["name"] == name


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"]
)
def test_static_files_stay_in_their_folder(site: Site, path: str) -> None:
    answer = raw(site, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in (b"404", b"405")


def test_what_is_no_http_ends_only_itself(site: Site) -> None:
    raw(site, b"\x00\xff\x00 nonsense\r\n\r\n")
    raw(site, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\nConnection: close\r\n\r\n")
    assert site.http.get("/packages").status_code == 200


def test_listening_ends_where_too_many_listen(start: Start) -> None:
    crowded = start()
    streams = []
    try:
        for _ in range(80):
            stream = httpx.Client(trust_env=False, timeout=10)
            request = stream.build_request("GET", f"{crowded.url}api/v1/events")
            response = stream.send(request, stream=True)
            streams.append((stream, response))
            if response.status_code != 200:
                break
        assert response.status_code == 409
    finally:
        for stream, response in streams:
            response.close()
            stream.close()


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12), min_size=1, max_size=4
    )
)
def test_no_folder_of_this_machine_is_told(parts: list[str]) -> None:
    root = Path(tempfile.gettempdir()) / "a workspace"
    path = root.joinpath(*parts)
    assert str(root) not in shown(f"{path}: is no package", root)


def test_sentences_stay_readable() -> None:
    root = Path("/srv/a workspace")
    for sentence, expected in (
        ("/srv/a workspace/.tritonpm/blobs/ab: is corrupt", "…/ab: is corrupt"),
        ("unable to open /opt/models/x/1/model.onnx (no such file)", "unable to open …/model.onnx (no such file)"),
        ("http://127.0.0.1:8000/v2/models", "http://127.0.0.1:8000/v2/models"),
        ("stages/a/model.onnx is empty", "stages/a/model.onnx is empty"),
        ("500 inferences/s and 1/2", "500 inferences/s and 1/2"),
        ("the workspace is in /srv/a workspace", "the workspace is in …"),
    ):
        assert shown(sentence, root) == expected


def test_hosts_are_read_as_they_are_sent() -> None:
    assert host_name("LocalHost:80") == "localhost"
    assert host_name("[::1]") == "[::1]"
    assert host_name("[::1]:8080") == "[::1]"
