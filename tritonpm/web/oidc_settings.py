"""How people sign in: the file that `tritonpm ui --oidc` names.

issuer: https://login.example/realms/plant
client_id: tritonpm
client_secret_file: oidc.secret      # beside this file; none for a public client, which PKCE alone protects
roles:                               # what the claim holds, by the role that it gives; "*" is every account
  administer: [mlops]
  operate: [line-engineers]
  view: ["*"]
claim: realm_access.roles            # of the ID token; a dot leads into an object
url: https://plant.example/          # where browsers reach the page, where that is not how they ask for it
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tritonpm.core.addresses import is_loopback
from tritonpm.core.errors import ManifestError, UsageError
from tritonpm.core.roles import Role

_ANY = "*"


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it is written; `hours` is how long a sign-in lasts, `names` the claims that may say who it is."""

    issuer: str
    client_id: str
    roles: dict[Role, tuple[str, ...]]
    client_secret_file: str = ""
    claim: str = "groups"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    names: tuple[str, ...] = ("preferred_username", "email", "sub")
    url: str = ""
    hours: float = 8.0
    secret: str = ""  # read from its file

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role that the claims of an account give; None: it has none."""
        held = _held(claims, self.claim)
        given = [role for role, values in self.roles.items() if _ANY in values or held & set(values)]
        return max(given, key=list(Role).index, default=None)

    def name_of(self, claims: Mapping[str, Any]) -> str:
        """Who an account is."""
        return next((str(claims[name]) for name in self.names if claims.get(name)), str(claims.get("sub", "")))


def read_oidc(file: Path) -> OidcSettings:
    """What a file says, with the client's secret. Raises UsageError where it cannot be read or makes no sense."""
    from tritonpm.package.document import load
    from tritonpm.package.limits import Limits

    limits, do = Limits(), "correct it (docs/ui.md shows one)"
    try:
        with file.open("rb") as stream:
            document = load(stream.read(limits.manifest + 1), str(file), limits)
        settings = msgspec.convert(document, OidcSettings)
        secret = settings.client_secret_file and (file.absolute().parent / settings.client_secret_file).read_text()
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise UsageError(what, where=str(error.filename or file), do="check --oidc") from None
    except (msgspec.ValidationError, ManifestError, UnicodeDecodeError) as error:
        raise UsageError(f"does not say how to sign in ({error})", where=str(file), do=do) from None
    if settings.client_secret_file and not secret.strip():
        raise UsageError("is empty", where=settings.client_secret_file, do="put the client's secret there")
    if why := _wrong(settings):
        raise UsageError(why, where=str(file), do=do)
    return msgspec.structs.replace(settings, issuer=settings.issuer.rstrip("/"), secret=secret.strip())


def _wrong(settings: OidcSettings) -> str:
    issuer = urlsplit(settings.issuer)
    if issuer.scheme != "https" and not (issuer.scheme == "http" and is_loopback(issuer.hostname or "")):
        return "names an issuer that is not https"
    if not issuer.hostname:
        return "names an issuer that is not an address"
    if settings.url and urlsplit(settings.url).scheme not in ("http", "https"):
        return "has a url that is neither http nor https"
    if "openid" not in settings.scopes:
        return "lacks the scope openid, without which the provider does not say who signs in"
    if not any(settings.roles.values()):
        return "gives nobody a role"
    return "" if 0 < settings.hours <= 24 * 31 else "has hours that are not above 0 and up to 744"


def _held(claims: Mapping[str, Any], path: str) -> set[str]:
    """What a claim holds: one text or a list of them."""
    value: Any = claims
    for name in [path] if path in claims else path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return {value} if isinstance(value, str) else set(map(str, value)) if isinstance(value, list) else set()
