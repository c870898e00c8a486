"""What a private server said can be read when the error about it is: its scratch folder is gone by then."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.repositories import BASE, model
from tests.support.workspaces import opened
from tritonpm.core.errors import InferenceError, ServerError
from tritonpm.operations.context import Context
from tritonpm.operations.init import init
from tritonpm.operations.kept_log import LONGEST, MOST, log_kept
from tritonpm.operations.private_server import alone
from tritonpm.triton import embedded
from tritonpm.triton.client import Client

ERROR = "E1128 21:02:03.000001 77 model.cc:12] no such weights\n"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "w")
    return opened(tmp_path / "w")


def kept(context: Context) -> list[Path]:
    return sorted(context.workspace.logs.glob("*"))


@pytest.mark.server
def test_of_a_private_server_that_does_not_come_up(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    start = embedded.start
    monkeypatch.setattr(
        embedded, "start", lambda *places, **options: start(*places, **{**options, "arguments": ["--no-such-option"]})
    )
    with pytest.raises(ServerError, match="ended at its start") as failed, alone(context):
        pass
    assert [failed.value.where] == [str(path) for path in kept(context)]
    assert "no-such-option" in Path(failed.value.where).read_text()
    assert "no-such-option" in failed.value.what
    assert not list(context.workspace.staging.glob("bench-*"))


@pytest.mark.server
def test_of_a_load_that_fails_on_it(context: Context) -> None:
    with pytest.raises(ServerError) as failed, alone(context) as (folder, server):
        model(folder / "models")
        (folder / "models/m/config.pbtxt").write_text(BASE + "unknown: 1")
        with Client(server.grpc, protocol="grpc") as client:
            client.load_and_wait("m")
    assert [failed.value.where] == [str(path) for path in kept(context)]
    assert "unknown" in Path(failed.value.where).read_text()
    assert "tritonpm logs" not in str(failed.value)


@pytest.mark.server
def test_where_nothing_fails_nothing_is_kept(context: Context) -> None:
    with alone(context):
        pass
    assert kept(context) == []


def fail(error: ServerError) -> None:
    raise error


def test_they_are_few_and_not_long(tmp_path: Path) -> None:
    log, folder = tmp_path / "triton.log", tmp_path / "logs"
    log.write_text("x" * (LONGEST + 1000) + "\n" + ERROR)
    for number in range(MOST + 3):
        with pytest.raises(ServerError) as failed, log_kept(log, folder):
            fail(ServerError(f"failure {number}"))
    found = list(folder.iterdir())
    assert len(found) == MOST
    assert Path(failed.value.where) in found
    assert all(path.stat().st_size == LONGEST and path.read_text().endswith(ERROR) for path in found)


def test_an_error_stays_what_it_was_and_is_kept_once(tmp_path: Path) -> None:
    log, folder = tmp_path / "triton.log", tmp_path / "logs"
    log.write_text(ERROR)
    refusal = partial(fail, InferenceError("it refuses", where="m", do="see `tritonpm logs`"))
    with pytest.raises(InferenceError) as failed, log_kept(log, folder), log_kept(log, folder):
        refusal()
    [path] = folder.iterdir()
    assert str(failed.value) == f"{path}: m: it refuses (its log ends: no such weights); look into that log"


def test_without_a_log_the_error_is_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as failed, log_kept(tmp_path / "none.log", tmp_path / "logs"):
        fail(ServerError("gone", where="there", do="see `tritonpm logs`"))
    assert str(failed.value) == "there: gone; see `tritonpm logs`"
