"""Model files by content: a blob's name is its digest, it is written once, and it is checked before it is trusted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tritonpm.catalogue.workspace import Workspace
from tritonpm.core.errors import StorageError
from tritonpm.core.files import DIGEST, digest_of, storage_error, sync

_AGAIN = "import its package again"


class Blobs:
    """The blobs of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.root = workspace, workspace.blobs / "sha256"

    def path(self, digest: str) -> Path:
        """Where a blob lies. Raises StorageError where it does not."""
        place = self._place(digest)
        if not place.is_file():
            raise StorageError(f"the blob {digest} is missing", where=str(self.root), do=_AGAIN)
        return place

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return self._place(digest).is_file()

    def put(self, path: Path, digest: str, *, move: bool = False) -> None:
        """Keep a file whose digest was taken from these very bytes, once; a blob that rotted is replaced.

        Raises StorageError.
        """
        import shutil

        place = self._place(digest)
        try:
            if place.is_file() and digest_of(place) == digest:
                return
            place.parent.mkdir(parents=True, exist_ok=True)
            sync(self.root)
            with self.workspace.scratch("blob") as folder:
                aside = folder / "blob"
                if move:
                    path.replace(aside)
                else:
                    shutil.copyfile(path, aside)
                aside.chmod(0o444)
                sync(aside)
                aside.replace(place)
            sync(place.parent)
        except OSError as error:
            raise storage_error(error, self.root) from None

    def verify(self, digest: str) -> Path:
        """As `path`, but reads the blob and compares. Raises StorageError where its bits have changed."""
        place = self.path(digest)
        if digest_of(place) != digest:
            raise StorageError(f"the blob {digest} has changed on the disk", where=str(self.root), do=_AGAIN)
        return place

    def drop(self, digest: str) -> None:
        """Delete a blob whose bits have changed: what is imported next takes its place. Raises StorageError."""
        try:
            self._place(digest).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self.root) from None

    def collect(self, referenced: Iterable[str]) -> int:
        """Delete the blobs that nobody refers to; how many. What is no blob stays. Raises StorageError."""
        kept = {self._place(digest) for digest in referenced}
        loose = [path for path in self.root.glob("??/*") if path not in kept and self._is_blob(path)]
        try:
            for path in loose:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self.root) from None
        return len(loose)

    def _place(self, digest: str) -> Path:
        """The one way from a digest to a path. Raises StorageError for what is not a digest: it could lead anywhere."""
        if not DIGEST.fullmatch(digest):
            raise StorageError(f"{digest[:80]!r} is not the digest of a blob", where=str(self.root), do=_AGAIN)
        name = digest.removeprefix("sha256:")
        place = self.root / name[:2] / name
        if place.parent.is_symlink():
            raise StorageError("is a link, and leads out of the blobs", where=str(place.parent), do="remove the link")
        return place

    def _is_blob(self, path: Path) -> bool:
        digest = f"sha256:{path.name}"
        return bool(DIGEST.fullmatch(digest)) and not path.parent.is_symlink() and path == self._place(digest)
