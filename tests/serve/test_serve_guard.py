"""A page of another origin can neither change nor read anything: real requests to a real server."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

sys.path.insert(0, str(Path(__file__).parent))

import serve_world as world
from serve_world import Answer, Running

from gristmill.serve.guard import COOKIE, Guard, is_loopback, session_of

TOKEN = "a-token-of-enough-letters"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write_model(tmp_path_factory.mktemp("models") / "helper", assistant=True)


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with world.running([folder], tmp_path_factory.mktemp("store") / "store.sqlite") as running:
        yield running


@pytest.fixture(scope="module")
def locked(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    store = tmp_path_factory.mktemp("store") / "store.sqlite"
    with world.running([folder], store, token=TOKEN) as running:
        yield running


def refused(answer: Answer, status: int, code: str) -> bool:
    """Refused by the guard, and without a word that lets another origin read it."""
    cors = [name for name in answer.headers if name.startswith("access-control")]
    return answer.status == status and answer.error["code"] == code and not cors


ROUTES = ["/", "/v1/models", "/api/models", "/health", "/documents"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", ""])
def test_a_name_that_is_not_ours_is_refused(server: Running, host: str) -> None:
    """DNS rebinding: the page's own name, pointed at this machine."""
    for path in ROUTES:
        assert refused(server.get(path, Host=host), 421, "wrong_host"), path
    vote = server.post(
        "/api/battles/vote", {"id": "x", "winner": "a"}, Host=f"{host}:{server.port}"
    )
    assert refused(vote, 421, "wrong_host")


def test_two_hosts_or_none_are_refused(server: Running) -> None:
    for lines in (b"", b"Host: 127.0.0.1\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=world.PATIENCE) as raw:
            raw.sendall(b"GET /v1/models HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
            said = b"".join(iter(lambda: raw.recv(65536), b""))
        assert said.split()[1] in (b"400", b"421") and b"helper" not in said


@pytest.mark.parametrize("host", ["192.0.2.7", "127.0.0.2", "[2001:db8::1]", "2130706433"])
def test_an_address_that_is_not_bound_is_no_name_of_loopback(server: Running, host: str) -> None:
    assert refused(server.get("/v1/models", Host=f"{host}:{server.port}"), 421, "wrong_host")


def test_every_origin_of_a_request_is_looked_at(server: Running) -> None:
    own = f"Origin: {server.url}\r\n"
    for other in ("http://evil.example", "null"):
        for lines in (f"{own}Origin: {other}\r\n", f"Origin: {other}\r\n{own}"):
            with socket.create_connection(
                ("127.0.0.1", server.port), timeout=world.PATIENCE
            ) as raw:
                head = f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{lines}"
                raw.sendall(f"{head}Connection: close\r\n\r\n".encode())
                said = b"".join(iter(lambda: raw.recv(65536), b""))
            assert said.split()[1] == b"403" and b"helper" not in said


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_loopback_has_these_names(server: Running, name: str) -> None:
    assert server.get("/v1/models", Host=f"{name}:{server.port}").status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1"]
)
def test_another_origin_can_neither_ask_nor_read(server: Running, origin: str) -> None:
    for path in ROUTES:
        assert refused(server.get(path, Origin=origin), 403, "wrong_origin"), path
    for path in ("/api/battles/vote", "/api/labels", "/v1/chat/completions", "/tokenize"):
        assert refused(server.post(path, {"model": "helper"}, Origin=origin), 403, "wrong_origin")


def test_a_rebound_origin_that_fits_its_host_is_refused_too(server: Running) -> None:
    name = f"evil.example:{server.port}"
    answer = server.post("/tokenize", {"prompt": "x"}, Host=name, Origin=f"http://{name}")
    assert refused(answer, 421, "wrong_host")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_says_of_another_site_is_believed(server: Running, site: str) -> None:
    assert refused(server.get("/api/models", Sec_Fetch_Site=site), 403, "wrong_origin")
    script = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"}
    assert refused(server.get("/v1/models", **script), 403, "wrong_origin")
    frame = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}
    assert refused(server.get("/", **frame), 403, "wrong_origin")
    # A link may open a page, and nothing but a page.
    link = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert server.get("/", **link).status == 200
    assert refused(server.get("/v1/models", **link), 403, "wrong_origin")
    form = server.send(
        "POST", "/tokenize", b"{}", {k.replace("_", "-"): v for k, v in link.items()}
    )
    assert refused(form, 403, "wrong_origin")


def test_a_preflight_gets_no_permission(server: Running) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Origin": "http://evil.example"}
    assert refused(server.send("OPTIONS", "/v1/models", b"", asks), 403, "wrong_origin")
    own = server.send("OPTIONS", "/v1/models", b"", {"Origin": server.url})
    assert own.status == 405
    assert not any(name.startswith("access-control") for name in own.headers)


def test_its_own_pages_and_programs_may_ask(server: Running) -> None:
    body = {"prompt": "x"}
    assert server.post("/tokenize", body, Origin=server.url).status == 200
    assert server.post("/tokenize", body, Sec_Fetch_Site="same-origin").status == 200
    assert server.post("/tokenize", body).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_form_of_another_page_brings_no_json(server: Running, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = server.send("POST", "/tokenize", b'{"prompt": "x"}', headers)
    assert refused(answer, 415, "not_json")


def test_a_change_by_cookie_says_its_origin(locked: Running) -> None:
    cookie = f"{COOKIE}={session_of(TOKEN)}"
    body = {"prompt": "x"}
    assert refused(locked.post("/tokenize", body, Cookie=cookie), 403, "no_origin")
    assert refused(
        locked.post("/tokenize", body, Cookie=cookie, Origin="null"), 403, "wrong_origin"
    )
    assert locked.post("/tokenize", body, Cookie=cookie, Origin=locked.url).status == 200


def test_every_answer_has_the_headers(server: Running) -> None:
    answers = [server.get(path) for path in (*ROUTES, "/nothing", "/static/page.css")]
    answers += [server.get("/", Host="evil.example"), server.post("/v1/completions", {})]
    for answer in answers:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        for part in ("object-src", "base-uri", "frame-ancestors"):
            assert f"{part} 'none'" in answer.headers["content-security-policy"]
        assert "form-action 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "referrer-policy" in answer.headers and "server" not in answer.headers


def test_with_a_token_nothing_answers_without_it(locked: Running) -> None:
    for path in (*ROUTES, "/static/page.css", "/nothing", "/login/", "/login2"):
        assert refused(locked.get(path), 401, "invalid_api_key"), path
        wrong = locked.get(path, Authorization=f"Bearer {TOKEN[:-1]}")
        assert refused(wrong, 401, "invalid_api_key"), path
        assert refused(locked.get(path, Cookie=f"{COOKIE}={TOKEN}"), 401, "invalid_api_key"), path
    assert locked.post("/v1/completions", {"model": "helper", "prompt": "x"}).status == 401
    assert locked.get("/v1/models", Authorization=f"Bearer {TOKEN}").status == 200
    assert locked.get("/v1/models", Authorization=f"bearer {TOKEN}").status == 200


def test_a_browser_logs_in(locked: Running) -> None:
    sent = locked.get("/chat", Accept="text/html")
    assert sent.status == 303 and sent.headers["location"] == "/login"
    page = locked.get("/login")
    assert page.status == 200 and not re.search(r"<script|<style|\sstyle=|\son\w+=", page.text)
    # With none at all a browser would send the form with `Origin: null`.
    assert page.headers["referrer-policy"] == "same-origin"
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": locked.url}
    wrong = locked.send("POST", "/login", b"token=guess", form)
    assert wrong.status == 401 and "set-cookie" not in wrong.headers
    right = locked.send("POST", "/login", f"token={TOKEN}".encode(), form)
    assert right.status == 303
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and TOKEN not in cookie
    assert "secure" not in cookie.lower()
    assert locked.get("/v1/models", Cookie=cookie.split(";")[0]).status == 200
    # Behind a proxy on this machine that speaks TLS the cookie never goes without it.
    over_tls = {**form, "X-Forwarded-Proto": "https", "Origin": f"https://127.0.0.1:{locked.port}"}
    right = locked.send("POST", "/login", f"token={TOKEN}".encode(), over_tls)
    assert right.status == 303 and "; secure" in right.headers["set-cookie"].lower()
    stranger = {**form, "Origin": "http://evil.example"}
    assert refused(locked.send("POST", "/login", b"token=x", stranger), 403, "wrong_origin")


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.evil.example", False),
    ],
)
def test_what_is_loopback(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a secret of the insides")


def sent_by(scope: Scope, first: Message) -> list[Message]:
    """What the guard sends before an application that fails."""
    sent: list[Message] = []

    async def receive() -> Message:
        return first

    async def send(message: Message) -> None:
        sent.append(message)

    whole = {"path": "/v1/models", "headers": [(b"host", b"127.0.0.1")], **scope}
    with contextlib.suppress(RuntimeError):
        asyncio.run(Guard(fails)(whole, receive, send))
    return sent


def test_a_defect_is_told_without_its_insides_and_with_the_headers() -> None:
    start, body = sent_by(
        {"type": "http", "method": "GET", "scheme": "http"},
        {"type": "http.request", "body": b"", "more_body": False},
    )
    assert start["status"] == 500 and b"secret" not in body["body"]
    headers = dict(start["headers"])
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert headers[b"cache-control"] == b"no-store"


def test_a_web_socket_is_closed_before_the_application_sees_it() -> None:
    sent = sent_by({"type": "websocket"}, {"type": "websocket.connect"})
    assert [message["type"] for message in sent] == ["websocket.close"]
