"""An agent reads as it likes, and changes only what it has seen the plan of: over the protocol, with its own client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.support.models import scaled
from tests.support.packages import single
from tests.support.workspaces import opened, served
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.set import change
from tritonpm.operations.show import show

Ask = Callable[..., Awaitable[Any]]


def agent(root: Path, does: Callable[[Ask, ClientSession], Awaitable[None]], *options: str) -> None:
    """What an agent does with `tritonpm mcp`; asking a tool gives its answer, or its error as text."""

    async def run() -> None:
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "tritonpm.cli.main", "-w", str(root), "mcp", *options]
        )
        async with stdio_client(command) as streams, ClientSession(*streams) as session:
            await session.initialize()

            async def ask(tool: str, **arguments: Any) -> Any:
                answer = await session.call_tool(tool, arguments)
                text = answer.content[0].text  # type: ignore[union-attr]
                return text if answer.is_error else json.loads(text)

            await does(ask, session)

    asyncio.run(run())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    init(tmp_path / "workspace")
    import_package(opened(tmp_path / "workspace"), single(tmp_path / "in", scaled(2.0), "bolts"))
    return tmp_path / "workspace"


def test_reading_is_free_and_what_is_wrong_is_a_sentence(root: Path) -> None:
    async def does(ask: Ask, session: ClientSession) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert {tool.annotations.read_only_hint for tool in tools.values() if tool.annotations} == {True}
        assert [package["name"] for package in await ask("list_packages")] == ["bolts"]
        assert (await ask("show_package", name="bolts"))["settings"]["mode"] == "shared"
        assert "there is no package 'bolt'; did you mean 'bolts'?" in await ask("show_package", name="bolt")
        assert "Traceback" not in await ask("server_status")
        assert "apply_plan" not in tools

    agent(root, does, "--read-only")


def test_a_change_needs_the_digest_of_a_plan_that_still_holds(root: Path) -> None:
    async def does(ask: Ask, session: ClientSession) -> None:
        changes = {"mode": "performance", "instances": 2}
        assert "no plan with this digest" in await ask("apply_plan", digest="0" * 64)
        plan = await ask("plan_settings", package="bolts", changes=changes)
        assert [(action["what"], action["package"]) for action in plan["actions"]] == [("set", "bolts")]
        assert "instances: None → 2" in plan["actions"][0]["sentence"]
        assert show(opened(root), "bolts").settings.mode == "shared"  # nothing was done yet
        change(opened(root), "bolts", {"max_batch_size": 4})
        assert "no longer what would be done" in await ask("apply_plan", digest=plan["digest"])
        plan = await ask("plan_settings", package="bolts", changes=changes)
        assert await ask("apply_plan", digest=plan["digest"]) == plan["actions"]
        assert "no plan with this digest" in await ask("apply_plan", digest=plan["digest"])
        assert show(opened(root), "bolts").settings.instances == 2
        assert "not 'sideways'" in await ask("plan_settings", package="bolts", changes={"mode": "sideways"})

    agent(root, does)


@pytest.mark.long
@pytest.mark.server
def test_a_declaration_is_planned_and_loaded_then_rolled_back(tmp_path: Path) -> None:
    with served(tmp_path / "workspace") as context:
        root = context.workspace.root
        single(root / "nuts", scaled(3.0), "nuts")
        (root / "tritonpm.yaml").write_text("packages:\n  nuts: {source: nuts}\n")

        async def does(ask: Ask, session: ClientSession) -> None:
            plan = await ask("plan_declaration")
            assert [action["what"] for action in plan["actions"]] == ["import", "load"]
            assert await ask("apply_plan", digest=plan["digest"]) == plan["actions"]
            plan = await ask("plan_settings", package="nuts", changes={"max_batch_size": 2})
            await ask("apply_plan", digest=plan["digest"])
            plan = await ask("plan_rollback", package="nuts")
            assert plan["actions"][0]["sentence"] == "to revision 1"
            await ask("apply_plan", digest=plan["digest"])
            assert len(await ask("revision_history", name="nuts")) == 2
            plan = await ask("plan_unload", package="nuts")
            await ask("apply_plan", digest=plan["digest"])
            assert (await ask("list_packages"))[0]["status"] != "loaded"

        agent(root, does)
