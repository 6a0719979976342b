"""How chats are laid out in tokens, as data: ours, ChatML and Llama 3.

A layout is made of pieces. A special piece is one id; a text piece is a role's name or a line
break of the format itself, encoded as text. What people and models say is in neither.

    native   <|endoftext|> <|im_start|><|user|>Hello<|im_end|> <|im_start|><|assistant|>...
    chatml   <|im_start|>user\\nHello<|im_end|>\\n<|im_start|>assistant\\n...
    llama3   <|begin_of_text|><|start_header_id|>user<|end_header_id|>\\n\\nHello<|eot_id|>...

`separator` stands between two messages and not after the last, so that a chat that goes on begins
with exactly the ids of the chat so far.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.formats import TOKENIZER_CONFIG

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)

CHAT_JSON = "chat.json"
CHAT_TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True)
class Piece:
    """One special token by name, or text of the format itself."""

    kind: Literal["special", "text"]
    value: str


def special(name: str) -> Piece:
    return Piece("special", name)


def text(value: str) -> Piece:
    return Piece("text", value)


@dataclass(frozen=True)
class Layout:
    """Everything that one chat format is.

    opening: before the first message. headers: before the content, by role. end: the special
    token that ends every message. separator: between messages. default_system: the system message
    of a chat that brings none. strip: whether white space around a content is dropped.
    """

    name: str
    opening: tuple[Piece, ...]
    headers: Mapping[str, tuple[Piece, ...]] = field(hash=False)
    end: str
    separator: str = ""
    default_system: str | None = None
    strip: bool = False

    def special_tokens(self) -> list[str]:
        """The names of the special tokens that a tokenizer must have."""
        pieces = [*self.opening, *(piece for header in self.headers.values() for piece in header)]
        return sorted({self.end, *(piece.value for piece in pieces if piece.kind == "special")})

    def to_json(self) -> dict[str, Any]:
        """The content of `chat.json`."""
        return {
            "name": self.name,
            "opening": [{piece.kind: piece.value} for piece in self.opening],
            "headers": {
                role: [{piece.kind: piece.value} for piece in header]
                for role, header in self.headers.items()
            },
            "end": self.end,
            "separator": self.separator,
            "default_system": self.default_system,
            "strip": self.strip,
        }

    def template(self) -> str:
        """The same as a Jinja template, for tools that make strings.

        Such tools let a content that spells a special token become that token; reading by ids
        does not.
        """
        headers = {role: spelled(header) for role, header in self.headers.items()}
        content = '(message["content"] | trim)' if self.strip else 'message["content"]'
        opening = spelled(self.opening)
        if self.default_system is not None:
            default = headers["system"] + self.default_system + self.end + self.separator
            opening = f'{_quoted(opening)} + ("" if messages and messages[0]["role"] == "system"'
            opening += f" else {_quoted(default)})"
        else:
            opening = _quoted(opening)
        between, again = "", ""
        if self.separator:
            between = f'("" if loop.first else {_quoted(self.separator)}) + '
            again = f"{_quoted(self.separator)} + "
        late = 'message["role"] == "system" and not loop.first'
        lines = [
            f"{{%- set headers = {json.dumps(headers, ensure_ascii=False)} -%}}",
            f"{{{{- {opening} -}}}}",
            "{%- for message in messages -%}",
            f'{{%- if message["role"] not in headers or ({late}) -%}}',
            '{{- raise_exception("a role that is not known, or not at this place: "'
            ' + message["role"]) -}}',
            "{%- endif -%}",
            f'{{{{- {between}headers[message["role"]] + {content} + {_quoted(self.end)} -}}}}',
            "{%- endfor -%}",
            "{%- if add_generation_prompt -%}",
            f'{{{{- {again}headers["assistant"] -}}}}',
            "{%- endif -%}",
        ]
        return "\n".join(lines) + "\n"


def spelled(pieces: tuple[Piece, ...]) -> str:
    """Pieces as the text that other tools show for them."""
    return "".join(piece.value for piece in pieces)


def _quoted(value: str) -> str:
    # Jinja reads the escapes of JSON as they are meant; other letters stay as they are.
    return json.dumps(value, ensure_ascii=False)


NATIVE = Layout(
    name="native",
    opening=(special("<|endoftext|>"),),
    headers={role: (special("<|im_start|>"), special(f"<|{role}|>")) for role in ROLES},
    end="<|im_end|>",
)

CHATML = Layout(
    name="chatml",
    opening=(),
    headers={role: (special("<|im_start|>"), text(f"{role}\n")) for role in ROLES},
    end="<|im_end|>",
    separator="\n",
)

LLAMA3 = Layout(
    name="llama3",
    opening=(special("<|begin_of_text|>"),),
    headers={
        role: (
            special("<|start_header_id|>"),
            text("ipython" if role == "tool" else role),
            special("<|end_header_id|>"),
            text("\n\n"),
        )
        for role in ROLES
    },
    end="<|eot_id|>",
    strip=True,
)

# From the most special to the least: whatever fits native spells ChatML's tokens too.
LAYOUTS = (NATIVE, LLAMA3, CHATML)


def read_layout(folder: Path) -> Layout | None:
    """The layout of a model's folder: from `chat.json`, else by its chat template.

    None where the folder has neither, as a base model's. Raises GristmillError for a damaged
    file and for a template of a format that is not known here.
    """
    if (folder / CHAT_JSON).is_file():
        return _from_json(folder / CHAT_JSON)
    template = read_template(folder)
    return None if template is None else recognise(template, folder)


def read_template(folder: Path) -> str | None:
    """The chat template that transformers would take: its own file, or in the configuration."""
    if (folder / CHAT_TEMPLATE).is_file():
        return (folder / CHAT_TEMPLATE).read_text(encoding="utf-8")
    if not (folder / TOKENIZER_CONFIG).is_file():
        return None
    value = _read_json(folder / TOKENIZER_CONFIG).get("chat_template")
    if isinstance(value, list):
        # Several templates by name; the plain one is called default.
        named = {t.get("name"): t.get("template") for t in value if isinstance(t, dict)}
        value = named.get("default")
    return value if isinstance(value, str) and value.strip() else None


def recognise(template: str, where: Path | str | None = None) -> Layout:
    """The layout that a template spells, with its default system message.

    The template is not run, because it comes from outside: it is recognised by the tokens that it
    spells. What templates add for tools and dates is not taken over.
    """
    if "<|im_start|><|assistant|>" in template:
        return _with_default(NATIVE, template)
    for layout in (LLAMA3, CHATML):
        # What opens a chat is often written as `bos_token`, so it is not asked for.
        if all(name in template for name in replace(layout, opening=()).special_tokens()):
            return _with_default(layout, template)
    raise GristmillError(
        "its chat template is of a format that is not known here",
        where=where,
        mend=f"known are {', '.join(layout.name for layout in LAYOUTS)}; or write a {CHAT_JSON}",
    )


def _with_default(layout: Layout, template: str) -> Layout:
    """Finds a system message written out in the template: header, words, end in one string."""
    header = re.escape(spelled(layout.headers["system"])).replace("\\\n", r"(?:\n|\\n)")
    # The words hold no quote, brace or angle bracket, unless escaped: they are one literal.
    words = r"""((?:[^'"{}<\\]|\\.)+)"""
    found = re.search(header + words + re.escape(layout.end), template)
    if found is None:
        return layout
    default = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), found[1])
    return replace(layout, default_system=default)


def _from_json(file: Path) -> Layout:
    value = _read_json(file)
    try:
        layout = Layout(
            name=str(value["name"]),
            opening=_pieces(value["opening"]),
            headers={role: _pieces(value["headers"][role]) for role in ROLES},
            end=str(value["end"]),
            separator=str(value.get("separator", "")),
            default_system=value.get("default_system"),
            strip=bool(value.get("strip", False)),
        )
        if not (layout.default_system is None or isinstance(layout.default_system, str)):
            raise ValueError("default_system is not text")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GristmillError(
            f"not a chat format: {error!r}", where=file, mend="delete it, or make it again"
        ) from None
    return layout


def _pieces(value: list[dict[str, str]]) -> tuple[Piece, ...]:
    pieces = []
    for entry in value:
        ((kind, said),) = entry.items()
        if kind not in ("special", "text") or not isinstance(said, str):
            raise ValueError(f"neither special nor text: {entry}")
        pieces.append(special(said) if kind == "special" else text(said))
    return tuple(pieces)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GristmillError(f"not readable as JSON: {error}", where=file) from None
    if not isinstance(value, dict):
        raise GristmillError("not a JSON object", where=file)
    return value
