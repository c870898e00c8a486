"""Who may do what by the REST API, and that it is recorded: each role asks for everything."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from tests.support.models import scaled
from tests.support.page import API, Site, Start, zipped
from tests.support.workspaces import opened
from tritonpm.core.roles import Role
from tritonpm.operations.init import init
from tritonpm.operations.token import add, remove
from tritonpm.web import pages
from tritonpm.web.app import create
from tritonpm.web.roles import NEEDS
from tritonpm.web.security import PageAccess

READING = {"packages", "show", "jobs", "status", "audit", "me"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create(init(tmp_path_factory.mktemp("w"))[0])


@pytest.fixture(scope="module")
def roles(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Role, Site]]:
    """A page with a package, as somebody of each role sees it."""
    site = start()
    site.done(site.upload(zipped(tmp_path_factory.mktemp("in") / "bolts", scaled(2.0), "bolts")))
    context = opened(site.root)
    clients = {role: httpx.Client(
        base_url=site.url, trust_env=False, timeout=30,
        headers={"authorization": f"Bearer {add(context, role.value, role)}"},
    ) for role in Role}  # fmt: skip
    yield {role: Site(site.root, site.url, client) for role, client in clients.items()}
    for client in clients.values():
        client.close()


def of_the_api(app: FastAPI) -> dict[str, tuple[str, str]]:
    """Each operation of the API: its method and path."""
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_of_the_api_says_which_role_it_needs(app: FastAPI) -> None:
    assert set(of_the_api(app)) == set(NEEDS)
    for operation, (method, _) in of_the_api(app).items():
        if method in ("PUT", "PATCH", "DELETE") or (method == "POST" and operation != "check"):
            assert NEEDS[operation] is not Role.VIEW, operation
    for methods in app.openapi()["paths"].values():
        assert {operation["x-role"] for operation in methods.values()} <= {role.value for role in Role}


def test_the_pages_change_nothing() -> None:
    """They are asked for by GET, but for the form that judges what it holds: whoever is let in may see them."""
    modules = [import_module(f"{pages.__name__}.{module.name}") for module in iter_modules(pages.__path__)]
    routes = [route for module in modules for route in getattr(module, "router", APIRouter()).routes]
    assert len(routes) > 20
    changing = [route.path for route in routes if isinstance(route, APIRoute) and route.methods != {"GET"}]
    assert changing == ["/packages/{name}/configure"]


def test_who_may_not_hand_in_sees_nothing_of_what_waits(roles: dict[Role, Site]) -> None:
    statuses = {role: site.http.get("/incoming/of-somebody").status_code for role, site in roles.items()}
    assert statuses == {Role.VIEW: 403, Role.OPERATE: 403, Role.ADMINISTER: 404}


@pytest.mark.parametrize("role", Role)
def test_each_role_does_what_it_covers_and_is_refused_the_rest(
    roles: dict[Role, Site], app: FastAPI, role: Role
) -> None:
    site = roles[role]
    for operation, (method, path) in of_the_api(app).items():
        if operation in ("events", "start"):
            continue  # one never ends, one starts a Triton
        if role.covers(NEEDS[operation]) and operation not in READING:
            continue  # what each comes to is tested elsewhere
        path = path.format(name="bolts", number=1, project="p")
        answer = site.http.request(method, path, params={"filename": "x.zip"}, content=b"")
        if role.covers(NEEDS[operation]):
            assert answer.status_code == 200, operation
            continue
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (403, "urn:tritonpm:role"), operation
        assert f"the role {role.value} does not allow this; it needs {NEEDS[operation].value}" == problem["detail"]


def test_an_operation_that_the_table_lacks_is_for_nobody(
    roles: dict[Role, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(NEEDS, "projects")  # type: ignore[arg-type]
    answer = roles[Role.ADMINISTER].http.get(f"{API}/projects")
    assert (answer.status_code, answer.json()["detail"]) == (403, "nobody may do this")


def test_a_refusal_is_told_in_the_language_of_who_asks(roles: dict[Role, Site]) -> None:
    refused = roles[Role.VIEW].http.delete(f"{API}/packages/bolts", headers={"accept-language": "zh-CN"}).json()
    assert refused["detail"] == "角色“查看”不允许此操作；需要角色“管理”"
    assert refused["title"] == "您的角色不允许此操作"


def test_it_is_recorded_who_did_what_and_who_was_refused(roles: dict[Role, Site]) -> None:
    operator, viewer = roles[Role.OPERATE], roles[Role.VIEW]
    assert operator.http.patch(f"{API}/packages/bolts/settings", json={"changes": {"priority": 3}}).is_success
    operator.refused(operator.post("/packages/bolts/load"))
    assert viewer.http.post(f"{API}/packages/bolts/load").status_code == 403
    refused, failed, done = viewer.get("/audit", params={"package": "bolts", "size": 3})
    assert (done["who"], done["action"], done["detail"], done["outcome"]) == ("operate", "set", "priority=3", "done")
    assert (failed["role"], failed["action"], failed["outcome"]) == ("operate", "load", "failed")
    assert failed["reason"] == "no server is running for this workspace"
    assert (refused["who"], refused["way"], refused["origin"]) == ("view", "token", "127.0.0.1")
    assert (refused["action"].split()[0], refused["outcome"]) == ("POST", "refused")
    assert refused["action"].endswith("/packages/{name}/load")
    newest = roles[Role.ADMINISTER].get("/operations")[0]
    assert (newest["kind"], newest["by"]) == ("load", "operate")


def test_the_record_is_read_by_pages(roles: dict[Role, Site]) -> None:
    answer = roles[Role.VIEW].http.get(f"{API}/audit", params={"size": 1, "who": "operate"})
    assert int(answer.headers["X-Total-Count"]) > 1
    assert answer.headers["Link"] == f'<{API}/audit?page=2&size=1&who=operate>; rel="next"'
    assert roles[Role.VIEW].get("/audit", params={"who": "nobody"}) == []


def test_who_asks_is_told_what_they_may(roles: dict[Role, Site]) -> None:
    for role, site in roles.items():
        told = site.get("/me")
        assert (told["name"], told["role"], told["way"]) == (role.value, role.value, "token")
        assert set(told["operations"]) == {name for name, needed in NEEDS.items() if role.covers(needed)}


def test_no_token_is_told_or_written_anywhere(roles: dict[Role, Site]) -> None:
    for site in roles.values():
        token = site.http.headers["authorization"].removeprefix("Bearer ").encode()
        files = [path for path in site.root.rglob("*") if path.is_file()]
        assert not [path for path in files if token in path.read_bytes()]


def test_who_is_removed_is_out_at_once(start: Start) -> None:
    site = start()
    context = opened(site.root)
    assert site.get("/me")["way"] == "open"
    token = add(context, "anna", Role.VIEW)
    assert site.http.get(f"{API}/me").status_code == 401
    given = {"authorization": f"Bearer {token}"}
    assert site.get("/me", headers=given)["name"] == "anna"
    context.workspace.tokens.chmod(0o666)
    assert site.http.get(f"{API}/me", headers=given).status_code == 401
    assert site.http.get(f"{API}/me").status_code == 401
    context.workspace.tokens.chmod(0o600)
    assert site.get("/me", headers=given)["role"] == "view"
    remove(context, "anna")
    assert site.get("/me")["way"] == "open"


def test_who_is_refused_again_and_again_is_kept_waiting(app: FastAPI) -> None:
    """Each refusal is written to the disk, of what only reads as well."""
    context = opened(app.state.site.root)
    site = create(context.workspace.root, access=PageAccess(changes=0.001, burst=5))
    tokens = {role: {"authorization": f"Bearer {add(context, role.value, role)}"} for role in (Role.VIEW, Role.OPERATE)}
    with TestClient(site, base_url="http://localhost", client=("127.0.0.1", 1)) as client:
        answers = [client.get(f"{API}/incoming/packages/1", headers=tokens[Role.VIEW]) for _ in range(7)]
        assert {answer.status_code for answer in answers} == {403, 429}
        assert answers[-1].headers["Retry-After"]
        assert client.get(f"{API}/incoming/packages/1", headers=tokens[Role.OPERATE]).status_code == 403
        assert client.get(f"{API}/me", headers=tokens[Role.VIEW]).is_success
