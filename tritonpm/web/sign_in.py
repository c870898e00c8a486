"""Signing in with an OpenID provider: the authorisation code flow with PKCE, state and nonce, by Authlib.

What a browser may ask for before it is known who asks: the page that offers it, the way there and back, the way out.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tritonpm.catalogue.audit import OIDC, Actor
from tritonpm.operations.audit import acting
from tritonpm.web.oidc_settings import OidcSettings
from tritonpm.web.pages.render import outside
from tritonpm.web.security import LOGIN
from tritonpm.web.sessions import SESSION, Sessions
from tritonpm.web.site import Site

_WAITS = 10.0  # seconds for each answer of the provider
_PATIENCE = 600  # seconds that somebody may take to sign in there
_NEXT = "next"
log = logging.getLogger("tritonpm.web")


class SignIn:
    """The routes below /login; `sessions` are those of the page's guard."""

    def __init__(self, site: Site, settings: OidcSettings, sessions: Sessions, *, tls: bool) -> None:
        self._site, self._settings, self._sessions = site, settings, sessions
        self._secure = tls or urlsplit(settings.url).scheme == "https"
        self._provider = OAuth().register(
            "oidc", client_id=settings.client_id, client_secret=settings.secret or None,
            server_metadata_url=f"{settings.issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(settings.scopes), "code_challenge_method": "S256", "timeout": _WAITS,
                "token_endpoint_auth_method": "client_secret_basic" if settings.secret else "none",
            },
        )  # fmt: skip

    def app(self) -> Starlette:
        """What answers below LOGIN. What is kept between the ways there and back is in a signed cookie."""
        routes = [
            Route("/", self.page), Route("/start", self.start), Route("/callback", self.callback),
            Route("/end", self.end, methods=["POST"]),
        ]  # fmt: skip
        kept = Middleware(
            SessionMiddleware, secret_key=secrets.token_hex(32), session_cookie="tritonpm-sign-in", max_age=_PATIENCE,
            path=LOGIN, same_site="lax", https_only=self._secure,
        )  # fmt: skip
        return Starlette(routes=routes, middleware=[kept])

    async def page(self, request: Request) -> Response:
        """Offer to sign in."""
        return self._offered(request)

    async def start(self, request: Request) -> Response:
        """The way to the provider."""
        request.session[_NEXT] = _of_ours(request.query_params.get(_NEXT, ""))
        base = self._settings.url.rstrip("/") or str(request.base_url).removesuffix("/").removesuffix(LOGIN)
        try:
            redirect: Response = await self._provider.authorize_redirect(request, f"{base}{LOGIN}/callback")
        except (httpx2.HTTPError, AuthlibBaseError, ValueError, KeyError, RuntimeError) as error:
            log.warning("sign-in: %s does not answer as it should: %s", self._settings.issuer, error)
            return self._offered(request, "The provider of accounts does not answer.", 502)
        return redirect

    async def callback(self, request: Request) -> Response:
        """The way back: whose account it is, and what role it has."""
        following = _of_ours(request.session.pop(_NEXT, ""))
        try:
            claims = await self._claims(request)
        except (httpx2.HTTPError, AuthlibBaseError, JoseError, ValueError, KeyError, RuntimeError) as error:
            log.warning("sign-in refused: %s", type(error).__name__)  # what it says may hold a code or a token
            return self._offered(request, "Signing in did not work; try again.", 403)
        role = self._settings.role_of(claims)
        if role is None:
            return self._offered(
                request, "This account has no role here; ask the administrator of this page for one.", 403
            )
        origin = request.client.host if request.client else ""
        actor = Actor(self._settings.name_of(claims), role, OIDC, origin)
        await run_in_threadpool(self._record, actor, str(claims["sub"]))
        response = RedirectResponse(following, 303)
        response.set_cookie(
            SESSION, self._sessions.begin(actor), max_age=int(self._sessions.seconds), path="/", httponly=True,
            samesite="lax", secure=self._secure,
        )  # fmt: skip
        return response

    async def end(self, request: Request) -> Response:
        """Sign out, here; not at the provider."""
        self._sessions.end(request.cookies.get(SESSION, ""))
        response = RedirectResponse(f"{LOGIN}/", 303)
        response.delete_cookie(SESSION, path="/", httponly=True, samesite="lax", secure=self._secure)
        return response

    async def _claims(self, request: Request) -> Mapping[str, Any]:
        """What the ID token says: signed by the provider, for us and for this sign-in. Raises what Authlib raises."""
        settings = self._settings
        exact = {
            "iss": {"essential": True, "values": [settings.issuer, f"{settings.issuer}/"]},
            "aud": {"essential": True, "values": [settings.client_id]},
        }
        token = await self._provider.authorize_access_token(request, claims_options=exact)
        claims: Mapping[str, Any] = token["userinfo"]
        return claims

    def _record(self, actor: Actor, sub: str) -> None:
        with self._site.asked_by(actor).open() as context, acting(context, "sign in", detail=f"sub={sub}"):
            pass

    def _offered(self, request: Request, why: str = "", status: int = 200) -> Response:
        following = _of_ours(request.query_params.get(_NEXT, ""))
        host = urlsplit(self._settings.issuer).hostname
        return outside(request, "login.html", status, why=why, provider=host, following=following, place=LOGIN)


def _of_ours(path: str) -> str:
    """A path of this page's, and of nobody else's."""
    ours = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if ours else "/"
