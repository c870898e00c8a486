"""What the file of `ui --oidc` may say, and which role a claim gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import run
from tritonpm.core.errors import UsageError
from tritonpm.core.roles import Role
from tritonpm.web.oidc_settings import OidcSettings, read_oidc

GOOD = "issuer: https://login.example/realm/\nclient_id: c\nroles: {view: ['*'], administer: [mlops]}\n"


def test_a_file_is_read_with_its_secret(tmp_path: Path) -> None:
    (tmp_path / "oidc.yaml").write_text(f"{GOOD}client_secret_file: secret\n")
    (tmp_path / "secret").write_text("s3cret\n")
    settings = read_oidc(tmp_path / "oidc.yaml")
    assert (settings.issuer, settings.secret, settings.hours) == ("https://login.example/realm", "s3cret", 8)


@pytest.mark.parametrize(("text", "said"), [
    ("", "does not say"), ("- 1", "does not say"), ("{", "does not say"), (f"{GOOD}colour: red", "unknown field `colour`"),
    (GOOD.replace("https", "http"), "not https"), (GOOD.replace("mlops", "1"), "does not say"),
    (GOOD.replace("view", "root"), "Invalid enum value 'root'"), (f"{GOOD}scopes: [email]", "lacks the scope openid"),
    (f"{GOOD}hours: 0", "hours"), (f"{GOOD}url: 'javascript:x'", "neither http nor https"),
    (f"{GOOD}client_secret_file: nowhere", "cannot be read"), (f"{GOOD}client_secret_file: empty", "is empty"),
    (GOOD.replace("login.example", ""), "not an address"),
    ("issuer: https://login.example\nclient_id: c\nroles: {view: []}\n", "gives nobody a role"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "oidc.yaml").write_text(text)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(UsageError, match=said):
        read_oidc(tmp_path / "oidc.yaml")


def test_the_command_says_it_in_a_sentence(tmp_path: Path) -> None:
    run("init", tmp_path)
    assert "cannot be read" in run("ui", "-w", tmp_path, "--oidc", tmp_path / "none", code=2)


@pytest.mark.parametrize(("claims", "role"), [
    ({"groups": ["mlops"]}, Role.ADMINISTER), ({"groups": "mlops"}, Role.ADMINISTER), ({"groups": ["x", "line"]}, Role.OPERATE),
    ({"groups": ["line", "mlops"]}, Role.ADMINISTER), ({"groups": []}, None), ({}, None), ({"groups": {"mlops": 1}}, None),
    ({"groups": ["MLOPS"]}, None), ({"groups": None}, None), ({"groups": ["*"]}, None),
])  # fmt: skip
def test_the_highest_role_of_a_claim_counts(claims: dict[str, object], role: Role | None) -> None:
    settings = OidcSettings("https://i", "c", {Role.OPERATE: ("line",), Role.ADMINISTER: ("mlops",)})
    assert settings.role_of(claims) is role


def test_a_star_is_every_account_and_a_dot_leads_into_an_object() -> None:
    roles = {Role.VIEW: ("*",), Role.OPERATE: ("line",)}
    settings = OidcSettings("https://i", "c", roles, claim="realm_access.roles")
    assert settings.role_of({"sub": "x"}) is Role.VIEW
    assert settings.role_of({"realm_access": {"roles": ["line"]}}) is Role.OPERATE
    assert settings.role_of({"realm_access.roles": ["line"]}) is Role.OPERATE
    assert settings.role_of({"realm_access": "line"}) is Role.VIEW
    assert [settings.name_of(claims) for claims in ({"email": "a@b", "sub": "1"}, {"sub": "1"})] == ["a@b", "1"]
