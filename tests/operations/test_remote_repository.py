"""A real Triton that reads s3://, and packages that are published there while it serves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving

from tests.support import s3
from tests.support.load import ONES, under_load
from tests.support.models import logarithm, scaled
from tests.support.packages import cascade, single
from tests.support.s3 import S3, Proxy
from tritonpm.core.errors import ServerError, StorageError
from tritonpm.operations import remote_repository as stores
from tritonpm.repository.store import Store
from tritonpm.triton import embedded

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.ENVIRONMENT.items():
            patch.setenv(name, value)
        with s3.served() as found:
            yield found


@pytest.fixture(scope="module")
def store(server: S3) -> Store:
    return server.store("models")


@pytest.fixture(scope="module")
def serving(server: S3, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A workspace whose server reads the store; its own repository stays empty."""
    root = tmp_path_factory.mktemp("a workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_AWS_MOUNT_DIRECTORY", str(tmp_path_factory.mktemp("copies")))
        init(root)
        manager = Manager.open(root)
        store.write("theirs/config.pbtxt", b"")  # the repository has to be there when the server starts
        state = manager.workspace.server
        reads = (f"--model-repository={store.url}",)
        started = embedded.start(embedded.find(), manager.workspace.repository, state, arguments=reads)
    try:
        yield Serving(manager)
    finally:
        embedded.stop(started, state, timeout=15)


def answer(serving: Serving, name: str) -> float:
    with serving.client() as client:
        return float(next(iter(client.infer(name, ONES).values()))[0, 0])


def ready(serving: Serving) -> set[str]:
    with serving.client() as client:
        return {state.name for state in client.index() if state.state == "READY"}


def publish_cut(serving: Serving, server: S3, name: str, before: str) -> None:
    """A publish whose connection ends just before an object of the model is written, for good."""
    said = f"PUT /{s3.BUCKET}/models/{name}/{before}".encode()
    with Proxy(server.port, before=said) as proxy, pytest.raises(StorageError, match="cannot be reached"):
        stores.publish(serving.manager, [name], server.store("models", proxy.port, retries=0))


def test_clients_see_whole_revisions_that_prove_themselves(
    serving: Serving, server: S3, store: Store, tmp_path: Path
) -> None:
    manager = serving.manager
    manager.import_package(single(tmp_path / "one", scaled(2.0), name="p"))
    publish_cut(serving, server, "p", "configs")  # the model's file is there, and Triton could guess a config
    with serving.client() as client, pytest.raises(ServerError, match="nothing-is-published-here"):
        client.load_and_wait("p")
    assert stores.load(serving, "p", store).probe.startswith("answered 1 sample")
    manager.exchange("p", single(tmp_path / "two", scaled(3.0), name="p"))
    publish_cut(serving, server, "p", "config.pbtxt")  # all of the new revision is there, and nothing names it
    assert len({path for path in store.listed("p") if path.endswith("model.onnx")}) == 2
    with under_load(serving, "p", clients=2) as seen:
        with serving.client() as client:
            client.load_and_wait("p")
        assert answer(serving, "p") == 2.0
        stores.load(serving, "p", store)
        assert answer(serving, "p") == 3.0
    assert seen.failures == []
    assert set(seen.answers) == {2.0, 3.0}
    assert seen.answers[-1] == 3.0
    manager.exchange("p", single(tmp_path / "three", logarithm(), name="p"))  # not a number for what comes
    with pytest.raises(ServerError, match="p could not be loaded"):
        stores.load(serving, "p", store)
    assert answer(serving, "p") == 3.0
    assert stores.prune(store, 1, "p").objects == 2
    assert [each.kind for each in stores.verify(store, "p")] == []


def test_a_cascade_moves_and_its_old_members_go(serving: Serving, store: Store, tmp_path: Path) -> None:
    manager = serving.manager
    m1, m2, m3 = scaled(2.0, result="m"), scaled(3.0, source="m"), scaled(5.0, source="m")
    manager.import_package(cascade(tmp_path / "one", m1, m2))
    stores.load(serving, "c", store)
    before = ready(serving)
    assert answer(serving, "c") == 6.0
    manager.exchange("c", cascade(tmp_path / "two", m1, m3))
    stores.load(serving, "c", store)
    assert answer(serving, "c") == 10.0
    assert len(ready(serving) ^ before) == 2  # one member came, one went, one is shared
