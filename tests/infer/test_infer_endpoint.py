"""The client of OpenAI-compatible endpoints, against a real server on this machine."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from gristmill.core.errors import GristmillError, Retryable
from gristmill.core.run import Run
from gristmill.infer.endpoint import JOURNAL, Endpoint, Settings
from gristmill.infer.openai_wire import retry_after
from gristmill.infer.text import TextGenerator, TextRequest
from gristmill.tokenizer.chat import Message

Handler = Callable[["Server", web.Request, dict], Awaitable[web.StreamResponse]]


class Server:
    """A server that answers as it is told."""

    def __init__(self, handler: Handler, serve_app: Callable[[web.Application], int]):
        self.handler = handler
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.in_the_air = self.most_in_the_air = 0
        app = web.Application()
        app.router.add_post("/v1/{path:.*}", self._handle)
        self.url = f"http://127.0.0.1:{serve_app(app)}/v1"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.in_the_air += 1
        self.most_in_the_air = max(self.most_in_the_air, self.in_the_air)
        try:
            return await self.handler(self, request, body)
        finally:
            self.in_the_air -= 1


@pytest.fixture
def serve(serve_app: Callable[[web.Application], int]) -> Callable[[Handler], Server]:
    return lambda handler: Server(handler, serve_app)


def said(text: str, **more: object) -> web.Response:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return web.json_response({"choices": [choice], "usage": usage})


async def echo(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
    return said(body["messages"][-1]["content"].upper())


def ask(text: str, **more: object) -> TextRequest:
    return TextRequest((Message("user", text),), **more)  # type: ignore[arg-type]


def settings(url: str, **more: object) -> Settings:
    return Settings(url, "m", **{"first_wait": 0.01, **more})  # type: ignore[arg-type]


def test_an_overload_to_the_end_is_worth_a_later_try(serve: Callable[[Handler], Server]) -> None:
    async def overloaded(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        return web.Response(status=int(body["messages"][-1]["content"]))

    server = serve(overloaded)
    for status in ("429", "408", "503"):
        with pytest.raises(Retryable):
            Endpoint(settings(server.url, retries=1)).answer([ask(status)])
    with pytest.raises(GristmillError) as refused:
        Endpoint(settings(server.url, retries=1)).answer([ask("422")])
    assert not isinstance(refused.value, Retryable)


def test_half_a_character_in_an_answer_can_be_journalled(
    serve: Callable[[Handler], Server], tmp_path: Path
) -> None:
    async def half(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        return said("a\ud800b")

    server, run = serve(half), Run(tmp_path)
    (answer,) = Endpoint(settings(server.url), run).answer([ask("x")])
    assert answer.text == "a?b"
    assert Endpoint(settings(server.url), run).answer([ask("x")]) == [answer]
    assert len(server.bodies) == 1


def test_answers_come_in_order_metered_and_priced(serve: Callable[[Handler], Server]) -> None:
    async def slow_first(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        await asyncio.sleep(0.1 if body["messages"][-1]["content"] == "a" else 0)
        return await echo(server, request, body)

    server = serve(slow_first)
    endpoint = Endpoint(settings(server.url, price_in=2.0, price_out=10.0, concurrency=3))
    assert isinstance(endpoint, TextGenerator)
    answers = endpoint.answer([ask(text) for text in ["a", "b", "c", "d", "a"]])
    assert [answer.text for answer in answers] == ["A", "B", "C", "D", "A"]
    assert len(server.bodies) == 4  # equal requests are asked once
    assert (endpoint.meter.tokens_in, endpoint.meter.tokens_out) == (40, 20)
    assert endpoint.meter.cost(endpoint.settings) == pytest.approx((40 * 2 + 20 * 10) / 1e6)


def test_no_more_requests_at_once_than_asked_for(serve: Callable[[Handler], Server]) -> None:
    async def slow(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        while server.most_in_the_air < 3:  # the first wait for each other
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.03)
        return await echo(server, request, body)

    server = serve(slow)
    Endpoint(settings(server.url, concurrency=3)).answer([ask(str(i)) for i in range(12)])
    assert server.most_in_the_air == 3


@pytest.mark.parametrize("trouble", ["429", "500", "malformed", "no choices", "dropped", "silent"])
def test_what_may_pass_is_tried_again(serve: Callable[[Handler], Server], trouble: str) -> None:
    async def first_fails(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        if len(server.bodies) > 1:
            return await echo(server, request, body)
        if trouble.isdigit():
            return web.json_response({"error": {"message": "later"}}, status=int(trouble))
        if trouble == "malformed":
            return web.Response(text="<html>proxy</html>")
        if trouble == "no choices":
            return web.json_response({"choices": []})
        if trouble == "dropped":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        while request.transport is not None:  # until the client has gone
            await asyncio.sleep(0.005)
        return web.Response()

    server = serve(first_fails)
    endpoint = Endpoint(settings(server.url, timeout=2.0 if trouble == "silent" else 60.0))
    assert endpoint.answer([ask("hello")])[0].text == "HELLO"
    assert endpoint.meter.retried == 1


def test_retry_after_is_waited_for(serve: Callable[[Handler], Server]) -> None:
    times: list[float] = []

    async def busy(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            return web.Response(status=429, headers={"Retry-After": "0.4"})
        return await echo(server, request, body)

    Endpoint(settings(serve(busy).url)).answer([ask("hello")])
    assert times[1] - times[0] >= 0.4


def test_retry_after_as_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=3000)
    assert 2000 < (retry_after(format_datetime(later, usegmt=True)) or 0) <= 3000
    assert retry_after("soon") is None and retry_after("") is None
    assert retry_after("-3") == 0.0


def test_an_endpoint_that_is_down_ends_soon_and_can_be_tried_again(
    serve: Callable[[Handler], Server],
) -> None:
    async def down(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        return web.Response(status=503, text="down")

    server = serve(down)
    endpoint = Endpoint(settings(server.url, retries=1, concurrency=2))
    with pytest.raises(Retryable, match="50 of 50"):
        endpoint.answer([ask(str(i)) for i in range(50)])
    assert len(server.bodies) < 20  # most were never asked


def test_a_refusal_ends_at_once_and_the_key_is_in_no_message(
    serve: Callable[[Handler], Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("A_KEY", "sk-very-secret")

    async def refuse(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        message = f"Incorrect API key: {request.headers['Authorization']}"
        return web.json_response({"error": {"message": message}}, status=401)

    server = serve(refuse)
    endpoint = Endpoint(settings(server.url, key_variable="A_KEY"), Run(tmp_path))
    with pytest.raises(GristmillError, match=r"refuses the key.*\[key\]") as caught:
        endpoint.answer([ask("hello")])
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    assert "sk-very-secret" not in caught.value.one_line()
    assert len(server.bodies) == 1
    assert not any("secret" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_a_key_is_sent_only_where_its_variable_is_named(
    serve: Callable[[Handler], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-someone-else")
    monkeypatch.delenv("A_KEY", raising=False)
    server = serve(echo)
    Endpoint(settings(server.url)).answer([ask("hello")])
    assert "Authorization" not in server.headers[0]
    with pytest.raises(GristmillError, match="A_KEY is not set"):
        Endpoint(settings(server.url, key_variable="A_KEY"))


def test_a_redirect_is_not_followed(serve: Callable[[Handler], Server]) -> None:
    elsewhere = serve(echo)

    async def move(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"{elsewhere.url}/chat/completions")

    with pytest.raises(GristmillError, match="sends elsewhere"):
        Endpoint(settings(serve(move).url)).answer([ask("hello")])
    assert not elsewhere.bodies


def test_a_resume_pays_for_nothing_twice(
    serve: Callable[[Handler], Server], tmp_path: Path
) -> None:
    refused = {"c", "d"}

    async def some(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        if body["messages"][-1]["content"] in refused:
            return web.Response(status=500)
        return await echo(server, request, body)

    server = serve(some)
    asked = [ask(text) for text in "abcd"]
    with pytest.raises(Retryable):
        Endpoint(settings(server.url, retries=0), Run(tmp_path)).answer(asked)
    # A crash in the middle of a line costs that line alone.
    with open(tmp_path / JOURNAL, "a", encoding="utf-8") as file:
        file.write('{"key": "torn')
    refused.clear()
    before = len(server.bodies)
    endpoint = Endpoint(settings(server.url, retries=0), Run(tmp_path))
    assert [answer.text for answer in endpoint.answer(asked)] == ["A", "B", "C", "D"]
    assert len(server.bodies) - before == 2
    assert endpoint.meter.tokens_in == 40  # what was paid earlier is in the cost
    again = Endpoint(settings(server.url), Run(tmp_path))
    again.answer([*asked, ask("a", temperature=0.5)])
    assert len(server.bodies) - before == 3  # another temperature is another question


def test_another_model_or_address_is_asked_anew(
    serve: Callable[[Handler], Server], tmp_path: Path
) -> None:
    server = serve(echo)
    run = Run(tmp_path)
    for more in ({}, {"model": "other"}, {"api": "chat"}, {"url": f"{server.url}/"}):
        Endpoint(replace(settings(server.url), **more), run).answer([ask("a")])  # type: ignore[arg-type]
    assert [body["model"] for body in server.bodies] == ["m", "other", "m"]


def test_a_choice_that_is_not_among_the_most_probable_is_no_likelier_than_they_are(
    serve: Callable[[Handler], Server],
) -> None:
    async def only_b(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        top = [{"token": t, "logprob": p} for t, p in ((" B", -0.1), ("The", -3.0), ("I", -6.0))]
        return said("B", logprobs={"content": [{"token": " B", "top_logprobs": top}]})

    (answer,) = Endpoint(settings(serve(only_b).url)).answer([ask("q", choices=("A", "B"))])
    assert answer.choice_log_p == pytest.approx((-6.0, -0.1))


def test_one_request_that_cannot_be_answered_is_failed(
    serve: Callable[[Handler], Server],
) -> None:
    async def too_long(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        if body["messages"][-1]["content"] == "long":
            return web.json_response({"error": {"message": "too many tokens"}}, status=400)
        return await echo(server, request, body)

    server = serve(too_long)
    endpoint = Endpoint(settings(server.url, failed_share=0.5))
    fine, long = endpoint.answer([ask("fine"), ask("long")])
    assert (fine.text, long.finish, long.error) == ("FINE", "failed", "HTTP 400 too many tokens")
    assert len(server.bodies) == 2  # what is refused is not tried again


def test_probabilities_of_choices_in_both_dialects(serve: Callable[[Handler], Server]) -> None:
    top = {"A": -1.0, " A": -2.0, "B": -3.0, "The": -0.1}

    async def letters(server: Server, request: web.Request, body: dict) -> web.StreamResponse:
        if request.path.endswith("/chat/completions"):
            assert body["top_logprobs"] == 20 and body["max_tokens"] == 1
            tops = [{"token": token, "logprob": p} for token, p in top.items()]
            return said("A", logprobs={"content": [{"top_logprobs": tops}]})
        assert body["prompt"] == "which?"
        logprobs = {"top_logprobs": [top]}
        return web.json_response({"choices": [{"text": "A", "logprobs": logprobs}]})

    server = serve(letters)
    for api in ("chat", "completions"):
        endpoint = Endpoint(settings(server.url, api=api))
        (answer,) = endpoint.answer([ask("which?", choices=("A", "B"))])
        assert answer.choice_log_p == pytest.approx((math.log(math.exp(-1) + math.exp(-2)), -3.0))
        (none,) = endpoint.answer([ask("which?", choices=("X", "Y"))])
        assert none.choice_log_p is None
    assert endpoint.meter.unmetered == 2


def test_it_works_inside_a_running_loop(serve: Callable[[Handler], Server]) -> None:
    endpoint = Endpoint(settings(serve(echo).url))

    async def notebook() -> str:
        return endpoint.answer([ask("hello")])[0].text

    assert asyncio.run(notebook()) == "HELLO"


@pytest.mark.parametrize(
    "url", ["ftp://a/v1", "127.0.0.1:8000", "https://me:pw@a/v1", "https://a/v1?api_key=x"]
)
def test_addresses_that_are_none_or_hold_a_secret(url: str) -> None:
    with pytest.raises(GristmillError) as caught:
        Endpoint(settings(url))
    assert "pw" not in caught.value.one_line() and "=x" not in caught.value.one_line()


def test_the_journal_holds_answers_and_no_address_or_prompt(
    serve: Callable[[Handler], Server], tmp_path: Path
) -> None:
    Endpoint(settings(serve(echo).url), Run(tmp_path)).answer([ask("hello")])
    (line,) = [json.loads(one) for one in (tmp_path / JOURNAL).read_text().splitlines()]
    assert line["text"] == "HELLO" and set(line) == {
        "key", "text", "finish", "tokens_in", "tokens_out", "choice_log_p", "error",
    }  # fmt: skip
