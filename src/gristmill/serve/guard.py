"""Who may ask: the guard before every route.

The danger of a server on one's own machine is the browser beside it. Any page in it can send
requests to loopback, and a name that its owner points at 127.0.0.1 (DNS rebinding) makes such a
page's requests same-origin. So: the Host must be a name that this server has; a request that a
page of another origin made (Origin, Sec-Fetch-Site) is refused, whatever its method; no answer
carries CORS headers. With a token, every route but the login needs it, in `Authorization: Bearer`
or in the cookie that the login sets.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gristmill.serve.limits import Limits

COOKIE = "gristmill_session"
LOGIN = "/login"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# A wrong token costs its sender this long.
_WRONG_SECONDS = 0.5


class Refused(Exception):
    """A request that goes no further; the text is for the person who reads the answer."""

    def __init__(self, status: int, code: str, text: str):
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class Guard:
    """ASGI middleware. host: the address that is bound; names: further ones that it has."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        token: str | None = None,
        names: Sequence[str] = (),
        limits: Limits | None = None,
    ):
        self.app, self.token, self.limits = app, token, limits or Limits()
        self._loopback = is_loopback(host)
        self._names = {name.lower().strip("[]") for name in (host, *names, *LOOPBACK_NAMES)}
        if not self._loopback:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            # A web socket: none is served, and a browser would open one from any page.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(send, scope["path"])
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_origin(scope, headers)
            self._check_token(scope, headers)
            body = await self._body(scope, headers, receive)
        except Refused as refused:
            await _answer(refused, scope, headers)(scope, receive, guarded)
            return
        await self._call(scope, _replay(body, receive), guarded)

    async def _call(self, scope: Scope, receive: Receive, guarded: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await guarded(message)

        try:
            await self.app(scope, receive, noting)
        except Exception:
            # Answered here, so that this answer too has the guard's headers; the server logs it.
            if not begun:
                failed = Refused(500, "server_error", "the server met an error; its terminal tells")
                await _answer(failed, scope, Headers(scope=scope))(scope, receive, guarded)
            raise

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        host = _host_name(given[0]) if len(given) == 1 else None
        # An address is no name: nobody can point another page's name at it. Loopback's own are
        # in the list; beside them a server that listens elsewhere is called by its addresses.
        if host is None or not (host in self._names or (not self._loopback and _is_address(host))):
            raise Refused(
                421, "wrong_host", "this server has no such name; gristmill serve --name adds one"
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origins, site = headers.getlist("origin"), headers.get("sec-fetch-site")
        own = f"{scope['scheme']}://{headers['host']}".lower()
        if any(origin.lower() != own for origin in origins):
            raise Refused(403, "wrong_origin", "a page of another origin may not ask this server")
        if site in (None, "same-origin", "none"):
            changes = scope["method"] not in ("GET", "HEAD")
            if changes and not origins and site is None and "cookie" in headers:
                # Browsers that send cookies with a change say where it comes from.
                raise Refused(403, "no_origin", "a change by cookie must say its origin")
            return
        # A link from elsewhere may open a page; that gives its reader nothing but the page.
        opens = headers.get("sec-fetch-mode") == "navigate"
        as_page = headers.get("sec-fetch-dest") == "document"
        if not (scope["method"] == "GET" and opens and as_page and _is_page(scope["path"])):
            raise Refused(403, "wrong_origin", "a page of another origin may not ask this server")

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        if self.token is None or scope["path"] == LOGIN:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), self.token):
            return
        if _same(_cookie(headers), session_of(self.token)):
            return
        raise Refused(401, "invalid_api_key", "this server needs its token (Authorization: Bearer)")

    async def _body(self, scope: Scope, headers: Headers, receive: Receive) -> bytes:
        limit = self.limits.body_bytes
        too_large = Refused(413, "body_too_large", f"a body may have {limit:,} bytes at most")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refused(400, "no_body", "the body did not arrive")
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise too_large
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Refused(408, "body_too_slow", "the body did not arrive in time") from None
        if body and scope["path"] != LOGIN:
            # A form of another page can send any text, but not as JSON.
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise Refused(415, "not_json", "a body must come as application/json")
        return bytes(body)


def is_loopback(host: str) -> bool:
    """Whether an address, or `localhost`, is reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def session_of(token: str) -> str:
    """What the cookie holds: a token cannot be read back from it, and it outlives a restart."""
    return hmac.new(token.encode(), b"gristmill serve session", hashlib.sha256).hexdigest()


def login_routes(token: str | None) -> list[Route]:
    """The page that asks for the token and sets the cookie; none where there is no token."""
    if token is None:
        return []

    # With no referrer at all a browser sends the form with `Origin: null`.
    own = {"Referrer-Policy": "same-origin"}

    async def show(request: Request) -> Response:
        return HTMLResponse(_LOGIN_PAGE.format(said=""), headers=own)

    async def enter(request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=4)
        if not _same(form.get("token", [""])[0].strip(), token):
            await asyncio.sleep(_WRONG_SECONDS)
            return HTMLResponse(_LOGIN_PAGE.format(said="<p>That is not the token.</p>"), 401, own)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            session_of(token),
            max_age=30 * 86_400,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    return [Route(LOGIN, show, methods=["GET"]), Route(LOGIN, enter, methods=["POST"])]


_LOGIN_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>gristmill</title>
<meta name="viewport" content="width=device-width"></head>
<body><h1>gristmill</h1>{said}
<form method="post" action="/login"><label>The token that the server was started with
<input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Enter</button></form></body></html>
"""


def _is_page(path: str) -> bool:
    """Whether a person opens it: what scripts fetch is never opened from elsewhere."""
    data = ("/v1", "/api", "/tokenize", "/detokenize", "/tokenizer_info", "/health")
    return not any(path == prefix or path.startswith(f"{prefix}/") for prefix in data)


def _host_name(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None where it is not well formed."""
    try:
        parts = urlsplit(f"//{host}")
        well_formed = not (parts.path or parts.query or parts.fragment or parts.username)
        _ = parts.port
        return parts.hostname if well_formed and "@" not in host else None
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
        return True
    except ValueError:
        return False


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _same(given: str, wanted: str) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _replay(body: bytes, receive: Receive) -> Receive:
    """`receive` with a body that has been read; after it, whether the client has left."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _with_headers(send: Send, path: str) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            # A page may have a policy of its own, stricter or with hashes.
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not path.startswith("/static/"):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return guarded


def _answer(refused: Refused, scope: Scope, headers: Headers) -> Response:
    wants_page = "text/html" in headers.get("accept", "") and scope["method"] == "GET"
    if refused.status == 401 and wants_page and _is_page(scope["path"]):
        return RedirectResponse(LOGIN, 303)
    kinds = {401: "authentication_error", 500: "server_error"}
    kind = kinds.get(refused.status, "invalid_request_error")
    error = {"message": refused.text, "type": kind, "param": None, "code": refused.code}
    # The rest of a body that is refused is not read: the connection ends.
    extra = {"Connection": "close"}
    if refused.status == 401:
        extra["WWW-Authenticate"] = "Bearer"
    return Response(
        json.dumps({"error": error}), refused.status, extra, media_type="application/json"
    )
