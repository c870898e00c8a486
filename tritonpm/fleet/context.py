"""Contexts: named groups of servers, kept in one file of the workspace, with what is to be served on each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonpm.core.errors import NotFoundError, UsageError
from tritonpm.fleet.file import read, write
from tritonpm.package.paths import NAME_RULE, is_name

_FILE = "contexts.json"


@dataclass(frozen=True)
class FleetServer:
    """One server of a context. `memory_mb` is what models may take there, 0 where nobody said."""

    url: str
    memory_mb: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called: its URL without the protocol."""
        return self.url.partition("://")[2] or self.url


@dataclass(frozen=True)
class ServerAccess:
    """What the servers want to see: paths of files, never what is in them. `timeout` is of an answer, in seconds."""

    token: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class FleetContext:
    """A group of servers that read one repository: the workspace's own folder, or the one of that URL."""

    name: str
    servers: tuple[FleetServer, ...] = ()
    access: ServerAccess = field(default_factory=ServerAccess)
    repository: str = ""
    placed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # package → servers, by name

    def on(self, package: str) -> tuple[FleetServer, ...]:
        """The servers that shall serve a package."""
        names = self.placed.get(package, ())
        return tuple(server for server in self.servers if server.name in names)

    def named(self, names: Iterable[str]) -> tuple[FleetServer, ...]:
        """Servers by name, URL or LABEL=VALUE. Raises NotFoundError."""
        chosen = {}
        for name in names:
            meant = [server for server in self.servers if _is_meant(server, name)]
            if not meant:
                known = ", ".join(server.name for server in self.servers)
                raise NotFoundError(f"{self.name} has no server {name!r}", do=f"name one of {known}, or LABEL=VALUE")
            chosen.update({server.name: server for server in meant})
        return tuple(chosen.values())

    def holding(self, package: str, servers: Iterable[str]) -> FleetContext:
        """The same context with the package on these servers, and on no others."""
        names = tuple(servers)
        others = {other: where for other, where in self.placed.items() if other != package}
        return replace(self, placed={**others, package: names} if names else others)


@dataclass(frozen=True)
class Contexts:
    """All contexts of a workspace; `current` is the one that is meant where none is named."""

    current: str = ""
    contexts: Mapping[str, FleetContext] = field(default_factory=dict)

    @classmethod
    def of(cls, state: Path) -> Contexts:
        """What the workspace's state folder keeps. Raises StorageError."""
        return read(state / _FILE, cls) or cls()

    def keep(self, state: Path) -> None:
        """Write them down. Raises StorageError."""
        write(state / _FILE, self)

    def get(self, name: str = "") -> FleetContext:
        """The context of that name, or the current one. Raises NotFoundError, UsageError."""
        if not name and not self.current:
            raise UsageError("no context is chosen", do="name one with --context, or `tritonpm context use NAME`")
        if context := self.contexts.get(name or self.current):
            return context
        known = ", ".join(self.contexts) or "there is none"
        do = f"`tritonpm context add {name} --url URL`, or name one that is there ({known})"
        raise NotFoundError(f"there is no context {name or self.current!r}", do=do)

    def put(self, context: FleetContext) -> Contexts:
        """With this context in the place of the one of its name; the first one becomes the current one."""
        return Contexts(self.current or context.name, {**self.contexts, context.name: context})

    def without(self, name: str) -> Contexts:
        """Without that context."""
        left = {other: context for other, context in self.contexts.items() if other != name}
        return Contexts("" if self.current == name else self.current, left)

    def serving(self, package: str) -> list[FleetContext]:
        """The contexts whose servers shall serve a package."""
        return [context for context in self.contexts.values() if context.placed.get(package)]

    def wanted_on(self, server: FleetServer) -> set[str]:
        """The packages that a server shall serve, by whichever context."""
        return {
            package
            for context in self.contexts.values()
            for package in context.placed
            if any(there.name == server.name for there in context.on(package))
        }


def fleets_with(state: Path, package: str) -> list[str]:
    """The contexts that serve a package, as its users."""
    return [f"the servers of {context.name}" for context in Contexts.of(state).serving(package)]


def extended(
    context: FleetContext | None,
    name: str,
    servers: Iterable[FleetServer],
    access: ServerAccess,
    repository: str | None,
) -> FleetContext:
    """A new context, or one with more servers; one that is there already is as it is told now. Raises UsageError."""
    if not is_name(name):
        raise UsageError(f"{name!r} is not a name for a context", do=NAME_RULE)
    before = context or FleetContext(name)
    known = {server.name: server for server in before.servers}
    known.update({server.name: server for server in servers})
    if repository is not None and repository != before.repository and before.placed:
        raise UsageError(f"{name} serves packages from another repository", do="unload them first")
    given = {key: value for key, value in vars(access).items() if value is not None}
    return replace(
        before,
        servers=tuple(known.values()),
        access=replace(before.access, **given),
        repository=before.repository if repository is None else repository,
    )


def _is_meant(server: FleetServer, name: str) -> bool:
    key, equals, value = name.partition("=")
    return name in (server.name, server.url) or bool(equals and server.labels.get(key) == value)
