"""What `tritonpm mcp` offers to agents: reading is free, a change needs the digest of a plan that was shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tritonpm import __version__
from tritonpm.core.errors import NotFoundError, TritonpmError
from tritonpm.core.text import harmless

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from tritonpm.cli.app import App
    from tritonpm.operations.proposals import DeclaredChange, PackageChange

T = TypeVar("T", bound=Callable[..., Any])
_INSTRUCTIONS = (
    "tritonpm manages the model packages of one NVIDIA Triton Inference Server. Read as you like. To change something, "
    "ask for a plan, show its actions to the person you work for, and hand its digest to apply_plan once they agree."
)
_MOST_LINES = 1000  # of a log at once


def agents_server(app: App, *, read_only: bool) -> MCPServer[Any]:
    """The server with its tools, on the workspace that `app` names. Raises RequirementError without the extra."""
    from tritonpm.core.extras import needed

    with needed("an MCP server", "mcp"):
        from mcp.server.mcpserver import MCPServer

    server: MCPServer[Any] = MCPServer("tritonpm", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
    for tool in _Reading(app).tools:
        _add(server, tool, reads=True)
    for tool in () if read_only else _Changing(app).tools:
        _add(server, tool, reads=tool.__name__ != "apply_plan")
    return server


def _add(server: MCPServer[Any], tool: Callable[..., Any], *, reads: bool) -> None:
    from mcp.types import ToolAnnotations

    hints = ToolAnnotations(read_only_hint=reads, destructive_hint=not reads, open_world_hint=False)
    server.add_tool(_told(tool), description=tool.__doc__, annotations=hints, structured_output=False)


def _told(tool: T) -> T:
    """The tool, with its answer as JSON and what a user can cause as one sentence."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    def call(*arguments: Any, **named: Any) -> str:
        try:
            answer = msgspec.json.encode(msgspec.to_builtins(tool(*arguments, **named)))
        except TritonpmError as error:
            raise ToolError(harmless(str(error))) from None
        return harmless(msgspec.json.format(answer, indent=2).decode(), lines=True)

    call.__annotations__ = {**tool.__annotations__, "return": str}
    return call  # type: ignore[return-value]


@dataclass(frozen=True)
class _Reading:
    """The tools that read."""

    app: App

    @property
    def tools(self) -> tuple[Callable[..., Any], ...]:
        """In the order in which agents see them."""
        return (
            self.list_packages, self.show_package, self.server_status, self.why_not, self.revision_history,
            self.optimisation_jobs, self.server_log,
        )  # fmt: skip

    def list_packages(self) -> object:
        """Every package: type, stages, mode, device, batch, precision, status, who uses it, and drift."""
        from tritonpm.operations.list import packages

        with self.app.open() as context:
            return packages(context.catalogue)

    def show_package(self, name: str) -> object:
        """All about a package: stages, tensors, what they mean, settings, proofs, requirements."""
        from tritonpm.operations.show import show

        with self.app.open() as context:
            return show(context, name)

    def server_status(self) -> object:
        """The server: whether it is live and ready, its models with requests, failures and times, and advice."""
        from tritonpm.operations.status import status

        with self.app.open() as context:
            return status(context)

    def why_not(self, name: str) -> object:
        """Why a package does not serve, or does not serve what is wanted of it."""
        from tritonpm.operations.why import why

        with self.app.open() as context:
            return why(context, name)

    def revision_history(self, name: str) -> object:
        """The revisions that a package was published in, and in which order they served."""
        from tritonpm.operations.history import history

        with self.app.open() as context:
            return history(context, name)

    def optimisation_jobs(self) -> object:
        """What was and is being optimised, how far it is, and what came of it."""
        from tritonpm.operations.optimize.jobs import list_jobs

        with self.app.open() as context:
            return list_jobs(context)

    def server_log(self, lines: int = 50) -> object:
        """The newest lines of the server's log, at most 1000."""
        from tritonpm.operations.logs import logs

        with self.app.open() as context:
            return list(islice(logs(context, max(1, min(lines, _MOST_LINES)), follow=False), _MOST_LINES))


@dataclass(frozen=True)
class _Changing:
    """The tools that plan, and the one that carries out what was planned."""

    app: App
    shown: dict[str, DeclaredChange | PackageChange] = field(default_factory=dict)

    @property
    def tools(self) -> tuple[Callable[..., Any], ...]:
        """In the order in which agents see them."""
        return (
            self.plan_declaration, self.plan_settings, self.plan_load, self.plan_unload, self.plan_rollback,
            self.apply_plan,
        )  # fmt: skip

    def plan_declaration(self, file: str = "", prune: bool = False, update: bool = False) -> object:
        """What making the workspace as a declaration says would do; `file` is its tritonpm.yaml where none is named.

        `prune` removes what is not declared, `update` takes sources that have changed.
        """
        from tritonpm.operations.declaration import FILE
        from tritonpm.operations.proposals import DeclaredChange

        with self.app.open() as context:
            path = Path(file) if file else context.workspace.root / FILE
        return self._plan(DeclaredChange(path, prune, update))

    def plan_settings(self, package: str, changes: Mapping[str, Any], stage: str | None = None) -> object:
        """What other settings would change, live: of a package, or of a stage; show_package has their names."""
        from tritonpm.operations.proposals import PackageChange

        return self._plan(PackageChange("set", package, changes, stage))

    def plan_load(self, package: str) -> object:
        """What loading a package would serve."""
        from tritonpm.operations.proposals import PackageChange

        return self._plan(PackageChange("load", package))

    def plan_unload(self, package: str) -> object:
        """What unloading a package would do."""
        from tritonpm.operations.proposals import PackageChange

        return self._plan(PackageChange("unload", package))

    def plan_rollback(self, package: str, revision: int | None = None) -> object:
        """Where a roll-back would go: what served before, or a revision that is named."""
        from tritonpm.operations.proposals import PackageChange

        return self._plan(PackageChange("rollback", package, revision=revision))

    def apply_plan(self, digest: str) -> object:
        """Do what a plan showed. Needs its digest, and is refused where something has changed since it was shown."""
        from tritonpm.operations.proposals import carry_out

        if (asked := self.shown.pop(digest, None)) is None:
            raise NotFoundError(
                "no plan with this digest was shown, or it was tried already", do="ask for a plan first"
            )
        with self.app.open() as context:
            return carry_out(context, asked, digest)

    def _plan(self, asked: DeclaredChange | PackageChange) -> object:
        from tritonpm.operations.proposals import propose

        with self.app.open() as context:
            proposal = propose(context, asked)
        self.shown[proposal.digest] = asked
        return proposal
