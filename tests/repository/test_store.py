"""Publishing into a real S3: what a reader sees is whole, whatever is cut, and the next run sends what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import s3
from tests.support.s3 import S3, Proxy, refusing, seen
from tests.support.stores import Files, revision
from tritonpm.core.errors import StorageError, UsageError
from tritonpm.core.types import RenderedModel, RepositoryFile, Revision
from tritonpm.operations.remote_repository import Pruned, prune, verify
from tritonpm.repository import records, sending
from tritonpm.repository.location import located
from tritonpm.repository.records import StoredRevision
from tritonpm.repository.sending import Sent, put_back, send, switches
from tritonpm.repository.store import Listed, Store

CUTS, KILLS = int(os.environ.get("TRITONPM_CUTS", "10")), int(os.environ.get("TRITONPM_KILLS", "3"))
LOOP = """
import sys
from pathlib import Path
from tests.support.s3 import S3
from tests.support.stores import Files, revision
from tritonpm.repository.sending import send
files, store, number = Files(Path(sys.argv[2])), S3(int(sys.argv[1])).store("killed"), int(sys.argv[3])
print("going", flush=True)
while True:
    number += 1
    send(store, revision(files, number), files, anew=False)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3.known() as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


@pytest.fixture(params=["s3", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return request.getfixturevalue("server").store(f"of/{tmp_path.name}")
    return Store(located(str(tmp_path / "a folder")))


def record_of(store: Store, number: int) -> StoredRevision:
    return next(each.record for each in records.kept(store)["p"] if int(each.record.revision[:16]) == number)


def test_what_is_missing_is_sent_and_nothing_twice(store: Store, files: Files) -> None:
    assert send(store, revision(files, 1), files, anew=False) == Sent(sent=10, bytes=50 * 9)
    assert send(store, revision(files, 1), files, anew=False) == Sent(there=10)
    # A new member of three; the public model's changed part is sent, the other one copied by the store; two configs.
    assert send(store, revision(files, 2), files, anew=False) == Sent(sent=6, copied=1, there=3, bytes=50 * 2)
    one, two = record_of(store, 1), record_of(store, 2)
    assert seen(store, one, two) == two.revision
    assert verify(store) == []
    assert send(store, revision(files, 1), files, anew=False) == Sent(sent=2, there=8)  # back: only the configs move
    assert seen(store, one, two) == one.revision


def test_old_revisions_go_and_nothing_that_is_needed(store: Store, files: Files) -> None:
    for number in (1, 2, 3):
        send(store, revision(files, number), files, anew=False)
    store.write("theirs/config.pbtxt", b"somebody's")
    send(store, revision(files, 2), files, anew=False)
    assert prune(store, 3) == Pruned((), 0)
    prune(store, 1)
    two = record_of(store, 2)
    assert seen(store, two) == two.revision
    left = {path for path in store.listed("") if not path.startswith("theirs")}
    assert left == {file.path for file in two.files}
    assert [(each.kind, each.name) for each in verify(store)] == [("foreign", "theirs/config.pbtxt")]
    assert prune(store, 0).objects == len(two.files)
    assert store.listed("").keys() == {"theirs/config.pbtxt"}
    assert store.listed("", records=True) == {}


def test_what_is_damaged_is_found_and_sent_again(store: Store, files: Files) -> None:
    send(store, revision(files, 1), files, anew=False)
    paths = sorted(file.path for file in record_of(store, 1).files if "part" in file.path)
    store.delete(paths[:1])
    store.write(paths[1], b"x" * 50)
    found = [(each.name, each.sentence) for each in verify(store)]
    assert found == [(paths[0], "is missing"), (paths[1], "is not what was published")]
    assert send(store, revision(files, 1), files, anew=False).sent == 1  # what has the right size is believed
    assert send(store, revision(files, 1), files, anew=True).sent == 10
    assert verify(store) == []


def test_a_model_that_is_not_ours_is_never_touched(store: Store, files: Files) -> None:
    store.write("p/config.pbtxt", b'name: "p"')
    with pytest.raises(StorageError, match="p in it is a model that tritonpm did not make"):
        send(store, revision(files, 1), files, anew=False)
    assert store.listed("").keys() == {"p/config.pbtxt"}


@pytest.mark.parametrize("content", [b"", b"{}", b'{"form": "\xff"}', b"[" * 100_000])
def test_a_record_that_is_none_is_a_sentence(store: Store, files: Files, content: bytes) -> None:
    send(store, revision(files, 1), files, anew=False)
    (path,) = store.listed("", records=True)
    store.write(path, content, records=True)
    with pytest.raises(StorageError, match=r"cannot be read .*; publish the package again, or delete that record"):
        records.kept(store)


def test_what_cannot_be_renamed_does_not_change_under_its_readers(store: Store, files: Files) -> None:
    def with_notes(content: str) -> Revision:
        made = revision(files, 1)
        notes = RepositoryFile("notes", blob=files.put(content.encode()))
        return Revision("p", content * 64, (RenderedModel("p", (notes, *made.models[-1].files)),))

    send(store, with_notes("1"), files, anew=False)
    with pytest.raises(StorageError, match="p/notes would change while it may be read"):
        send(store, with_notes("2"), files, anew=False)
    assert [each.record.revision[0] for each in records.kept(store)["p"]] == ["1"]


def test_a_rotten_file_is_not_sent(store: Store, tmp_path: Path) -> None:
    own = Files(tmp_path / "own")
    wanted = revision(own, 1)
    rotten = next(file.blob for file in wanted.models[-1].files if file.blob)
    own.path(rotten).write_bytes(b"x" * own.path(rotten).stat().st_size)
    with pytest.raises(StorageError, match="has changed on the disk"):
        send(store, wanted, own, anew=False)
    assert seen(store, record_of(store, 1)) == ""


def test_a_large_file_goes_in_parts(server: S3, files: Files) -> None:
    large = files.put(os.urandom(20 << 20))
    wanted = RenderedModel("p", (RepositoryFile("1/model", blob=large), revision(files, 1).models[-1].files[-2]))
    store, steps = server.store("large"), []
    send(store, Revision("p", "1" * 64, (wanted,)), files, lambda done, total: steps.append((done, total)), anew=False)
    assert steps == [(20 << 20, 20 << 20)]
    assert verify(store) == []


@pytest.fixture(scope="module")
def traffic(server: S3, files: Files) -> int:
    """The bytes that a first publish sends."""
    with Proxy(server.port, 1 << 30) as proxy:
        send(server.store("whole", proxy.port), revision(files, 1), files, anew=False)
        return proxy.passed


@settings(max_examples=CUTS, suppress_health_check=list(HealthCheck))
@given(share=st.integers(0, 1050), number=st.sampled_from([1, 2]))
def test_cut_anywhere_a_reader_sees_old_or_new(server: S3, files: Files, traffic: int, share: int, number: int) -> None:
    prefix = f"cut/{time.monotonic_ns()}"
    store = server.store(prefix)
    if number == 2:
        send(store, revision(files, 1), files, anew=False)
    with Proxy(server.port, traffic * share // 1000) as proxy:
        try:
            send(server.store(prefix, proxy.port, retries=0), revision(files, number), files, anew=False)
            is_cut = False
        except StorageError as error:
            assert "cannot be reached" in str(error)
            is_cut = True
    known = [each.record for each in records.kept(store).get("p", [])]
    before = seen(store, *known) if known else ""
    assert before in {"", *(record.revision for record in known)}
    assert before or number == 1
    there = store.listed("")
    again = send(store, revision(files, number), files, anew=False)
    record = record_of(store, number)
    lacking = [f for f in record.files if f.path not in there or there[f.path].size != f.size]
    assert again.sent + again.copied <= len(lacking) + 2  # and the public configs, which may be the old ones
    assert is_cut or again.sent == 0
    assert seen(store, record) == record.revision
    assert verify(store) == []


def test_a_connection_that_drops_now_and_then_is_no_failure(server: S3, files: Files) -> None:
    with Proxy(server.port, 2_000, cuts=5) as proxy:
        send(server.store("dropping", proxy.port, retries=8), revision(files, 1), files, anew=False)
        assert proxy.cuts == 0
    assert verify(server.store("dropping")) == []


def test_kill_9_leaves_old_or_new(server: S3, files: Files) -> None:
    store = server.store("killed")
    send(store, revision(files, 1), files, anew=False)
    for round_ in range(KILLS):
        command = [sys.executable, "-c", LOOP, str(server.port), str(files.folder), str(10 * round_ + 1)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.07 * (round_ % 8) + 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert seen(store, *(each.record for each in records.kept(store)["p"]))
    send(store, revision(files, 9999), files, anew=False)
    prune(store, 1)
    last = record_of(store, 9999)
    assert store.listed("").keys() == {file.path for file in last.files}
    assert seen(store, last)


def test_put_back_is_what_it_was(store: Store, files: Files) -> None:
    nothing = switches(store, "p")
    send(store, revision(files, 1), files, anew=False)
    before = switches(store, "p")
    send(store, revision(files, 2), files, anew=False)
    put_back(store, "p", before)
    assert seen(store, record_of(store, 1), record_of(store, 2)) == record_of(store, 1).revision
    put_back(store, "p", nothing)
    assert seen(store, record_of(store, 1), record_of(store, 2)) == ""
    assert [(each.kind, each.name) for each in verify(store)] == [("package", "p")]


class Stale(Store):
    """A store whose listing shows what was sent only at the third look."""

    looks = 0

    def listed(self, folder: str, *, records: bool = False) -> dict[str, Listed]:
        self.looks += folder == "p" and not records
        return super().listed(folder, records=records) if records or self.looks > 3 else {}


def test_a_stale_listing_is_waited_for(server: S3, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Stale(located(server.url("stale")))
    monkeypatch.setattr(sending, "_PAUSES", (0.0, 0.0))
    with pytest.raises(StorageError, match="its listing does not show"):
        send(store, revision(files, 1), files, anew=False)
    assert seen(server.store("stale"), record_of(store, 1)) == ""
    send(store, revision(files, 1), files, anew=False)
    assert seen(store, record_of(store, 1)) != ""


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("ExpiredToken", 400, "the credentials have expired"),
        ("SlowDown", 503, "it kept asking to slow down"),
        ("AccessDenied", 403, "it does not allow this"),
        ("InvalidAccessKeyId", 403, "it does not know the credentials"),
        ("NoSuchBucket", 404, "there is no such bucket"),
    ],
)
def test_what_a_store_refuses_is_one_sentence(server: S3, files: Files, code: str, status: int, sentence: str) -> None:
    with refusing(code, status) as port:
        store = server.store("refused", port, retries=1)
        for step in (
            lambda: send(store, revision(files, 1), files, anew=False),
            lambda: store.read("p/config.pbtxt"),
            lambda: store.write("p/config.pbtxt", b""),
            lambda: store.digest("p/config.pbtxt"),
        ):
            with pytest.raises(StorageError) as caught:
                step()
            assert sentence in str(caught.value)
            assert "secret" not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_no_bucket_no_server_and_no_credentials(server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Store(located(server.url("m").replace(s3.BUCKET, "nothing")))
    with pytest.raises(StorageError, match="there is no such bucket"):
        verify(absent)
    with Proxy(server.port, 0) as proxy, pytest.raises(StorageError, match="cannot be reached"):
        verify(server.store("m", proxy.port, retries=0))
    with refusing("", 403) as port:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{port}")
        for name in s3.ENVIRONMENT:
            monkeypatch.delenv(name)
        with pytest.raises(StorageError, match="there are no credentials"):
            verify(server.store("m", retries=0))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://127.0.0.1:9000/bucket//a", "s3://http://127.0.0.1:9000/bucket/a"),
        ("s3://https://minio.example:443/bucket/a", "s3://https://minio.example:443/bucket/a"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("as://account/container/a", "as://account/container/a"),
        ("file:///srv/a b", "/srv/a b"),
        ("/srv/a b", "/srv/a b"),
    ],
)
def test_urls_are_triton_s(text: str, url: str) -> None:
    assert located(text).url == url


@pytest.mark.parametrize(
    "text",
    ["s3://bucket", "s3:///a", "s3://bucket/../a", "s3://bucket/a b", "http://host/a", "gs://", "as://account/c",
     "s3://id:hidden@bucket/a", "s3://bucket/a?key=hidden"],
)  # fmt: skip
def test_urls_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        located(text)
    assert "hidden" not in str(caught.value)
