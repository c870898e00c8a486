"""What a catalogue refers to, so that nothing else is collected; and what of it cannot be read, which stops that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from tritonpm.catalogue.artefacts import Artefacts
from tritonpm.catalogue.content import decode, readable
from tritonpm.catalogue.database import Database
from tritonpm.catalogue.listing import Summary
from tritonpm.catalogue.served import Source
from tritonpm.core.errors import StorageError
from tritonpm.core.types import BatchAxis, Package, Revision
from tritonpm.settings.settings import Settings, references

T = TypeVar("T")


@dataclass(frozen=True)
class TriedSettings:
    """Of what a job was asked for: the settings, where it tries others than the package has."""

    settings: Settings | None = None


class References:
    """The blobs that packages, revisions, jobs and proofs refer to."""

    def __init__(self, database: Database, artefacts: Artefacts) -> None:
        self._database, self._artefacts = database, artefacts

    def blobs(self, *, lenient: bool = False) -> set[str]:
        """Their digests. Raises StorageError where a record cannot be read: what it refers to is not known then.

        `lenient` leaves such a record out: for who looks at blobs, never for who deletes them.
        """
        digests: set[str] = set()
        for name, type_, content in self._contents():
            try:
                digests |= _digests(decode(content, type_, self._database.path, name))
            except StorageError:
                if not lenient:
                    raise
        for settings in self._tried():
            digests |= _named(settings)
        for key, content in self._database.all("SELECT key, axis FROM axes"):
            if key.split(" ")[0] in digests:
                with suppress(*(StorageError,) if lenient else ()):
                    artefact = decode(content, BatchAxis, self._database.path, f"the batch axis of {key}").artefact
                    digests |= {artefact} if artefact else set()
        return digests | self._artefacts.blobs(digests, lenient=lenient)

    def unreadable(self) -> list[tuple[str, str]]:
        """(package, why) for each record that cannot be read."""
        damaged = []
        for name, type_, content in self._contents():
            try:
                decode(content, type_, self._database.path, name)
            except StorageError as error:
                damaged.append((name, error.what))
        return damaged

    def _tried(self) -> Iterator[Settings]:
        """The settings that jobs try, or would if they were resumed: each package's newest, unless it is done.

        A request that cannot be read cannot be resumed either, so it refers to nothing.
        """
        query = """
            SELECT request FROM jobs JOIN packages ON packages.name = jobs.package WHERE jobs.state != 'done'
            AND jobs.id = (SELECT max(id) FROM jobs AS others WHERE others.package = jobs.package)
        """
        for (content,) in self._database.all(query):
            request = readable(content, TriedSettings)
            if request and request.settings:
                yield request.settings

    def _contents(self) -> Iterator[tuple[str, type[Any], bytes]]:
        """(package, what it is, JSON) of everything that is kept of the packages."""
        for name, package, settings, summary in self._database.all(
            "SELECT name, package, settings, summary FROM packages ORDER BY name"
        ):
            yield from ((name, Package, package), (name, Settings, settings), (name, Summary, summary))
        query = "SELECT package, number, revision, source FROM revisions ORDER BY package, number"
        for name, number, revision, source in self._database.all(query):
            yield f"{name}, revision {number}", Revision, revision
            if source is not None:
                yield f"{name}, revision {number}", Source, source


def _digests(record: object) -> set[str]:
    if isinstance(record, Package):
        return {file.digest for file in record.files}
    if isinstance(record, Revision):
        return {file.blob for model in record.models for file in model.files if file.blob}
    if isinstance(record, Settings):
        return _named(record)
    return _digests(record.package) | _named(record.settings) if isinstance(record, Source) else set()


def _named(settings: Settings) -> set[str]:
    return set().union(*references(settings))
