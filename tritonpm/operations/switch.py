"""Live switching: what serves goes on serving until what comes after it has proved itself.

The new revision is rehearsed first: loaded under a name of its own, beside the one that serves, and probed. Only then
does the public name move, which Triton does between two requests. A cascade moves in one step: its new members have
names of their own, and the ensemble is what moves. Where the rehearsal fails, nobody has noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import Source
from tritonpm.core.errors import CapacityError, NotFoundError, ServerError, TritonpmError, UsageError
from tritonpm.core.rollback import UNKNOWN, undone
from tritonpm.core.types import RenderedModel, Revision
from tritonpm.operations import probe as probing
from tritonpm.operations import views
from tritonpm.operations.memory import require_room_on_gpus
from tritonpm.operations.on_demand import make_room
from tritonpm.settings.settings import Settings
from tritonpm.triton.ensembles import NEXT, members_of, unload_unneeded

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.manager import Manager
    from tritonpm.operations.serving import Serving
    from tritonpm.triton.client import Client


class Switching:
    """The live changes of a workspace's packages."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.manager: Manager = serving.manager

    def set(
        self, name: str, changes: Mapping[str, object], *, stage: str | None = None, calibration: Path | None = None
    ) -> views.Loaded | None:
        """Other settings, live; None where the package is not loaded.

        Raises RuleError, ServerError; on failure the package is as it was.
        """

        def change() -> None:
            self.manager.change(name, changes, stage=stage, calibration=calibration, live=True)

        return self._switch(name, change)

    def replace(self, name: str, settings: Settings) -> views.Loaded | None:
        """These settings in place of all that there were, live. Raises RuleError, ServerError."""
        package = self.manager.catalogue.get(name).package

        def change() -> None:
            self.manager.check(package, settings)
            self.manager.put_back(name, Source(package, settings))

        return self._switch(name, change)

    def upgrade(self, name: str, source: Path, *, allow_code: bool = False) -> views.Loaded | None:
        """Another content under the same name, live. Raises PackageError, RuleError, ServerError."""
        return self._switch(name, lambda: self.manager.exchange(name, source, allow_code=allow_code))

    def roll_back(self, name: str, number: int | None = None) -> views.Loaded | None:
        """Back to a revision that is kept: the one before, or the one of that number. Raises NotFoundError."""
        history = self.manager.catalogue.history(name)
        current = next((each.number for each in history if each.current), 0)
        wanted = [each for each in history if (each.number < current if number is None else each.number == number)]
        if not wanted:
            what = f"no revision {number}" if number else "no earlier revision"
            raise NotFoundError(f"{name} has {what}", do=f"`tritonpm history {name}` lists them")
        source = wanted[0].source
        if source is None:
            raise UsageError(f"revision {wanted[0].number} does not tell what it was made of", do="choose a later one")
        return self._switch(name, lambda: self.manager.put_back(name, source))

    def take_over(self, name: str, source: Source) -> views.Loaded | None:
        """This content and these settings under the name, live. Raises ServerError; it is then as it was."""
        return self._switch(name, lambda: self.manager.put_back(name, source))

    def _switch(self, name: str, change: Callable[[], None]) -> views.Loaded | None:
        manager = self.manager
        record = manager.catalogue.get(name)
        loaded = self.serving.is_loaded(name)
        change()
        if not loaded:
            return None
        made = manager.catalogue.get(name)
        try:
            manager.optimising.ensure(name)
            with self.serving.client() as client, manager.changing(f"switch {name}"):
                if not client.ready(name):  # another tritonpm has unloaded it meanwhile
                    return None
                revision = manager.rendered(name)
                current = manager.catalogue.revision(name)
                with manager.catalogue.intent("switch", _names(revision, current)):
                    if current is None or current.digest != revision.digest:
                        self._rehearse(client, revision)
                    return self.serving.loaded(client, name)
        except BaseException:
            with suppress(TritonpmError):  # the first error is the one to tell
                self._take_back(name, record, made)
            raise

    def _take_back(self, name: str, before: Record, made: Record) -> None:
        """What we changed becomes what it was; what another tritonpm has changed since then stays."""
        now = self.manager.catalogue.get(name)
        package = before.package if now.package == made.package else now.package
        settings = before.settings if now.settings == made.settings else now.settings
        self.manager.put_back(name, Source(package, settings))
        if now.status == "failed":
            self.manager.catalogue.set_status(name, before.status, before.reason)

    def _rehearse(self, client: Client, revision: Revision) -> None:
        """Load the revision under a name of its own, probe it, and take it away. Raises ServerError, CapacityError."""
        manager, shadow = self.manager, shadow_of(revision)
        new, record = members_of(revision), manager.catalogue.get(revision.name)
        try:
            make_room(self.serving, client, shadow, lambda: require_room_on_gpus(manager, record, revision))
        except CapacityError as error:
            raise _told(revision.name, error, "") from None
        manager.put(shadow)
        try:
            with manager.progress(f"Rehearsing {revision.name}"):
                client.load_and_wait(shadow.name)
                probing.probe(manager, client, record, model=shadow.name)
                client.unload_and_wait(shadow.name)
        except TritonpmError as error:
            back = undone([lambda: unload_unneeded(client, (shadow.name, *new))])
            manager.settle(_names(revision))
            raise _told(revision.name, error, "" if back else UNKNOWN) from None
        manager.settle((shadow.name,))


def shadow_of(revision: Revision, suffix: str = NEXT) -> Revision:
    """The same revision with another public name; members keep theirs."""
    name, last = revision.name + suffix, revision.models[-1]
    files = tuple(
        replace(file, text=file.text.replace(f'name: "{revision.name}"', f'name: "{name}"', 1))
        if file.text and file.path.endswith(".pbtxt")
        else file
        for file in last.files
    )
    return Revision(name, revision.digest, (*revision.models[:-1], RenderedModel(name, files)))


def _names(revision: Revision, before: Revision | None = None) -> tuple[str, ...]:
    """All folders that a switch from one revision to another may leave behind."""
    return (*{model.name: None for one in (before, revision) if one for model in one.models}, revision.name + NEXT)


def _told(name: str, error: TritonpmError, do: str) -> TritonpmError:
    if isinstance(error, CapacityError) or "out of memory" in str(error).lower():
        return CapacityError(
            f"both do not fit into memory: {error.what}",
            where=name,
            do=f"`tritonpm unload {name}`, set, and `tritonpm load {name}`: a short outage",
        )
    return ServerError(
        f"the new revision does not prove itself, so the old one serves on: {error.what}", where=name, do=do
    )
