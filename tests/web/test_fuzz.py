"""What the OpenAPI document allows, and what it does not: nothing that a client sends is a bug of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.models import scaled
from tests.support.packages import cascade, single
from tests.support.page import API, Site, Start
from tests.support.workspaces import opened
from tritonpm.operations.import_package import import_package
from tritonpm.operations.verify import verify
from tritonpm.web.security import PageAccess

if TYPE_CHECKING:  # seconds, which those who test something else need not wait for
    from schemathesis.schemas import APIOperation

EXAMPLES = 8  # of each operation, and of each way to write it
# One never ends, one starts a Triton: both are tested for themselves.
LEFT_OUT = ("/events", "/server/start")


@pytest.fixture(scope="module")
def known(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A page that lets a client ask as often as it likes, with packages that are asked for by name."""
    folder = tmp_path_factory.mktemp("in")
    site = start(PageAccess(changes=1e6, burst=1e6))
    context = opened(site.root)
    import_package(context, single(folder / "one", scaled(2.0), "one"))
    import_package(context, cascade(folder / "two", scaled(2.0, result="m"), scaled(3.0, source="m"), "two"))
    return site


def operations(site: Site) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    import schemathesis

    schema = schemathesis.openapi.from_dict(site.http.get(f"{API}/openapi.json").json())
    for parsed in schema.get_all_operations():
        operation = parsed.ok()
        if not operation.path.endswith(LEFT_OUT):
            yield operation


@pytest.mark.parametrize("mode", [pytest.param("positive", marks=pytest.mark.long), "negative"])
def test_nothing_that_is_sent_is_a_bug(known: Site, mode: str) -> None:
    asked = 0
    for operation in operations(known):
        if mode == "positive" or restricts(operation):
            asked += sent(known, operation, mode)
    assert asked > 100


def restricts(operation: APIOperation[Any, Any, Any, Any]) -> bool:
    """Whether something that is sent can be wrong: more is taken than any text."""
    schemas = [parameter["schema"] for parameter in operation.definition.raw.get("parameters", ())]
    return "requestBody" in operation.definition.raw or any(
        set(schema) - {"title"} and schema.get("type") != "string" for schema in schemas
    )


def sent(site: Site, operation: APIOperation[Any, Any, Any, Any], mode: str) -> int:
    """Send some requests of one operation; how many."""
    from schemathesis import GenerationMode

    answers: list[int] = []

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy(generation_mode=GenerationMode(mode)), st.sampled_from(["one", "two", None]))
    def ask(case: Any, name: str | None) -> None:
        if name and "name" in (case.path_parameters or {}):
            case.path_parameters["name"] = name
        response = case.call(base_url=site.url.rstrip("/"), timeout=30)
        answers.append(response.status_code)
        assert response.status_code != 500, (operation.label, case, response.text)

    ask()
    return len(answers)


def test_what_was_sent_left_the_workspace_whole(known: Site) -> None:
    context = opened(known.root)
    assert verify(context) == []
    for operation in known.get("/operations"):
        ended = known.ended(operation)
        assert (ended["problem"] or {}).get("status") != 500, ended


def test_every_operation_is_asked(known: Site) -> None:
    labels = {operation.label for operation in operations(known)}
    paths = known.get("/openapi.json")["paths"]
    every = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert {label for label in every if not label.endswith(LEFT_OUT)} == labels
