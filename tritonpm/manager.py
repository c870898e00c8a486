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

from tritonpm import views
from tritonpm.catalogue import Blobs, Catalogue, Record, Source, Workspace, create, find, lock, rebuild
from tritonpm.data import BatchAxis, Check, File, Optimised, Package, Revision, Settings
from tritonpm.errors import BusyError, PackageError, UsageError

if TYPE_CHECKING:
    from tritonpm.catalogue.leases import Lease
    from tritonpm.data import Finding
    from tritonpm.measuring import Trial
    from tritonpm.optimising import Optimising

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
    from tritonpm.hardware.doctor import checks

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
        server: str | None = None,
        progress: Progress = quiet,
        waiting: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.workspace, self.url, self.progress, self.waiting = workspace, server, progress, waiting

    @classmethod
    def open(
        cls,
        root: Path | None = None,
        *,
        server: str | None = None,
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
    def optimising(self) -> Optimising:
        """What is optimised, and the jobs that do it."""
        from tritonpm.optimising import Optimising

        return Optimising(self)

    @contextmanager
    def changing(self, what: str) -> Iterator[None]:
        """Hold the workspace's lock, with what a crash left over finished first. Raises BusyError."""
        with lock(self.workspace, what, waiting=self.waiting):
            self.recover()
            yield

    # Packages

    def packages(self) -> list[views.PackageView]:
        """Every package, by name."""
        busy, users = self.catalogue.jobs.busy(), self.catalogue.leases.users()
        packages = self.catalogue.packages()
        return [views.listed(entry, busy.get(entry.name), users.get(entry.name, ())) for entry in packages]

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
        from tritonpm import settings as choices
        from tritonpm.hardware import target
        from tritonpm.package import read

        if name is not None:
            self.catalogue.require_free(name)
        with self.workspace.scratch("import") as staging:
            with self.progress(f"Reading {source.name}") as report:
                package = read(source, staging, name=name, allow_code=allow_code, progress=lambda _, a, b: report(a, b))
            self.catalogue.require_free(package.name, package.digest)

            def place(file: File) -> Path:
                return staging / file.path

            axes = self.axes(package, place)
            chosen = choices.defaults(package, axes, "gpu" if target().gpus else "cpu")
            chosen = choices.changed(self._adopted(package, chosen, place), changes or {})
            self._render(package, chosen, axes, place)
            self._require_machine(package, chosen, profile, ignore=ignore_requirements)
            with self.changing(f"import {package.name}"):
                self.catalogue.require_free(package.name, package.digest)
                for file in package.files:
                    self.blobs.put(staging / file.path, file.digest, move=True)
                self.catalogue.add(package, chosen, views.summary(package, chosen))
        return self.show(package.name)

    def exchange(self, name: str, source: Path, *, allow_code: bool = False) -> None:
        """Another content under the same name; the settings stay where the rules let them.

        Raises PackageError, RuleError, NotFoundError, BusyError while it is being optimised.
        """
        from tritonpm import settings as choices
        from tritonpm.hardware import target
        from tritonpm.package import read

        record = self.catalogue.get(name)
        with self.workspace.scratch("upgrade") as staging:
            with self.progress(f"Reading {source.name}") as report:
                package = read(source, staging, name=name, allow_code=allow_code, progress=lambda _, a, b: report(a, b))

            def place(file: File) -> Path:
                return staging / file.path

            axes = self.axes(package, place)
            first = choices.defaults(package, axes, "gpu" if target().gpus else "cpu")
            known = {stage.name for stage in package.stages}
            stages = {stage: own for stage, own in record.settings.stages.items() if stage in known}
            chosen = replace(record.settings, stages=stages or first.stages)
            self._render(package, chosen, axes, place)
            with self.changing(f"upgrade {name}"):
                self._require_idle(name)
                for file in package.files:
                    self.blobs.put(staging / file.path, file.digest, move=True)
                self.catalogue.replace(name, package, chosen, views.summary(package, chosen))

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
            self._require_idle(name)
            if not live:
                self._require_unused(name, "change it with `tritonpm set --live`")
            record = self.catalogue.get(name)
            before = record.settings
            if calibration:
                changes = {**changes, "calibration": self.optimising.calibration(calibration)}
            if plugins:
                changes = {**changes, "plugins": self.optimising.kept(plugins)}
            after = changed(before, changes) if stage is None else stage_changed(before, stage, changes)
            self._render(record.package, after)
            self.catalogue.set_settings(name, after, views.summary(record.package, after))
        return self.show(name)

    def measure_instances(self, name: str) -> tuple[int, list[Trial]]:
        """How many instances of a package are worth it here, and what was measured. Raises ServerError."""
        from tritonpm.measuring import measured

        return measured(self, name)

    def history(self, name: str) -> list[views.RevisionView]:
        """The revisions of a package that are kept, the newest first. Raises NotFoundError."""
        from tritonpm.history import listed

        return listed(self, name)

    def diff(self, name: str, one: int, other: int | None = None) -> Iterator[str]:
        """Two revisions, line by line; `other` is the current one where it is None. Raises NotFoundError."""
        from tritonpm.history import differences

        return differences(self, name, one, other)

    def prune(self, name: str, keep: int) -> tuple[list[int], int]:
        """Forget old revisions, and how many blobs went with them."""
        from tritonpm.history import prune

        return prune(self, name, keep)

    def rename(self, name: str, new_name: str) -> None:
        """Give a package another name. Raises NameTakenError; BusyError while it is loaded."""
        from tritonpm.package.paths import NAME_RULE, is_name

        if not is_name(new_name):
            raise UsageError(f"{new_name!r} is no package name", do=NAME_RULE)
        with self.changing(f"rename {name}"):
            self._require_idle(name)
            self._require_unused(name, _WAIT)
            self._require_unloaded(name)
            self.catalogue.require_free(new_name)
            models = self._models(name)
            with self.catalogue.intent("rename", models):
                self.catalogue.rename(name, new_name)
                self.settle(models)

    def remove(self, name: str) -> None:
        """Forget a package, what was published of it, and its files. Raises BusyError while it is loaded."""
        with self.changing(f"remove {name}"):
            self._require_idle(name)
            self._require_unused(name, _WAIT)
            self._require_unloaded(name)
            models = self._models(name)
            with self.catalogue.intent("remove", models):
                self.catalogue.remove(name)
                self.settle(models)
            self.blobs.collect(self.catalogue.referenced_blobs())

    def export(self, name: str, destination: Path, *, force: bool = False) -> Path:
        """Write a package as a .zip. Raises PackageError where the file exists."""
        from tritonpm.package import export

        package = self.catalogue.get(name).package
        if destination.exists() and not force:
            raise PackageError(
                "it exists already", where=str(destination), do="choose another --output, or use --force"
            )

        def open_file(file: File):  # type: ignore[no-untyped-def]
            return self.blobs.path(file.digest).open("rb")

        with self.progress(f"Writing {destination.name}"):
            aside = destination.with_name(f".{destination.name}.new")
            try:
                export(package, open_file, aside)
                aside.replace(destination)
            finally:
                aside.unlink(missing_ok=True)
        return destination

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
        return self._render(package, settings, optimised=self.optimising.required(record))

    def rendered(self, name: str) -> Revision:
        """What the settings ask for. Raises NotOptimisedError where some of it was not made yet."""
        record = self.catalogue.get(name)
        return self._render(record.package, record.settings, optimised=self.optimising.required(record))

    def publish(self, name: str) -> Revision:
        """Bring what the settings ask for into the workspace's repository; nothing where it is there already."""
        record, revision = self.catalogue.get(name), self.rendered(name)
        current = self.catalogue.revision(name)
        models = tuple(model.name for model in revision.models)
        if current is None or current.digest != revision.digest:
            self.restore(name, revision)
        elif missing := tuple(model for model in models if not (self.workspace.repository / model).is_dir()):
            self.settle(missing)
        if record.status in ("imported", "failed"):
            self.catalogue.set_status(name, "ready")
        return revision

    def restore(self, name: str, revision: Revision) -> None:
        """Make `revision` the package's current one, in the catalogue and in the repository."""
        models = tuple(model.name for model in revision.models)
        with self.catalogue.intent("publish", models):
            self.catalogue.add_revision(name, revision)
            self.settle(models)

    def check(self, package: Package, settings: Settings) -> None:
        """Raise RuleError or RenderError where a package cannot be served with these settings."""
        self._render(package, settings)

    def put(self, revision: Revision) -> None:
        """Write a revision's folders, not making it current: the caller's journal entry tells what becomes of them."""
        from tritonpm.repository.publish import publish

        with self.workspace.scratch("publish") as staging:
            publish(revision, self.workspace.repository, staging, self.blobs.path)

    def put_back(self, name: str, source: Source) -> None:
        """Make a package what it was: its content and its settings."""
        with self.changing(f"put back {name}"):
            summary = views.summary(source.package, source.settings)
            self.catalogue.replace(name, source.package, source.settings, summary)

    def verify(self) -> list[views.Damage]:
        """What is not as the catalogue says, files and blobs; every one is read."""
        from tritonpm.upkeep import damages

        return damages(self)

    def mend(self) -> tuple[list[views.Damage], list[views.Damage]]:
        """Make the repository again what the catalogue says: (what was mended, what could not be)."""
        from tritonpm.upkeep import mend

        return mend(self)

    def rebuild(self) -> list[str]:
        """Make a corrupt catalogue anew from its records; the packages that it then knows."""
        with lock(self.workspace, "doctor", waiting=self.waiting):
            return rebuild(self.workspace)

    def recover(self) -> None:
        """Finish what a killed process began: the folders it was changing are made to agree with the catalogue."""
        self.workspace.sweep()
        for intent, _, models in self.catalogue.open_intents():
            self.settle(models)
            self.catalogue.close_intent(intent)

    def tidy(self, name: str) -> None:
        """Withdraw members of earlier revisions that the package's current one does not need."""
        old = tuple(sorted(self.catalogue.models_ever(name) - set(self._models(name))))
        there = tuple(model for model in old if (self.workspace.repository / model).is_dir())
        if there:
            with self.catalogue.intent("tidy", there):
                self.settle(there)

    # What the use cases share

    def settle(self, models: tuple[str, ...], *, anew: bool = False) -> None:
        """Make the folders of `models` what the catalogue's current revisions say: there, whole, or not there.

        `anew` writes also those that look right.
        """
        from tritonpm.repository.publish import publish, withdraw

        wanted = {model.name: revision for revision in self.catalogue.published() for model in revision.models}
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
            withdraw([name for name in models if name not in wanted], self.workspace.repository, staging)

    def _models(self, name: str) -> tuple[str, ...]:
        revision = self.catalogue.revision(name)
        return tuple(model.name for model in revision.models) if revision else ()

    def _require_unloaded(self, name: str) -> None:
        from tritonpm.serving import Serving

        self.catalogue.get(name)
        if Serving(self).is_loaded(name):
            raise BusyError(f"{name} is loaded", do=f"`tritonpm unload {name}` first")

    def _require_machine(self, package: Package, settings: Settings, profile: str, *, ignore: bool) -> None:
        """Raise RequirementError where this machine lacks what the package needs; warnings go to the watcher."""
        from tritonpm.hardware.host import host
        from tritonpm.hardware.requirements import Wanted, require, unmet
        from tritonpm.repository.config import backend_of

        stages = [(stage, settings.for_stage(stage.name)) for stage in package.stages]
        wanted = Wanted(
            frozenset(own.device for _, own in stages),
            frozenset({own.optimizer for _, own in stages} | {backend_of(s, own) for s, own in stages if not s.config}),
            package.cascade,
            package.exporter.lower(),
            profile,
        )
        lacking = unmet(host(), wanted)
        for each in lacking:
            if each.level == "warning":
                self.waiting(f"Warning: {each.sentence}; {each.do}.")
        if not ignore:
            require(lacking, package.name)

    def require_unleased(self, name: str) -> None:
        """Raise BusyError where a project uses the package."""
        if users := self.catalogue.leases.users().get(name):
            raise BusyError(f"{name} is in use by {', '.join(users)}", do=_WAIT)

    def _require_unused(self, name: str, do: str) -> None:
        """Raise BusyError naming the users."""
        from tritonpm.serving import Serving

        if users := Serving(self).users(name):
            raise BusyError(f"{name} is in use by {', '.join(users)}", do=do)

    def _require_idle(self, name: str) -> None:
        if job := self.catalogue.jobs.running(name):
            raise job.in_the_way()

    def _blob(self, file: File) -> Path:
        return self.blobs.path(file.digest)

    def axes(self, package: Package, place: Callable[[File], Path] | None = None) -> dict[str, BatchAxis]:
        """What is known of each stage's batch axis; proved once for each content."""
        from tritonpm.convert.batch import PROOF, prove

        place = place or self._blob
        axes = {}
        for stage in package.stages:
            content = package.file(stage.model).digest if stage.model else package.digest
            key = f"{content} {PROOF} {stage.format.value} {'adopted' if stage.config else ''}"
            axis = self.catalogue.axis(key)
            if axis is None or (axis.artefact and not self.blobs.has(axis.artefact)):
                with self.progress(f"Proving the batch axis of {stage.name}"), self.workspace.scratch("axis") as folder:
                    files = {path: place(package.file(path)) for path in stage.files}
                    samples = [place(package.file(sample.inputs)) for sample in stage.samples]
                    axis, rewritten = prove(stage, files, samples, folder)
                    if rewritten and axis.artefact:
                        self.blobs.put(rewritten, axis.artefact, move=True)
                self.catalogue.put_axis(key, axis)
            axes[stage.name] = axis
        return axes

    def _configs(self, package: Package, place: Callable[[File], Path]) -> dict[str, str]:
        """The config.pbtxt of each adopted stage."""
        return {
            stage.name: place(package.file(stage.config)).read_text(encoding="utf-8")
            for stage in package.stages
            if stage.config
        }

    def _adopted(self, package: Package, settings: Settings, place: Callable[[File], Path]) -> Settings:
        """The settings that an adopted folder's own config says."""
        from tritonpm.repository.adopt import settings_of
        from tritonpm.repository.config import parse
        from tritonpm.settings import changed

        for stage, text in self._configs(package, place).items():
            settings = changed(settings, settings_of(parse(text, f"{stage}/config.pbtxt")))
        return settings

    def _render(
        self,
        package: Package,
        settings: Settings,
        axes: Mapping[str, BatchAxis] | None = None,
        place: Callable[[File], Path] | None = None,
        *,
        optimised: Mapping[str, Optimised] | None = None,
    ) -> Revision:
        from tritonpm.hardware import target
        from tritonpm.repository.render import render
        from tritonpm.settings import require

        place = place or self._blob
        axes = axes or self.axes(package, place)
        require(package, settings, axes, target())
        configs = self._configs(package, place)
        return render(
            package, settings, target(), axes,
            optimised=optimised, configs=configs, templates=self.workspace.templates,
        )  # fmt: skip

    def _details(self, record: Record) -> views.PackageDetails:
        from tritonpm.hardware import target
        from tritonpm.repository.config import instances
        from tritonpm.settings import warnings

        axes = self.axes(record.package)
        optimised = self.optimising.made(record)
        revision = self._render(record.package, record.settings, axes, optimised=optimised)
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
