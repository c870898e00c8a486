"""What was optimised, by content: the same model, settings and options never compile twice, under whatever name."""

from __future__ import annotations

from contextlib import suppress

from tritonpm.catalogue.content import decode, encode, readable
from tritonpm.catalogue.database import Database
from tritonpm.core.errors import StorageError
from tritonpm.core.types import CascadeProof, Optimised


class Artefacts:
    """The conversions that one catalogue remembers. The files are blobs; they are kept while their source is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Optimised | None:
        """What was made under this key; what cannot be read is made anew."""
        row = self._database.one("SELECT optimised FROM artefacts WHERE key = ?", key)
        return readable(row[0], Optimised) if row else None

    def put(self, key: str, source: str, optimised: Optimised) -> None:
        """Remember what was made of `source`, the digest of a model's main file."""
        self._database.do("INSERT OR REPLACE INTO artefacts VALUES (?,?,?)", key, source, encode(optimised))

    def forget(self, key: str) -> None:
        """Make or prove it anew the next time."""
        self._database.do("DELETE FROM artefacts WHERE key = ?", key)
        self._database.do("DELETE FROM cascades WHERE key = ?", key)

    def keep(self, sources: set[str]) -> None:
        """Forget what was made of anything but `sources`: its files are about to go."""
        for (source,) in self._database.all("SELECT DISTINCT source FROM artefacts"):
            if source not in sources:
                self._database.do("DELETE FROM artefacts WHERE source = ?", source)

    def cascade(self, key: str) -> CascadeProof | None:
        """What was proved of a cascade end to end; what cannot be read is proved anew."""
        row = self._database.one("SELECT proof FROM cascades WHERE key = ?", key)
        return readable(row[0], CascadeProof) if row else None

    def put_cascade(self, key: str, proof: CascadeProof) -> None:
        """Remember what was proved of a cascade."""
        self._database.do("INSERT OR REPLACE INTO cascades VALUES (?,?)", key, encode(proof))

    def memory(self, digest: str, device: str) -> int | None:
        """Bytes that one instance of a revision was measured to take on a device."""
        row = self._database.one("SELECT bytes FROM memory WHERE digest = ? AND device = ?", digest, device)
        return int(row[0]) if row else None

    def put_memory(self, digest: str, device: str, size: int) -> None:
        """Remember what was measured."""
        self._database.do("INSERT OR REPLACE INTO memory VALUES (?,?,?)", digest, device, size)

    def blobs(self, sources: set[str], *, lenient: bool = False) -> set[str]:
        """The digests of everything that was made of `sources`.

        Raises StorageError where one cannot be read, unless `lenient`.
        """
        digests: set[str] = set()
        for source, content in self._database.all("SELECT source, optimised FROM artefacts"):
            if source in sources:
                with suppress(*(StorageError,) if lenient else ()):
                    optimised = decode(content, Optimised, self._database.path, f"what was made of {source}")
                    digests |= {file.digest for file in optimised.files}
        return digests
