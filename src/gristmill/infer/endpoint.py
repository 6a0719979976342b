"""A client of OpenAI-compatible endpoints: many requests at once, retried, metered, journalled.

What is paid for is written down before the next thing happens: given a run, every answer goes to
its journal, and a later attempt asks only what is not in it. The API key comes from an environment
variable, and is in no artifact, no journal and no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from gristmill.core.canonical import hash_json
from gristmill.core.errors import GristmillError, Retryable
from gristmill.core.event_loop import run_coroutine
from gristmill.core.progress import Progress, Silent
from gristmill.core.run import Run
from gristmill.core.seeds import derive_seed
from gristmill.infer.openai_wire import Again, Api, answer_of, body_of, retry_after
from gristmill.infer.text import TextAnswer, TextRequest

JOURNAL = "answers.jsonl"
_MOST_BYTES = 8 << 20
_LONGEST_WAIT_S = 120.0
_REFUSED = {401: "refuses the key", 403: "refuses access", 404: "knows no such model or address"}


@dataclass(frozen=True)
class Settings:
    """Where and how to ask.

    url: up to and with /v1. key_variable: the environment variable that holds the API key; no key
    is sent where none is named, so that none goes to an address that it is not for. concurrency:
    requests in the air. timeout: seconds for one. retries: further tries after an overload (429), a
    server's error, a dropped connection, silence or an answer that cannot be read; first_wait
    doubles each time, and a Retry-After is honoured. failed_share: of the requests so many may stay
    without an answer. price_in, price_out: money per million tokens.
    """

    url: str
    model: str
    api: Api = "chat"
    key_variable: str = ""
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 5
    first_wait: float = 0.5
    failed_share: float = 0.02
    price_in: float = 0.0
    price_out: float = 0.0


@dataclass
class Meter:
    """What was used. answers: with those of earlier attempts; asked: requests sent now, retries
    with them. unmetered: answers that came without a count of tokens. seconds: waiting, now."""

    answers: int = 0
    asked: int = 0
    retried: int = 0
    failed: int = 0
    unmetered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    def cost(self, settings: Settings) -> float:
        """Money, by the user's prices; of what is metered."""
        return (
            self.tokens_in * settings.price_in + self.tokens_out * settings.price_out
        ) / 1_000_000


class Endpoint:
    """A `TextGenerator` behind HTTP.

    run: where the journal lies, so that a resumed run does not pay twice; None for none.
    Raises GristmillError for an address that is none or holds a secret.
    """

    def __init__(self, settings: Settings, run: Run | None = None):
        _check(settings)
        _api_key(settings)
        self.settings, self.run, self.meter = settings, run, Meter()
        self._known: dict[str, TextAnswer] = {}
        for record in run.read(JOURNAL) if run is not None else []:
            key, log_p = record.pop("key"), record.pop("choice_log_p")
            known = TextAnswer(**record, choice_log_p=None if log_p is None else tuple(log_p))
            self._known[key] = known
        self._writing = threading.Lock()

    def answer(
        self, requests: Sequence[TextRequest], progress: Progress | None = None
    ) -> list[TextAnswer]:
        """The answers, equal requests asked once.

        Raises GristmillError where the endpoint refuses the key, the model or the address;
        Retryable where more than the allowed share of requests got no answer: what was answered is
        in the journal.
        """
        progress = progress or Silent()
        start = time.monotonic()
        keys = [self._key(request) for request in requests]
        open_requests = {
            key: request
            for key, request in zip(keys, requests, strict=True)
            if key not in self._known
        }
        progress.advance(sum(key not in open_requests for key in keys))
        failed: dict[str, TextAnswer] = {}
        if open_requests:
            failed = run_coroutine(_Asking(self, open_requests, progress).all)
        self.meter.seconds += time.monotonic() - start
        self.meter.failed += len(failed)
        if len(failed) > self.settings.failed_share * len(set(keys)):
            # 408 and 429 say to come later; what else begins with 4 stays as it is.
            final = re.compile(r"HTTP 4(?!08|29)")
            transient = [one for one in failed.values() if not final.match(one.error)]
            one = next(iter(transient or failed.values()))
            kind = Retryable if transient else GristmillError
            raise kind(
                f"{len(failed)} of {len(set(keys))} requests got no answer: {one.error}",
                where=self.settings.url,
                mend="run again, it goes on from here"
                if transient and self.run is not None
                else "see whether the endpoint is well",
            )
        answers = [self._known.get(key) or failed[key] for key in keys]
        for key in set(keys) - set(failed):
            one = self._known[key]
            self.meter.answers += 1
            self.meter.unmetered += one.tokens_in is None or one.tokens_out is None
            self.meter.tokens_in += one.tokens_in or 0
            self.meter.tokens_out += one.tokens_out or 0
        return answers

    def keep(self, key: str, answer: TextAnswer) -> None:
        """An answer arrived: it is written down."""
        with self._writing:
            self._known[key] = answer
            if self.run is not None:
                self.run.append(JOURNAL, {"key": key, **asdict(answer)})

    def _key(self, request: TextRequest) -> str:
        return hash_json(
            {
                "url": self.settings.url,
                "model": self.settings.model,
                "api": self.settings.api,
                **asdict(request),
            }
        )[:32]


class _Asking:
    """One round of requests."""

    def __init__(self, endpoint: Endpoint, requests: dict[str, TextRequest], progress: Progress):
        self.endpoint, self.settings = endpoint, endpoint.settings
        self.requests, self.progress = requests, progress
        self.failed: dict[str, TextAnswer] = {}
        self.in_a_row = 0
        self.key = _api_key(self.settings)

    async def all(self) -> dict[str, TextAnswer]:
        """Asks everything; returns what failed, by key."""
        todo = list(self.requests.items())[::-1]
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        timeout = aiohttp.ClientTimeout(total=self.settings.timeout)
        connector = aiohttp.TCPConnector(limit=self.settings.concurrency)
        async with aiohttp.ClientSession(
            headers=headers,
            timeout=timeout,
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:

            async def worker() -> None:
                # Where nothing gets through, the rest would wait in vain as well.
                while todo and self.in_a_row < 2 * self.settings.concurrency:
                    key, request = todo.pop()
                    await self._one(session, key, request)
                    self.progress.advance()

            workers = [asyncio.ensure_future(worker()) for _ in range(self.settings.concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:
                for one in workers:
                    one.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        for key, _ in todo:
            self.failed[key] = TextAnswer("", "failed", error="not asked: the ones before failed")
        return self.failed

    async def _one(self, session: aiohttp.ClientSession, key: str, request: TextRequest) -> None:
        settings = self.settings
        wait = settings.first_wait
        why = ""
        for attempt in range(settings.retries + 1):
            self.endpoint.meter.asked += 1
            self.endpoint.meter.retried += attempt > 0
            try:
                answer = await self._try(session, request)
            except Again as again:
                why = again.why
                if attempt == settings.retries:
                    break
                # Spread, so that requests which failed together do not come again together.
                spread = 0.75 + 0.5 * (derive_seed(attempt, key) % 1000) / 1000
                asked = again.wait if again.wait is not None else 0.0
                await asyncio.sleep(min(_LONGEST_WAIT_S, max(wait * spread, asked)))
                wait = min(2 * wait, _LONGEST_WAIT_S)
                continue
            if answer.finish == "failed":
                self.failed[key] = answer
            else:
                self.endpoint.keep(key, answer)
            self.in_a_row = 0
            return
        self.in_a_row += 1
        self.failed[key] = TextAnswer("", "failed", error=why)

    async def _try(self, session: aiohttp.ClientSession, request: TextRequest) -> TextAnswer:
        """One answer. Raises Again for what may pass, GristmillError for what will not."""
        path = "chat/completions" if self.settings.api == "chat" else "completions"
        parts = urlsplit(self.settings.url)
        url = parts._replace(path=f"{parts.path.rstrip('/')}/{path}").geturl()
        try:
            # A redirect would carry the key to another address.
            async with session.post(
                url,
                json=body_of(self.settings.model, self.settings.api, request),
                allow_redirects=False,
            ) as response:
                raw = await _read(response)
                if response.status == 200:
                    return answer_of(raw, request)
                said = self._said(raw)
                if response.status in (408, 429) or response.status >= 500:
                    raise Again(
                        f"HTTP {response.status} {said}".strip(),
                        retry_after(response.headers.get("Retry-After", "")),
                    )
                if response.status in _REFUSED or response.status < 400:
                    what = _REFUSED.get(response.status, "sends elsewhere")
                    raise GristmillError(
                        f"the endpoint {what} (HTTP {response.status}) {said}".strip(),
                        where=self.settings.url,
                        mend="check the address, the model and the key's variable",
                    )
                return TextAnswer("", "failed", error=f"HTTP {response.status} {said}".strip())
        except TimeoutError as error:
            raise Again(f"no answer in {self.settings.timeout:g} s") from error
        except aiohttp.ClientError as error:
            raise Again(self._clean(f"{type(error).__name__}: {error}")) from error

    def _said(self, raw: bytes) -> str:
        """What an error's body says, short, on one line, without the key."""
        text = raw[:4000].decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = str(json.loads(text)["error"]["message"])
        return self._clean(" ".join(text.split()))[:200]

    def _clean(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(1 << 16):
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            raise Again(f"an answer of more than {_MOST_BYTES >> 20} MB")
    return b"".join(parts)


def _api_key(settings: Settings) -> str:
    """The key; empty where no variable is named. Raises GristmillError where it is not set."""
    if not settings.key_variable:
        return ""
    key = os.environ.get(settings.key_variable, "").strip()
    if not key:
        raise GristmillError(
            f"the environment variable {settings.key_variable} is not set",
            where=settings.url,
            mend="put the endpoint's API key into it",
        )
    return key


def _check(settings: Settings) -> None:
    parts = urlsplit(settings.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GristmillError(
            "an endpoint's address begins with http:// or https://", where=settings.url,
            mend="such as http://127.0.0.1:8000/v1",
        )  # fmt: skip
    names = [name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.username or parts.password or any("key" in n or "token" in n for n in names):
        # The address is part of an artifact's config, which is written down and shown.
        raise GristmillError(
            "the endpoint's address holds a secret", where=parts.hostname,
            mend="put the key into an environment variable, and name that",
        )  # fmt: skip
    if not settings.model:
        raise GristmillError("the endpoint's model has no name", where=settings.url)
