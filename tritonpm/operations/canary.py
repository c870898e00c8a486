"""Canaries: what shall come after a package is served beside it first, as NAME-canary, then promoted or given up.

A canary is a package of its own: it is optimised, measured, watched and asked like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import Source
from tritonpm.core.errors import NotFoundError, TritonpmError, UsageError
from tritonpm.operations import views
from tritonpm.package.paths import NAME_RULE, is_name

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.switch import Switching

SUFFIX = "-canary"


class Canaries:
    """The canaries of a workspace's packages."""

    def __init__(self, switching: Switching) -> None:
        self.switching = switching
        self.serving, self.manager = switching.serving, switching.manager

    def start(
        self, name: str, source: Path | None, changes: Mapping[str, object], *, allow_code: bool = False
    ) -> views.Loaded:
        """Serve another content, other settings or both beside a package. Raises what `import` and `load` raise.

        Where it does not prove itself nothing of it stays.
        """
        if source is None and not changes:
            raise UsageError("a canary differs in its content or in its settings", do="give a package, or options")
        canary = name + SUFFIX
        if not is_name(canary):
            raise UsageError(f"{canary!r} is no package name", do=NAME_RULE)
        self.manager.catalogue.require_free(canary)
        if source is None:
            self._alike(self.manager.catalogue.get(name), canary, changes)
        else:
            self.manager.importing.import_package(
                source, name=canary, allow_code=allow_code, changes=changes, canary_of=name
            )
        try:
            return self.serving.load(canary)
        except BaseException:
            with suppress(TritonpmError):  # the first error is the one to tell
                self.manager.remove(canary)
            raise

    def promote(self, name: str) -> views.Loaded | None:
        """The canary takes the place of its package, live; None where that is not loaded. Raises ServerError."""
        record = self._canary(name)
        source = Source(replace(record.package, name=name), record.settings)
        loaded = self.switching.take_over(name, source)
        self._end(name)
        return loaded

    def abort(self, name: str) -> None:
        """Give the canary up. Raises NotFoundError."""
        self._canary(name)
        self._end(name)

    def _alike(self, record: Record, canary: str, changes: Mapping[str, object]) -> None:
        """The same content with other settings."""
        from tritonpm.settings import changed

        settings = changed(record.settings, changes)
        package = replace(record.package, name=canary)
        self.manager.check(package, settings)
        with self.manager.changing(f"canary {record.package.name}"):
            summary = views.summary(package, settings)
            self.manager.catalogue.add(package, settings, summary, canary_of=record.package.name)

    def _canary(self, name: str) -> Record:
        with suppress(NotFoundError):
            record = self.manager.catalogue.get(name + SUFFIX)
            if record.canary_of == name:
                return record
        self.manager.catalogue.get(name)
        raise NotFoundError(f"{name} has no canary", do=f"start one with `tritonpm canary {name} NEW.zip`")

    def _end(self, name: str) -> None:
        """Unload and forget the canary; its clients are expected to go back to the package."""
        canary = name + SUFFIX
        if self.serving.is_loaded(canary):
            self.serving.unload(canary, force=True)
        self.manager.catalogue.set_status(canary, "ready", wanted=False)
        self.manager.remove(canary)
