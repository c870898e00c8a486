"""A real Triton that reads s3://, and packages that are published there while it serves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import s3
from tests.support.load import serving_answer, under_load
from tests.support.models import logarithm, scaled
from tests.support.packages import cascade, single
from tests.support.s3 import S3, Proxy
from tests.support.workspaces import opened
from tritonpm.core.errors import ServerError, StorageError
from tritonpm.operations import remote_repository as stores
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.server import connect
from tritonpm.operations.upgrade import exchange
from tritonpm.repository.store import Store
from tritonpm.triton import embedded

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3.known() as found:
        yield found


@pytest.fixture(scope="module")
def store(server: S3) -> Store:
    return server.store("models")


@pytest.fixture(scope="module")
def context(server: S3, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """A workspace whose server reads the store; its own repository stays empty."""
    root = tmp_path_factory.mktemp("a workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_AWS_MOUNT_DIRECTORY", str(tmp_path_factory.mktemp("copies")))
        init(root)
        context = opened(root)
        store.write("theirs/config.pbtxt", b"")  # the repository has to be there when the server starts
        state = context.workspace.server
        reads = (f"--model-repository={store.url}",)
        started = embedded.start(embedded.find(), context.workspace.repository, state, arguments=reads)
    try:
        yield context
    finally:
        embedded.stop(started, state, timeout=15)


def ready(context: Context) -> set[str]:
    with connect(context) as client:
        return {state.name for state in client.index() if state.state == "READY"}


def publish_cut(context: Context, server: S3, name: str, before: str) -> None:
    """A publish whose connection ends just before an object of the model is written, for good."""
    said = f"PUT /{s3.BUCKET}/models/{name}/{before}".encode()
    with Proxy(server.port, before=said) as proxy, pytest.raises(StorageError, match="cannot be reached"):
        stores.publish(context, [name], server.store("models", proxy.port, retries=0))


def test_clients_see_whole_revisions_that_prove_themselves(
    context: Context, server: S3, store: Store, tmp_path: Path
) -> None:
    import_package(context, single(tmp_path / "one", scaled(2.0), name="p"))
    publish_cut(context, server, "p", "configs")  # the model's file is there, and Triton could guess a config
    with connect(context) as client, pytest.raises(ServerError, match="nothing-is-published-here"):
        client.load_and_wait("p")
    assert stores.load(context, "p", store).probe.startswith("answered 1 sample")
    exchange(context, "p", single(tmp_path / "two", scaled(3.0), name="p"))
    publish_cut(context, server, "p", "config.pbtxt")  # all of the new revision is there, and nothing names it
    assert len({path for path in store.listed("p") if path.endswith("model.onnx")}) == 2
    with under_load(context, "p", clients=2) as seen:
        with connect(context) as client:
            client.load_and_wait("p")
        assert serving_answer(context, "p") == 2.0
        stores.load(context, "p", store)
        assert serving_answer(context, "p") == 3.0
    assert seen.failures == []
    assert set(seen.answers) == {2.0, 3.0}
    assert seen.answers[-1] == 3.0
    exchange(context, "p", single(tmp_path / "three", logarithm(), name="p"))  # not a number for what comes
    with pytest.raises(ServerError, match="p could not be loaded"):
        stores.load(context, "p", store)
    assert serving_answer(context, "p") == 3.0
    assert stores.prune(store, 1, "p").objects == 2
    assert [damage.kind for damage in stores.verify(store, "p")] == []


def test_a_cascade_moves_and_its_old_members_go(context: Context, store: Store, tmp_path: Path) -> None:
    m1, m2, m3 = scaled(2.0, result="m"), scaled(3.0, source="m"), scaled(5.0, source="m")
    import_package(context, cascade(tmp_path / "one", m1, m2))
    stores.load(context, "c", store)
    before = ready(context)
    assert serving_answer(context, "c") == 6.0
    exchange(context, "c", cascade(tmp_path / "two", m1, m3))
    stores.load(context, "c", store)
    assert serving_answer(context, "c") == 10.0
    assert len(ready(context) ^ before) == 2  # one member came, one went, one is shared
