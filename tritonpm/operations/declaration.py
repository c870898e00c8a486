"""The state of a workspace as a file: `plan` says what would change, `apply` does it, again and again alike.

    packages:
      bolts:
        source: packages/bolts.zip            # beside this file, or oci://, https://, s3://… with a `digest`;
                                              # with a `digest` alone it is the content that the workspace has
        settings: {mode: performance, instances: 2}
        stages: {detect: {max_batch_size: 1}}
        projects: [LINE-3]                    # who uses it, besides those that say so themselves
        loaded: true

`tritonpm.lock` beside it pins the digest of every source: what has changed since is refused until `apply --update`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tritonpm.core.apart import Apart
from tritonpm.core.errors import ManifestError, NotFoundError, PackageError
from tritonpm.core.files import write_atomically
from tritonpm.core.scratch import temporary
from tritonpm.core.units import MIB, human
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.chosen_settings import require_handed_in
from tritonpm.operations.import_package import import_package, read_package
from tritonpm.operations.list import status
from tritonpm.operations.load import load
from tritonpm.operations.remove import remove
from tritonpm.operations.set import change
from tritonpm.operations.switch import replace_settings
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.package.document import dump
from tritonpm.settings.settings import Settings, difference, digest_change
from tritonpm.triton import liveness

if TYPE_CHECKING:
    from tritonpm.catalogue import Entry, Record
    from tritonpm.operations.context import Context

FILE, LOCK = "tritonpm.yaml", "tritonpm.lock"
_CORRECT = "correct the declaration"
_WRITE = f"tritonpm declare > {FILE}"
_MOST = 4 * MIB  # bytes of a file that is read


@dataclass(frozen=True)
class Action:
    """One thing that `apply` does: import, upgrade, set, load, unload or remove."""

    what: str
    package: str
    sentence: str


class DeclaredPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One package as it should be."""

    source: str = ""  # "": what the workspace has, by its `digest`
    digest: str = ""  # of the .zip, where the source is an address of a registry
    settings: dict[str, Any] = {}
    stages: dict[str, dict[str, Any]] = {}
    projects: list[str] = []
    loaded: bool = True


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    packages: dict[str, DeclaredPackage]


@dataclass(frozen=True)
class DeclaredPlan:
    """What is to be done, in order, and the digest of every source."""

    actions: tuple[Action, ...]
    digests: Mapping[str, str]
    sources: Mapping[str, Path]
    declared: Mapping[str, DeclaredPackage]
    settings: Mapping[str, Settings] = field(default_factory=dict)


def read(path: Path) -> Declaration:
    """The declaration in a file. Raises ManifestError with the place of what is wrong."""
    from tritonpm.package.document import load as parsed
    from tritonpm.package.limits import Limits

    if not path.is_file():
        raise NotFoundError(
            "does not exist", where=str(path), do=f"`{_WRITE}` writes what is here, or name one with --file"
        )
    if path.stat().st_size > _MOST:
        raise ManifestError([("", f"is longer than {human(_MOST)}")], where=str(path))
    document = parsed(path.read_bytes(), str(path), Limits())
    try:
        declaration = msgspec.convert(document, Declaration)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at ")
        raise ManifestError([(place.strip("`$."), sentence)], where=str(path), do=_CORRECT) from None
    for name, wanted in declaration.packages.items():
        if not wanted.source and not wanted.digest:
            said = "has no source, and no digest of what the workspace has"
            raise ManifestError([(f"packages.{name}", said)], where=str(path), do=f"{_CORRECT}: `{_WRITE}` has both")
        _require_choices(f"{path}: packages.{name}", wanted)
    return declaration


def _require_choices(where: str, wanted: DeclaredPackage) -> None:
    """Raise RuleError, UsageError for what no package may have, before anything is fetched."""
    from tritonpm.catalogue.leases import require_project
    from tritonpm.settings import changed
    from tritonpm.settings.values import require_values

    for place, settings in (("settings", wanted.settings), ("stages", {"stages": wanted.stages})):
        require_values(changed(Settings(), settings, where=f"{where}.{place}"), f"{where}.{place}")
    for project in wanted.projects:
        require_project(project)


def plan(context: Context, path: Path, *, prune: bool = False, update: bool = False) -> DeclaredPlan:
    """What would change; nothing is written. Raises ManifestError, PackageError, RuleError."""
    declaration = read(path)
    pinned = {} if update else _pinned(path.with_name(LOCK))
    declared = declaration.packages
    sources = {name: _source(context, path, wanted) for name, wanted in declared.items() if wanted.source}
    digests = {name: _there(context, name, wanted.digest) for name, wanted in declared.items() if not wanted.source}
    digests |= {name: _digest(context, source, name, pinned.get(name)) for name, source in sources.items()}
    actions: list[Action] = []
    alive = liveness.server_lives(context.workspace.server)
    entries = {
        entry.name: entry._replace(status=status(entry, None, alive)[0]) for entry in context.catalogue.packages()
    }
    known = {name: entry for name, entry in entries.items() if not entry.canary_of}
    settings: dict[str, Settings] = {}
    for name, wanted in declared.items():
        actions += _for_package(context, name, entries.get(name), wanted, digests[name], settings)
    for name in known.keys() - declaration.packages.keys() if prune else ():
        if known[name].status == "loaded":
            actions.append(Action("unload", name, "it is not declared"))
        actions.append(Action("remove", name, "it is not declared"))
    return DeclaredPlan(tuple(actions), digests, sources, declared, settings)


def _for_package(
    context: Context,
    name: str,
    entry: Entry | None,
    wanted: DeclaredPackage,
    digest: str,
    settings: dict[str, Settings],
) -> Iterator[Action]:
    live = False  # whether what is loaded changes by one of the actions
    if entry is None:
        yield Action("import", name, f"{_shown(wanted.source)}, {digest[:19]}")
    else:
        if entry.digest != digest:
            live = True
            yield Action("upgrade", name, digest_change(entry.digest, digest))
        record = context.catalogue.get(name)
        now, settings[name] = record.settings, (after := _applied(context, record, wanted))
        if changes := difference(now, after):
            live = True
            yield Action("set", name, changes)
    if set(wanted.projects) != set(context.catalogue.leases.declared(name)):
        yield Action("projects", name, ", ".join(wanted.projects) or "none")
    if wanted.loaded and (entry is None or entry.status != "loaded"):
        yield Action("load", name, "")
    elif wanted.loaded and entry is not None and entry.changed and not live:
        yield Action("load", name, "what is declared is not what was proved")
    elif not wanted.loaded and entry is not None and entry.status == "loaded":
        yield Action("unload", name, "it is declared as not loaded")


def _applied(context: Context, record: Record, wanted: DeclaredPackage) -> Settings:
    """The settings in force with what is declared laid over them; stages that are not named have none of their own."""
    from tritonpm.settings import adjusted

    package, here, axes = record.package, context.target, batch_axes(context, record.package)
    now = replace(record.settings, stages={}) if wanted.stages else record.settings
    after, _ = adjusted(package, now, wanted.settings, axes, here)
    for stage, own in wanted.stages.items():
        after, _ = adjusted(package, after, own, axes, here, stage=stage)
    require_handed_in(context, package.name, after, record.settings)
    return after


def _source(context: Context, path: Path, wanted: DeclaredPackage) -> Path:
    """The file or folder of a source; what lies in a registry is fetched once. Raises RegistryError, UsageError."""
    from tritonpm.operations.package_source import fetch
    from tritonpm.registry import is_address

    if is_address(wanted.source):
        return fetch(context, wanted.source, wanted.digest)
    return (path.parent / wanted.source).resolve()


def _there(context: Context, name: str, digest: str) -> str:
    """The digest of what a package is here. Raises PackageError where that is something else, or nothing."""
    with suppress(NotFoundError):
        if context.catalogue.get(name).package.digest == digest:
            return digest
    what = f"the workspace does not have {name} with the digest {digest[:19]}"
    do = f"`tritonpm export {name}` where it is, and name that file as its `source`"
    raise PackageError(what, where=f"packages.{name}", do=do)


def _shown(source: str) -> str:
    """A source for a sentence: what an address says beside the place may be a credential."""
    from tritonpm.registry import is_address, shown

    return shown(source) if is_address(source) else source


def _digest(context: Context, source: Path, name: str, pinned: str | None) -> str:
    """Of what the source holds. Raises PackageError where the lock file pins another one."""
    with temporary("plan") as staging, Apart() as apart:
        digest = read_package(context, source, staging, apart, name=name).digest
    if pinned is not None and pinned != digest:
        raise PackageError(
            f"is {digest[:19]}, and {LOCK} pins {pinned[:19]}",
            where=str(source),
            do="`tritonpm apply --update` takes it",
        )
    return digest


def apply(context: Context, path: Path, *, prune: bool = False, update: bool = False) -> Iterator[Action]:
    """Do what `plan` says, an action at a time as it is done; then pin the digests. Raises what each action raises.

    Settings and content of what is loaded change live. Applied again, nothing is left to be done.
    """
    todo = plan(context, path, prune=prune, update=update)
    for action in todo.actions:
        name, wanted = action.package, todo.declared.get(action.package)
        if wanted is None:
            context.catalogue.leases.declare(name, ())
        if action.what == "import" and wanted:
            import_package(context, todo.sources[name], name=name, changes=wanted.settings)
            for stage, own in wanted.stages.items():
                change(context, name, own, stage=stage)
        elif action.what == "upgrade":
            upgrade(context, name, todo.sources[name])
        elif action.what == "set":
            replace_settings(context, name, todo.settings[name])
        elif action.what == "projects" and wanted:
            context.catalogue.leases.declare(name, wanted.projects)
        elif action.what == "load":
            load(context, name, probe=context.catalogue.get(name).probed)
        elif action.what == "unload":
            unload(context, name)
        elif action.what == "remove":
            remove(context, name)
        yield action
    _pin(path.with_name(LOCK), todo.digests)


def _pinned(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # the second for what is not UTF-8
        raise ManifestError([("", f"is not a lock file ({error})")], where=str(path)) from None


def _pin(path: Path, digests: Mapping[str, str]) -> None:
    text = json.dumps(dict(sorted(digests.items())), indent=2) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    write_atomically(path, text.encode())


def export(context: Context) -> str:
    """The workspace as it is, as a declaration that `plan` takes: what it has, by digest."""
    packages = {}
    for entry in (entry for entry in context.catalogue.packages() if not entry.canary_of):
        settings = context.catalogue.get(entry.name).settings
        one, first = asdict(settings), asdict(Settings())
        own = {key: value for key, value in one.items() if value != first[key] and key != "stages"}
        package: dict[str, Any] = {"digest": entry.digest}
        package |= {"settings": own} if own else {}
        package |= {"stages": one["stages"]} if one["stages"] else {}
        projects = context.catalogue.leases.declared(entry.name)
        package |= {"projects": list(projects)} if projects else {}
        packages[entry.name] = {**package, "loaded": entry.wanted}
    plain = msgspec.to_builtins({"packages": packages})
    return dump(plain)
