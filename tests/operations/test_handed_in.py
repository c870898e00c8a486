"""A digest is a digest by type: nothing that settings name leads out of the blobs, and nothing outside is removed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.workspaces import files_of
from tritonpm.core.errors import RuleError, StorageError, TritonpmError
from tritonpm.core.files import digest_of_bytes
from tritonpm.operations.canary import start
from tritonpm.operations.context import Context
from tritonpm.operations.declaration import apply, plan
from tritonpm.operations.set import change
from tritonpm.operations.verify import mend, verify

HERE = Path(__file__)


def declared(context: Context, field: str, value: str) -> Path:
    path = context.workspace.root / "tritonpm.yaml"
    path.write_text(f"packages:\n  p: {{source: ../in, settings: {{{field}: ['{value}']}}, loaded: false}}\n")
    return path


WAYS: tuple[Callable[[Context, str, str], object], ...] = (
    lambda context, field, value: change(context, "p", {field: [value]}),
    lambda context, field, value: change(context, "c", {field: [value]}, stage="first"),
    lambda context, field, value: change(
        context, "c", {"device": "gpu-optimised", "stages": {"first": {field: [value]}}}
    ),
    lambda context, field, value: start(context, "p", None, {field: [value]}),
    lambda context, field, value: plan(context, declared(context, field, value)),
    lambda context, field, value: list(apply(context, declared(context, field, value))),
)  # fmt: skip
NOT_KEPT = digest_of_bytes(b"nobody has handed this in")


@pytest.mark.parametrize("value", [str(HERE), "sha256:../../../x", "sha256:" + "0" * 63, NOT_KEPT + "\n", "", NOT_KEPT])
@pytest.mark.parametrize("field", ["calibration", "plugins"])
def test_only_what_was_handed_in_is_named(published: Context, field: str, value: str) -> None:
    before = files_of(published)
    for way in WAYS:
        with pytest.raises(RuleError, match=r"expected a digest|are kept as|was handed in as"):
            way(published, field, value)
    assert verify(published) == []
    assert files_of(published) == before


def test_a_models_file_is_no_plugin(published: Context) -> None:
    digest = published.catalogue.get("p").package.files[0].digest
    for way in WAYS:
        with pytest.raises(RuleError, match="no plugin was handed in as"):
            way(published, "plugins", digest)
    assert change(published, "p", {"calibration": [digest]}).settings.calibration == (digest,)


@pytest.mark.parametrize("name", ["/etc/hostname", "sha256:/etc/hostname", "sha256:../../../outside", "", "sha256:"])
def test_a_path_is_made_of_a_digest_and_of_nothing_else(context: Context, tmp_path: Path, name: str) -> None:
    blobs, outside = context.blobs, context.workspace.root / "outside"
    outside.write_text("somebody's")
    for use in (blobs.path, blobs.has, blobs.verify, blobs.drop, lambda digest: blobs.put(outside, digest)):
        with pytest.raises(StorageError, match="is not the digest"):
            use(name)
    with pytest.raises(StorageError, match="is not the digest"):
        blobs.collect([name])
    assert outside.read_text() == "somebody's"


def test_nothing_outside_is_collected_or_dropped(published: Context, tmp_path: Path) -> None:
    """Somebody's files among the blobs, and a link that leads out of them."""
    root, outside = published.blobs.root, tmp_path / "outside"
    loose = digest_of_bytes(b"loose")
    (outside).mkdir()
    (outside / loose.removeprefix("sha256:")).write_bytes(b"loose")
    (root / loose.removeprefix("sha256:")[:2]).symlink_to(outside)
    (root / "notes.txt").write_text("mine")
    (root / "aa").mkdir(exist_ok=True)
    (root / "aa" / "notes.txt").write_text("mine")
    assert published.blobs.collect(published.catalogue.referenced_blobs()) == 0
    with pytest.raises(StorageError, match="is a link"):
        published.blobs.drop(loose)
    mend(published)
    assert len(list(outside.iterdir())) == 1
    assert (root / "aa" / "notes.txt").read_text() == (root / "notes.txt").read_text() == "mine"


def test_a_path_that_an_earlier_program_has_kept_is_never_followed(published: Context, tmp_path: Path) -> None:
    outside = tmp_path / "outside.so"
    outside.write_text("somebody's")
    published.catalogue._database.do(
        "UPDATE packages SET settings = CAST(json_set(CAST(settings AS TEXT), '$.plugins', json_array(?)) AS BLOB) WHERE name = 'p'",
        str(outside),
    )
    kinds = {(damage.kind, damage.name) for damage in verify(published)}
    assert kinds == {("record", "p")}
    with suppress(TritonpmError):
        mend(published)
    assert outside.read_text() == "somebody's"
