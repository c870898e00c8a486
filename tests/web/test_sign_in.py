"""Signing in with a real OpenID provider, which checks PKCE: whose account it is, what it may, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, expect

from tests.support.browser import found_by_axe, too_wide
from tests.support.browser import opened as shown
from tests.support.openid import CLIENT, SECRET, Provider, provided
from tests.support.page import API, Site, Start
from tests.support.workspaces import opened
from tritonpm.core.roles import Role
from tritonpm.operations.token import add
from tritonpm.web.oidc_settings import OidcSettings, read_oidc
from tritonpm.web.security import PageAccess, access
from tritonpm.web.sessions import SESSION

ACCOUNTS: dict[str, dict[str, Any]] = {
    "anna": {"preferred_username": "anna", "groups": ["staff", "line-engineers"]},
    "otto": {"email": "otto@plant.example", "groups": ["mlops", "line-engineers"]},
    "eve": {"preferred_username": "eve", "groups": ["visitors"]},
}
BROWSER = {"accept": "text/html"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with provided() as provider:
        provider.accounts |= ACCOUNTS
        yield provider


def settings(provider: Provider, folder: Path, more: str = "client_secret_file: secret") -> OidcSettings:
    """What a file says of that provider."""
    (folder / "secret").write_text(f"{SECRET}\n")
    roles = "{operate: [line-engineers], administer: [mlops]}"
    (folder / "oidc.yaml").write_text(f"issuer: {provider.issuer}/\nclient_id: {CLIENT}\nroles: {roles}\n{more}\n")
    return read_oidc(folder / "oidc.yaml")


@pytest.fixture(scope="module")
def site(start: Start, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return start(access("127.0.0.1", oidc=settings(provider, tmp_path_factory.mktemp("oidc"))))


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    """A browser without scripts, which nobody has signed in with."""
    with httpx.Client(base_url=site.url, trust_env=False, timeout=30) as client:
        yield client


def back(client: httpx.Client, account: str, following: str = "/packages") -> str:
    """Where the provider sends who has signed in as that."""
    away = client.get("/login/start", params={"next": following})
    assert away.status_code == 302, away.text
    return str(httpx.post(away.headers["location"], data={"account": account}, trust_env=False).headers["location"])


def test_who_signs_in_has_the_role_of_their_groups(site: Site, client: httpx.Client, provider: Provider) -> None:
    asked = client.get("/packages?q=bolts", headers=BROWSER)
    assert (asked.status_code, asked.headers["location"]) == (303, "/login/?next=/packages%3Fq%3Dbolts")
    offered = client.get(asked.headers["location"])
    assert 'href="/login/start?next=/packages%3Fq%3Dbolts"' in offered.text
    home = client.get(back(client, "anna", "/packages?q=bolts"))
    assert (home.status_code, home.headers["location"]) == (303, "/packages?q=bolts")
    me = client.get(f"{API}/me").json()
    assert (me["name"], me["role"], me["way"]) == ("anna", "operate", "oidc")
    assert client.get("/packages").status_code == 200
    assert client.post(f"{API}/packages", params={"filename": "x.zip"}).status_code == 403
    signed_in = client.get(f"{API}/audit", params={"who": "anna"}).json()[-1]
    assert (signed_in["action"], signed_in["detail"], signed_in["way"]) == ("sign in", "sub=id-anna", "oidc")


def test_the_highest_role_counts_and_a_name_is_found(client: httpx.Client) -> None:
    client.get(back(client, "otto"))
    me = client.get(f"{API}/me").json()
    assert (me["name"], me["role"]) == ("otto@plant.example", "administer")


def test_an_account_without_a_role_is_not_let_in(client: httpx.Client) -> None:
    answer = client.get(back(client, "eve"))
    assert answer.status_code == 403
    assert "This account has no role here" in answer.text
    assert SESSION not in client.cookies
    assert client.get(f"{API}/me").status_code == 401


@pytest.mark.parametrize(
    "lie", [{"nonce": "another"}, {"nonce": None}, {"iss": "https://evil.example"}, {"aud": "another client"},
            {"aud": ["a", "b"], "azp": CLIENT}, {"exp": 1_000_000_000}, {"azp": "another client"}, {"at_hash": "x"}],
    ids=str,
)  # fmt: skip
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    client: httpx.Client, provider: Provider, lie: dict[str, Any]
) -> None:
    provider.lies = lie
    try:
        answer = client.get(back(client, "otto"))
    finally:
        provider.lies = {}
    assert (answer.status_code, SESSION in client.cookies) == (403, False)
    assert "Signing in did not work" in answer.text


def test_an_id_token_that_somebody_else_signed_is_refused(client: httpx.Client, provider: Provider) -> None:
    provider.another_key = True
    try:
        assert client.get(back(client, "otto")).status_code == 403
    finally:
        provider.another_key = False
    assert client.get(f"{API}/me").status_code == 401


def test_a_way_back_works_once_and_in_the_browser_that_went(site: Site, client: httpx.Client) -> None:
    """Otherwise somebody would be signed in to another's account, by a link."""
    link = back(client, "otto")
    with httpx.Client(base_url=site.url, trust_env=False, timeout=30) as another:
        assert another.get(link).status_code == 403
    assert client.get(link).status_code == 303
    client.cookies.delete(SESSION)
    assert client.get(link).status_code == 403
    assert client.get("/login/callback?code=x&state=y").status_code == 403
    assert client.get("/login/callback?error=access_denied").status_code == 403


def test_it_goes_by_pkce(client: httpx.Client, provider: Provider) -> None:
    away = httpx.URL(client.get("/login/start").headers["location"])
    assert away.params["code_challenge_method"] == "S256"
    assert len(away.params["code_challenge"]) == 43
    assert away.params["redirect_uri"].endswith("/login/callback")
    with_another = away.copy_set_param("code_challenge", "x" * 43)
    answer = httpx.post(with_another, data={"account": "otto"}, trust_env=False)
    assert client.get(answer.headers["location"]).status_code == 403


@pytest.mark.parametrize(
    "following", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/\n/x", ""]
)
def test_nobody_is_led_elsewhere(client: httpx.Client, following: str) -> None:
    assert client.get(back(client, "anna", following)).headers["location"] == "/"


def test_the_session_is_a_cookie_for_no_script_and_no_other_site(client: httpx.Client) -> None:
    cookie = client.get(back(client, "anna")).headers["set-cookie"].partition(",")[0].lower()
    assert {"httponly", "samesite=lax", "path=/"} <= set(cookie.split("; "))
    foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    assert client.post(f"{API}/packages/x/load", headers=foreign).json()["title"] == "Foreign origin"
    assert client.post("/login/end", headers=foreign).status_code == 403
    held = client.cookies[SESSION]
    assert client.post("/login/end").headers["location"] == "/login/"
    assert client.get(f"{API}/me", headers={"cookie": f"{SESSION}={held}"}).status_code == 401


def test_a_token_opens_beside_it(site: Site, client: httpx.Client) -> None:
    token = add(opened(site.root), "robot", Role.VIEW)
    assert client.get(f"{API}/me", headers={"authorization": f"Bearer {token}"}).json()["name"] == "robot"
    client.get(back(client, "otto"))
    assert client.get(f"{API}/me", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_a_script_of_the_page_loads_it_anew_where_the_session_is_over(client: httpx.Client) -> None:
    assert client.get("/server", headers={"hx-request": "true"}).headers["hx-refresh"] == "true"
    assert client.get(f"{API}/me", headers=BROWSER | {"accept": "*/*"}).headers["www-authenticate"] == "Bearer"
    assert client.get("/static/style.css").status_code == 200


def test_a_client_without_a_secret_and_an_address_of_its_own(start: Start, provider: Provider, tmp_path: Path) -> None:
    provider.public = True
    try:
        site = start(access("127.0.0.1", oidc=settings(provider, tmp_path, "claim: realm.roles")))
        provider.accounts["anna"] = {**ACCOUNTS["anna"], "realm": {"roles": ["mlops"]}}
        site.http.get(back(site.http, "anna"))
        assert site.get("/me")["role"] == "administer"
        elsewhere = start(access("127.0.0.1", oidc=settings(provider, tmp_path, "url: https://plant.example/ui/")))
        answer = elsewhere.http.get("/login/start")
        asked = httpx.URL(answer.headers["location"]).params["redirect_uri"]
        assert asked == "https://plant.example/ui/login/callback"
        assert "; secure" in answer.headers["set-cookie"].lower()
    finally:
        provider.public, provider.accounts["anna"] = False, ACCOUNTS["anna"]


def test_a_provider_that_is_away_is_said(start: Start, provider: Provider, tmp_path: Path) -> None:
    away = replace(settings(provider, tmp_path), issuer="http://127.0.0.1:1")
    site = start(access("127.0.0.1", oidc=away))
    answer = site.http.get("/login/start", headers={"accept-language": "zh-CN"})
    assert answer.status_code == 502
    assert "账户提供方没有响应" in answer.text


def test_who_asks_the_provider_too_often_waits(start: Start, provider: Provider, tmp_path: Path) -> None:
    site = start(PageAccess(changes=0.001, burst=2, closed=True, oidc=settings(provider, tmp_path)))
    assert [site.http.get("/login/start").status_code for _ in range(3)] == [302, 302, 429]


@pytest.mark.parametrize("width", [390, 1440])
def test_a_person_signs_in_and_out(site: Site, provider: Provider, browser: Browser, width: int) -> None:
    with shown(browser, site.url, expected="40[14]", viewport={"width": width, "height": 800}) as page:
        page.goto("/activity")
        expect(page.get_by_role("link", name="Sign in with 127.0.0.1")).to_be_visible()
        assert (found_by_axe(page), page.evaluate("document.documentElement.scrollWidth") <= width) == ([], True)
        page.get_by_role("link", name="Sign in with 127.0.0.1").click()
        page.get_by_label("Account").fill("anna")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="Activity")).to_be_visible()
        expect(page.locator(".who")).to_have_text("anna operate")
        expect(page.locator("#state tbody tr").first).to_contain_text("Sign in")
        assert (found_by_axe(page), too_wide(page)) == ([], [])
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in with 127.0.0.1")).to_be_visible()
        page.goto("/packages")
        expect(page.get_by_role("link", name="Sign in with 127.0.0.1")).to_be_visible()
