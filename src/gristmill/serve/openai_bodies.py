"""What the OpenAI routes accept, field by field; everything else is refused by name.

Fields that ask for what is not done here (tools, response formats, penalties) are known, so that
their neutral values pass, as clients send them, and others are refused with what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gristmill.serve.limits import Limits

Ids = list[Annotated[int, Field(ge=0)]]


class BadRequest(Exception):
    """400 in OpenAI's shape: what is wrong, at which field, and a code where there is one."""

    def __init__(self, text: str, param: str | None = None, code: str | None = None):
        super().__init__(text)
        self.text, self.param, self.code = text, param, code


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StreamOptions(_Body):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class _Sampled(_Body):
    """What both routes share."""

    model: str
    max_tokens: int | None = Field(None, ge=0)
    n: int | None = Field(1, ge=1)
    temperature: float | None = Field(1.0, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(1.0, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(0, ge=-1)
    """Not OpenAI's: only among the k most probable, 0 or -1 for all."""
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    # Known, and only their neutral values done.
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None


class CompletionBody(_Sampled):
    """The body of /v1/completions."""

    prompt: str | Ids | list[str] | list[Ids]
    echo: bool | None = False
    logprobs: int | None = Field(None, ge=0)
    best_of: int | None = None
    suffix: str | None = None


class TextPart(_Body):
    type: Literal["text"]
    text: str


class ChatMessage(_Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    # Of no weight for the text, or only with their neutral value.
    name: str | None = None
    refusal: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None
    annotations: list[Any] | None = None
    audio: Any = None

    def text(self) -> str:
        """What is said, its parts joined."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatBody(_Sampled):
    """The body of /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0)
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    parallel_tool_calls: bool | None = None
    modalities: list[str] | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None


class TokenizeBody(_Body):
    """The body of /tokenize: a text, or messages as a model would read them."""

    model: str | None = None
    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    add_special_tokens: bool = False
    add_generation_prompt: bool = True
    return_token_strs: bool | None = False


class DetokenizeBody(_Body):
    """The body of /detokenize."""

    model: str | None = None
    tokens: Ids


def read_body(kind: type[_Body], value: Any) -> Any:
    """The body, checked. Raises BadRequest that names the first field that is wrong."""
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _named(kind, error) from None


def check_limits(body: _Sampled, prompts: int, limits: Limits) -> None:
    """Raises BadRequest for what is more than the server gives, or what it does not do."""
    for name in ("max_tokens", "max_completion_tokens"):
        if (getattr(body, name, None) or 0) > limits.max_tokens:
            raise BadRequest(f"at most {limits.max_tokens} tokens", name)
    if prompts > limits.prompts:
        raise BadRequest(f"at most {limits.prompts} prompts in a request", "prompt")
    if prompts * (body.n or 1) > limits.choices:
        raise BadRequest(f"at most {limits.choices} completions in a request", "n")
    top = body.logprobs if isinstance(body, CompletionBody) else getattr(body, "top_logprobs", None)
    if top is not None and top > limits.top_logprobs:
        name = "logprobs" if isinstance(body, CompletionBody) else "top_logprobs"
        raise BadRequest(f"at most {limits.top_logprobs} of the most probable tokens", name)
    stops = stop_strings(body.stop)
    if len(stops) > limits.stops:
        raise BadRequest(f"at most {limits.stops} stop strings", "stop")
    if any(not 1 <= len(stop) <= limits.stop_letters for stop in stops):
        raise BadRequest(f"a stop string has 1 to {limits.stop_letters} letters", "stop")
    if body.stream_options is not None and not body.stream:
        raise BadRequest("only with stream", "stream_options")
    _refuse_undone(body)


def stop_strings(stop: str | list[str] | None) -> tuple[str, ...]:
    """As a tuple; equal ones once."""
    if stop is None:
        return ()
    return tuple(dict.fromkeys([stop] if isinstance(stop, str) else stop))


def _refuse_undone(body: _Sampled) -> None:
    given: Mapping[str, Any] = {
        name: getattr(body, name) for name in _NEUTRAL if hasattr(body, name)
    }
    for name, value in given.items():
        if value is not None and value not in _NEUTRAL[name]:
            raise BadRequest(f"{name} is not done here", name, "unsupported_parameter")
    if isinstance(body, CompletionBody) and body.best_of not in (None, body.n or 1):
        raise BadRequest(
            "best_of is not done here: ask for n and choose", "best_of", "unsupported_parameter"
        )
    if isinstance(body, ChatBody):
        if body.top_logprobs is not None and not body.logprobs:
            raise BadRequest("only with logprobs", "top_logprobs")
        for message in body.messages:
            if message.tool_calls or message.function_call or message.audio:
                raise BadRequest(
                    "calls of tools are not done here", "messages", "unsupported_parameter"
                )


# The values of a field that change nothing; any other asks for something that is not done.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logit_bias": ({},),
    "suffix": ("",),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "store": (False,),
    "service_tier": ("auto", "default"),
}


def _named(kind: type[_Body], error: ValidationError) -> BadRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    # The members of a union stand in the path by their type's name, which no client knows.
    name = path[0] if path else None
    if first["type"] == "extra_forbidden":
        return BadRequest(f"unknown field: {'.'.join(path)}", ".".join(path))
    if name == "prompt" and first["type"] != "missing":
        return BadRequest(
            "prompt must be a text, a list of texts, token ids or a list of lists of them", name
        )
    if "content" in path:
        return BadRequest(
            "a message's content is a text, or a list of parts of type text", ".".join(path[:3])
        )
    places = ".".join(part for part in path if part.isdigit() or part in _FIELDS)
    return BadRequest(f"{places or 'body'}: {first['msg']}", places or None)


_FIELDS = frozenset(
    name
    for kind in (CompletionBody, ChatBody, ChatMessage, TextPart, TokenizeBody, DetokenizeBody)
    for name in kind.model_fields
) | {"include_usage"}
