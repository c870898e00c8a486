"""The use cases: the one place that knows all the rooms. Each returns a frozen result and prints nothing.

Order of every change: read and refuse first; then, under the workspace's lock, finish what a crash left (`recover`),
journal the intent, change the catalogue, make the disk agree, close the intent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import Blobs, Catalogue, Record, Source, Workspace, create, find, lock, rebuild
from tritonpm.core.errors import BusyError, StorageError, UsageError
from tritonpm.core.types import BatchAxis, Check, File, Package, Revision
from tritonpm.operations import list as listing
from tritonpm.operations import views
from tritonpm.operations.import_package import Importing
from tritonpm.operations.render import Rendering
from tritonpm.settings.settings import UNPUBLISHED_SETTINGS, Settings

if TYPE_CHECKING:
    from tritonpm.catalogue.leases import Lease
    from tritonpm.core.types import Finding
    from tritonpm.operations.autoscale import Trial
    from tritonpm.operations.optimize.jobs import Optimising
    from tritonpm.triton.client import Connection

_WAIT = "wait until they are done, or see `tritonpm projects`"
Report = Callable[[int, int], None]
Progress = Callable[[str], AbstractContextManager[Report]]


def quiet(_: str) -> AbstractContextManager[Report]:
    """Progress that nobody watches."""
    return nullcontext(lambda done, total: None)


def init(folder: Path) -> tuple[Path, bool]:
    """Make a workspace in `folder`; the flag says whether there was none yet."""
    fresh = not Workspace(folder.resolve()).exists
    workspace = create(folder.resolve())
    Catalogue.open(workspace).close()
    return workspace.root, fresh


def inspect(path: Path, *, allow_code: bool = False) -> views.Inspection:
    """What a file or folder holds, nothing kept. Raises PackageError."""
    import tempfile

    from tritonpm.package import read

    with tempfile.TemporaryDirectory(prefix="tritonpm-inspect-") as staging:
        return views.inspection(read(path, Path(staging), allow_code=allow_code))


def doctor(profile: str = "") -> list[Check]:
    """What this machine has and lacks; `profile` is the site's, such as mech-vision."""
    from tritonpm.operations.doctor import checks

    return checks(profile)


def lint(folder: Path) -> list[Finding]:
    """What Triton would say of a repository, or of one model folder."""
    from tritonpm.package import read_signature
    from tritonpm.repository import lint as linting

    is_model = any((folder / name).exists() for name in ("config.pbtxt", "1"))
    look = linting.lint_model if is_model else linting.lint
    return look(folder, lambda path: read_signature(path)[1])


class Manager:
    """The packages of one workspace."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        server: Connection | str | None = None,
        progress: Progress = quiet,
        waiting: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.workspace, self.progress, self.waiting = workspace, progress, waiting
        self.server = server  # None: the workspace's own

    @classmethod
    def open(
        cls,
        root: Path | None = None,
        *,
        server: Connection | str | None = None,
        progress: Progress = quiet,
        waiting: Callable[[str], None] = lambda sentence: None,
    ) -> Manager:
        """The manager of the workspace at `root`, or of the one around the current folder. Raises NotFoundError."""
        return cls(find(root), server=server, progress=progress, waiting=waiting)

    @cached_property
    def catalogue(self) -> Catalogue:
        """What the workspace knows and promised."""
        return Catalogue.open(self.workspace)

    @cached_property
    def blobs(self) -> Blobs:
        """The model files, by content."""
        return Blobs(self.workspace)

    @cached_property
    def rendering(self) -> Rendering:
        """What packages are as model repositories."""
        return Rendering(self)

    @cached_property
    def importing(self) -> Importing:
        """The ways in and out."""
        return Importing(self)

    @cached_property
    def optimising(self) -> Optimising:
        """What is optimised, and the jobs that do it."""
        from tritonpm.operations.optimize.jobs import Optimising

        return Optimising(self)

    @contextmanager
    def changing(self, what: str) -> Iterator[None]:
        """Hold the workspace's lock, with what a crash left over finished first. Raises BusyError."""
        with lock(self.workspace, what, waiting=self.waiting):
            self.recover()
            yield

    # Packages

    def packages(self) -> list[listing.PackageView]:
        """Every package, by name."""
        return listing.packages(self.catalogue)

    def show(self, name: str) -> views.PackageDetails:
        """Everything about one package. Raises NotFoundError."""
        return self._details(self.catalogue.get(name))

    def import_package(
        self,
        source: Path,
        *,
        name: str | None = None,
        allow_code: bool = False,
        changes: Mapping[str, object] | None = None,
        profile: str = "",
        ignore_requirements: bool = False,
    ) -> views.PackageDetails:
        """Bring a package in: read, refuse or keep. `profile` is the site's, such as mech-vision.

        Raises PackageError, RuleError, NameTakenError, RequirementError.
        """
        return self.importing.import_package(
            source, name=name, allow_code=allow_code, changes=changes, profile=profile,
            ignore_requirements=ignore_requirements,
        )  # fmt: skip

    def exchange(self, name: str, source: Path, *, allow_code: bool = False) -> None:
        """Another content under the same name; the settings stay where the rules let them.

        Raises PackageError, RuleError, NotFoundError, BusyError while it is being optimised.
        """
        self.importing.exchange(name, source, allow_code=allow_code)

    def change(
        self,
        name: str,
        changes: Mapping[str, object],
        *,
        stage: str | None = None,
        calibration: Path | None = None,
        plugins: Sequence[Path] = (),
        live: bool = False,
    ) -> views.PackageDetails:
        """Change a package's settings, or one stage's; what is in use only as a part of a `live` switch.

        `calibration` is a folder or file of samples for INT8, `plugins` are TensorRT's shared libraries: code.
        Raises RuleError, NotFoundError, BusyError while it is being optimised.
        """
        from tritonpm.settings import changed, stage_changed

        with self.changing(f"set {name}"):
            self.require_idle(name)
            if not live and not changes.keys() <= set(UNPUBLISHED_SETTINGS):
                self._require_unused(name, "change it with `tritonpm set --live`")
            record = self.catalogue.get(name)
            before = record.settings
            if calibration:
                changes = {**changes, "calibration": self.optimising.calibration(calibration)}
            if plugins:
                changes = {**changes, "plugins": self.optimising.kept(plugins)}
            after = changed(before, changes) if stage is None else stage_changed(before, stage, changes)
            self.rendering.revision(record.package, after)
            self.catalogue.set_settings(name, after, views.summary(record.package, after))
        return self.show(name)

    def measure_instances(self, name: str) -> tuple[int, list[Trial]]:
        """How many instances of a package are worth it here, and what was measured. Raises ServerError."""
        from tritonpm.operations.autoscale import measured

        return measured(self, name)

    def history(self, name: str) -> list[views.RevisionView]:
        """The revisions of a package that are kept, the newest first. Raises NotFoundError."""
        from tritonpm.operations.history import listed

        return listed(self, name)

    def diff(self, name: str, one: int, other: int | None = None) -> Iterator[str]:
        """Two revisions, line by line; `other` is the current one where it is None. Raises NotFoundError."""
        from tritonpm.operations.history import differences

        return differences(self, name, one, other)

    def prune(self, name: str, keep: int) -> tuple[list[int], int]:
        """Forget old revisions, and how many blobs went with them."""
        from tritonpm.operations.history import prune

        return prune(self, name, keep)

    def rename(self, name: str, new_name: str) -> None:
        """Give a package another name. Raises NameTakenError; BusyError while it is loaded."""
        from tritonpm.package.paths import NAME_RULE, is_name

        if not is_name(new_name):
            raise UsageError(f"{new_name!r} is no package name", do=NAME_RULE)
        with self.changing(f"rename {name}"):
            self.require_idle(name)
            self._require_no_canary(name)
            self._require_unused(name, _WAIT)
            self._require_unloaded(name)
            self.catalogue.require_free(new_name)
            models = self.models(name)
            with self.catalogue.intent("rename", models):
                self.catalogue.rename(name, new_name)
                self.settle(models)

    def remove(self, name: str) -> None:
        """Forget a package, what was published of it, and its files. Raises BusyError while it is loaded."""
        with self.changing(f"remove {name}"):
            self.require_idle(name)
            self._require_no_canary(name)
            self._require_unused(name, _WAIT)
            self._require_unloaded(name)
            models = self.models(name)
            with self.catalogue.intent("remove", models):
                self.catalogue.remove(name)
                self.settle(models)
            self.collect()

    def export(self, name: str, destination: Path, *, force: bool = False) -> Path:
        """Write a package as a .zip. Raises PackageError where the file exists."""
        return self.importing.export(name, destination, force=force)

    # Who uses what

    def use(self, name: str, project: str, ttl: float, holder: str = "") -> Lease:
        """A project uses a package for `ttl` seconds; said again, it is renewed. Raises NotFoundError, UsageError."""
        self.catalogue.get(name)
        return self.catalogue.leases.take(name, project, ttl, holder)

    def release(self, name: str, project: str, holder: str = "") -> bool:
        """A project does not use a package any more; whether it did."""
        return self.catalogue.leases.release(name, project, holder)

    def projects(self) -> list[Lease]:
        """Who uses what."""
        return self.catalogue.leases.live()

    # Repositories

    def render(self, name: str, folder: Path) -> views.Rendering:
        """Write a package's repository into a folder of the user's; the files are copies."""
        from tritonpm.repository.publish import publish

        record, revision = self.catalogue.get(name), self.rendered(name)
        folder.mkdir(parents=True, exist_ok=True)
        import tempfile

        with tempfile.TemporaryDirectory(prefix=".tritonpm-", dir=folder.parent) as staging:
            publish(revision, folder, Path(staging), self.blobs.path, link=False)
        return views.rendering(record.package.name, revision)

    def trial_revision(self, record: Record, name: str, **changes: object) -> Revision:
        """What a package would be under another name and with other settings, for a server that only measures it."""
        from tritonpm.settings import changed

        settings = changed(record.settings, changes)
        package = replace(record.package, name=name)
        return self.rendering.revision(package, settings, optimised=self.optimising.required(record))

    def rendered(self, name: str) -> Revision:
        """What the settings ask for. Raises NotOptimisedError where some of it was not made yet."""
        record = self.catalogue.get(name)
        return self.rendering.revision(record.package, record.settings, optimised=self.optimising.required(record))

    def publish(self, name: str) -> Revision:
        """Bring what the settings ask for into the workspace's repository; nothing where it is there, and whole."""
        from tritonpm.repository.publish import is_there

        record, revision, root = self.catalogue.get(name), self.rendered(name), self.workspace.repository
        current = self.catalogue.revision(name)
        whole = all(is_there(model, root / model.name) for model in revision.models)
        if current is None or current.digest != revision.digest or not whole:
            self.restore(name, revision)
        if record.status in ("imported", "failed"):
            self.catalogue.set_status(name, "ready")
        return revision

    def restore(self, name: str, revision: Revision) -> None:
        """Make `revision` the package's current one, in the catalogue and in the repository.

        Raises StorageError, and nothing has changed, where one of its folders is somebody else's or a blob has rotted.
        """
        from tritonpm.repository.publish import require_publishable

        models = tuple(model.name for model in revision.models)
        require_publishable(revision, self.workspace.repository, self.blobs.verify)
        with self.catalogue.intent("publish", models):
            self.catalogue.add_revision(name, revision)
            self.settle(models)

    def check(self, package: Package, settings: Settings) -> None:
        """Raise RuleError or RenderError where a package cannot be served with these settings."""
        self.rendering.revision(package, settings)

    def put(self, revision: Revision) -> None:
        """Write a revision's folders, not making it current: the caller's journal entry tells what becomes of them."""
        from tritonpm.repository.publish import publish, require_publishable

        require_publishable(revision, self.workspace.repository, self.blobs.verify)
        with self.workspace.scratch("publish") as staging:
            publish(revision, self.workspace.repository, staging, self.blobs.path)

    def put_back(self, name: str, source: Source) -> None:
        """Make a package what it was: its content and its settings."""
        with self.changing(f"put back {name}"):
            summary = views.summary(source.package, source.settings)
            self.catalogue.replace(name, source.package, source.settings, summary)

    def verify(self) -> list[views.Damage]:
        """What is not as the catalogue says, files and blobs; every one is read."""
        from tritonpm.operations.upkeep import damages

        return damages(self)

    def mend(self) -> tuple[list[views.Damage], list[views.Damage]]:
        """Make the repository again what the catalogue says: (what was mended, what could not be)."""
        from tritonpm.operations.upkeep import mend

        return mend(self)

    def rebuild(self) -> list[str]:
        """Make a corrupt catalogue anew from its records; the packages that it then knows."""
        with lock(self.workspace, "doctor", waiting=self.waiting):
            return rebuild(self.workspace)

    def recover(self) -> None:
        """Finish what a killed process began: the folders it was changing are made to agree with the catalogue.

        What cannot be finished (a blob is gone, somebody's folder is in the way) is told, and tried again the next
        time; it stands in the way of no other package, nor of the import that heals it.
        """
        self.workspace.sweep()
        for intent, operation, models in self.catalogue.open_intents():
            try:
                self.settle(models)
            except StorageError as error:
                self.waiting(f"Warning: what a killed {operation} began cannot be finished: {error}.")
            else:
                self.catalogue.close_intent(intent)

    def collect(self) -> int:
        """Delete the blobs that nobody refers to, and first what is known of those that were made here; how many."""
        referenced = self.catalogue.referenced_blobs()
        self.catalogue.artefacts.keep(referenced)
        return self.blobs.collect(referenced)

    def tidy(self, name: str) -> None:
        """Withdraw members of earlier revisions that the package's current one does not need.

        Where it was named otherwise once, somebody else's model may have that name now.
        """
        from tritonpm.repository.publish import is_ours

        old, root = sorted(self.catalogue.models_ever(name) - set(self.models(name))), self.workspace.repository
        there = tuple(model for model in old if (root / model).is_dir() and is_ours(root / model, self.blobs.path))
        if there:
            with self.catalogue.intent("tidy", there):
                self.settle(there)

    # What the use cases share

    def settle(self, models: tuple[str, ...], *, anew: bool = False) -> None:
        """Make the folders of `models` what the catalogue's current revisions say: there, whole, or not there.

        `anew` writes also those that look right.
        """
        from tritonpm.repository.publish import publish, withdraw

        owners = self.catalogue.holding(models)
        wanted = {model.name: revision for revision in owners for model in revision.models}
        revisions = {revision.name: revision for name in models if (revision := wanted.get(name))}
        with self.workspace.scratch("publish") as staging:
            for revision in revisions.values():
                touched = tuple(model for model in revision.models if model.name in models)
                publish(
                    Revision(revision.name, revision.digest, touched),
                    self.workspace.repository,
                    staging,
                    self.blobs.path,
                    anew=anew,
                )
            gone = [name for name in models if name not in wanted]
            withdraw(gone, self.workspace.repository, staging, self.blobs.path)

    def models(self, name: str) -> tuple[str, ...]:
        """The model folders of a package's current revision."""
        revision = self.catalogue.revision(name)
        return tuple(model.name for model in revision.models) if revision else ()

    def _require_unloaded(self, name: str) -> None:
        """Raise BusyError where the package is loaded; members of it that were left loaded are not in the way."""
        from tritonpm.operations.serving import Serving

        self.catalogue.get(name)
        serving = Serving(self)
        if serving.is_loaded(name):
            raise BusyError(f"{name} is loaded", do=f"`tritonpm unload {name}` first")
        serving.sweep(name)

    def require_unleased(self, name: str) -> None:
        """Raise BusyError where a project uses the package."""
        if users := self.catalogue.leases.users().get(name):
            raise BusyError(f"{name} is in use by {', '.join(users)}", do=_WAIT)

    def _require_unused(self, name: str, do: str) -> None:
        """Raise BusyError naming the users."""
        from tritonpm.operations.serving import Serving

        if users := Serving(self).users(name):
            raise BusyError(f"{name} is in use by {', '.join(users)}", do=do)

    def _require_no_canary(self, name: str) -> None:
        for entry in self.catalogue.packages():
            if entry.canary_of == name:
                raise BusyError(f"{entry.name} is its canary", where=name, do="`tritonpm promote` or `abort` it first")

    def require_idle(self, name: str) -> None:
        """Raise BusyError where the package is being optimised."""
        if job := self.catalogue.jobs.running(name):
            raise job.in_the_way()

    def axes(self, package: Package, place: Callable[[File], Path] | None = None) -> dict[str, BatchAxis]:
        """What is known of each stage's batch axis; proved once for each content."""
        return self.rendering.axes(package, place)

    def _details(self, record: Record) -> views.PackageDetails:
        from tritonpm.hardware import target
        from tritonpm.repository.config import instances
        from tritonpm.settings import warnings

        axes = self.axes(record.package)
        optimised = self.optimising.made(record)
        revision = self.rendering.revision(record.package, record.settings, axes, optimised=optimised)
        current = self.catalogue.revision(record.package.name)
        pending = current is not None and current.digest != revision.digest
        count = instances(record.settings, target(), record.package)
        job = self.catalogue.jobs.running(record.package.name)
        said = warnings(record.package, record.settings, axes, target())
        stages = self.optimising.stages(record)
        return views.details(
            record,
            axes,
            revision,
            instances=count,
            pending=pending,
            job=job,
            optimisations=stages,
            said=said,
            used_by=self.catalogue.leases.users().get(record.package.name, ()),
        )
