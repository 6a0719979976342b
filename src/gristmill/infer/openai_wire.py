"""What goes over the wire to an OpenAI-compatible endpoint, and how what comes back is read."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from gristmill.infer.text import TextAnswer, TextRequest

Api = Literal["chat", "completions"]
TOP_LOGPROBS = 20


class Again(Exception):
    """A try that failed and may go better later. wait: what the server asks for, seconds."""

    def __init__(self, why: str, wait: float | None = None):
        self.why, self.wait = why, wait
        super().__init__(why)


def body_of(model: str, api: Api, request: TextRequest) -> dict[str, Any]:
    """The JSON of a request; a completion's prompt is the messages' plain text."""
    body: dict[str, Any] = {
        "model": model,
        "temperature": request.temperature,
        "max_tokens": 1 if request.choices else request.max_tokens,
        "seed": request.seed % (1 << 31),
    }
    if api == "chat":
        body["messages"] = [{"role": m.role, "content": m.content} for m in request.messages]
        if request.choices:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    else:
        body["prompt"] = "\n\n".join(m.content for m in request.messages)
        if request.choices:
            body["logprobs"] = TOP_LOGPROBS
    return body


def answer_of(raw: bytes, request: TextRequest) -> TextAnswer:
    """The first choice of a response. Raises Again where it is none."""
    try:
        value = json.loads(raw)
        choice = value["choices"][0]
        message = choice.get("message")
        text = choice["text"] if message is None else message["content"]
        # A model that refuses or only calls a tool says nothing.
        text = "" if text is None else text
        if not isinstance(text, str):
            raise TypeError("content is not text")
        # Half a surrogate pair is valid JSON, and no journal can hold it.
        text = text.encode("utf-8", "replace").decode()
        usage = value.get("usage") or {}
        return TextAnswer(
            text,
            "length" if choice.get("finish_reason") == "length" and not request.choices else "stop",
            _count(usage.get("prompt_tokens")),
            _count(usage.get("completion_tokens")),
            _choices(choice.get("logprobs"), request.choices) if request.choices else None,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise Again(f"an answer that cannot be read: {type(error).__name__}") from error


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _choices(logprobs: Any, choices: Sequence[str]) -> tuple[float, ...] | None:
    """log p of each choice: the sum over the first place's tokens that spell it, spaces apart.

    None where the endpoint gives no log-probabilities; minus infinity cannot be journalled, so a
    choice outside the most probable tokens has the probability of the least of them at most.
    """
    if not isinstance(logprobs, dict):
        return None
    content = logprobs.get("content")
    if isinstance(content, list) and content:
        pairs = [(t["token"], float(t["logprob"])) for t in content[0]["top_logprobs"]]
    elif isinstance(logprobs.get("top_logprobs"), list) and logprobs["top_logprobs"]:
        pairs = [(t, float(p)) for t, p in logprobs["top_logprobs"][0].items()]
    else:
        return None
    pairs = [(str(token).strip(), p) for token, p in pairs if math.isfinite(p)]
    if not any(token in choices for token, _ in pairs):
        return None
    least = min(p for _, p in pairs)
    found = []
    for choice in choices:
        spelt = [math.exp(p) for token, p in pairs if token == choice]
        found.append(math.log(sum(spelt)) if spelt and sum(spelt) > 0 else least)
    return tuple(found)


def retry_after(given: str) -> float | None:
    """The seconds of a Retry-After, which holds seconds or a date; None where it holds neither."""
    try:
        seconds = float(given)
    except ValueError:
        try:
            moment = parsedate_to_datetime(given)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
