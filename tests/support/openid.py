"""A real OpenID provider, made with Authlib's own server: discovery, keys, authorisation with PKCE, tokens.

It lets in whoever says who they are. `lies` are claims that its ID tokens have instead of what is true.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from flask import Flask, request
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT, SECRET = "tritonpm", "the client's secret"


@dataclass
class Provider:
    """One that runs at `issuer`: its accounts' claims by name, and what it does wrong."""

    issuer: str = ""
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    lies: dict[str, Any] = field(default_factory=dict)
    another_key: bool = False  # its ID tokens are signed by one that it does not tell
    public: bool = False  # its client has no secret
    codes: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)  # the authorisation requests


class Code(SimpleNamespace):
    """An authorisation code and what it was given for."""

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return str(self.scope)

    def get_nonce(self) -> str:
        return str(self.nonce)

    def get_auth_time(self) -> None:
        return None

    get_acr = get_amr = get_auth_time


class Client:
    """The one client that it knows."""

    client_id = CLIENT

    def __init__(self, method: str) -> None:
        self.method = method

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, uri: str) -> bool:
        return uri.endswith("/login/callback")

    def check_client_secret(self, secret: str) -> bool:
        return secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.method

    def check_response_type(self, kind: str) -> bool:
        return kind == "code"

    def check_grant_type(self, kind: str) -> bool:
        return kind == "authorization_code"


def application(provider: Provider) -> Flask:
    """The provider's endpoints."""
    app = Flask(__name__)
    key, other = (RSAKey.generate_key(2048, {"kid": "1"}, private=True) for _ in range(2))

    class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")

        def save_authorization_code(self, code: str, asked: Any) -> None:
            data = asked.payload.data
            provider.codes[code] = Code(
                code=code, redirect_uri=asked.payload.redirect_uri, scope=asked.payload.scope, user=asked.user,
                nonce=data.get("nonce"), code_challenge=data.get("code_challenge"),
                code_challenge_method=data.get("code_challenge_method"),
            )  # fmt: skip

        def query_authorization_code(self, code: str, client: Client) -> Any:
            return provider.codes.get(code)

        def delete_authorization_code(self, code: Any) -> None:
            provider.codes.pop(code.code)

        def authenticate_user(self, code: Any) -> Any:
            return code.user

    class Identity(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, asked: Any) -> bool:
            return False

        def resolve_client_private_key(self, client: Client) -> RSAKey:
            return other if provider.another_key else key

        def get_client_claims(self, client: Client) -> dict[str, Any]:
            return {"iss": provider.issuer}

        def generate_user_info(self, user: str, scope: str) -> UserInfo:
            return UserInfo({"sub": f"id-{user}", **provider.accounts[user], **provider.lies})

    def client(name: str) -> Client | None:
        return Client("none" if provider.public else "client_secret_basic") if name == CLIENT else None

    server = AuthorizationServer(app, query_client=client, save_token=_kept)
    server.register_grant(CodeGrant, [Identity(require_nonce=True), CodeChallenge(required=True)])

    @app.get("/.well-known/openid-configuration")
    def configuration() -> dict[str, Any]:
        return {
            "issuer": provider.issuer, "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token", "jwks_uri": f"{provider.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
        }  # fmt: skip

    @app.get("/keys")
    def keys() -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False)]}

    @app.get("/authorize")
    def ask() -> str:
        provider.asked.append(request.args.to_dict())
        return '<form method="post"><label>Account <input name="account"></label><button>Continue</button></form>'

    @app.post("/authorize")
    def authorise() -> Any:
        user = request.form["account"]
        return server.create_authorization_response(grant_user=user, grant=server.get_consent_grant(end_user=user))

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    return app


def _kept(token: Any, asked: Any) -> None:
    """Access tokens open nothing here."""


@contextmanager
def provided() -> Iterator[Provider]:
    """A provider on a port of its own."""
    provider = Provider()
    server = make_server("127.0.0.1", 0, application(provider), threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
