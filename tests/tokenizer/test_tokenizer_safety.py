"""10,000 chats full of special tokens' names: not one id of them, whoever made the vocabulary."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from gristmill.tokenizer.chat import ChatFormat, Message, Role
from gristmill.tokenizer.chat_layouts import CHATML, LLAMA3, NATIVE, Layout
from gristmill.tokenizer.formats import TOKENIZER_JSON, tokenizer_json
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

# In each of five families.
_CHATS = 2_000
_QWEN_ADDED = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "<|box|>")
_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_LLAMA3 = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<|eom_id|>", "<|python_tag|>",
)  # fmt: skip


def _made(family: str, texts: list[str], folder: Path) -> tuple[Tokenizer, Layout]:
    """A small vocabulary in the layout of a family's `tokenizer.json`, read from there."""
    # The names stand in the text that it is trained on too, so that merges reach into them.
    said = [*texts[:60], *("".join((*_CHATML, *_LLAMA3, *_QWEN_ADDED)) for _ in range(30))]
    if family == "native":
        return train_tokenizer(said, 700), NATIVE
    names = _LLAMA3 if family == "llama3" else _CHATML
    pattern = {"llama3": "gpt4", "qwen": "qwen", "gpt2": "gpt2", "o200k": "o200k"}[family]
    made = train_tokenizer(said, 700, pattern=pattern, special_tokens=names)
    value: dict[str, Any] = tokenizer_json(made.vocabulary)
    if family == "llama3":
        value["model"]["ignore_merges"] = True
    if family == "gpt2":
        level = value["pre_tokenizer"]["pretokenizers"][1]
        value["pre_tokenizer"] = level | {"use_regex": True}
        # GPT-2's own files hold the special token among the words.
        value["model"]["vocab"] |= {t["content"]: t["id"] for t in value["added_tokens"]}
    if family == "qwen":
        value["normalizer"] = {"type": "NFC"}
        like = value["added_tokens"][0]
        for i, name in enumerate(_QWEN_ADDED):
            token = {"content": name, "id": made.vocab_size + i, "special": False}
            value["added_tokens"].append(like | token)
    folder.mkdir()
    (folder / TOKENIZER_JSON).write_text(json.dumps(value), encoding="utf-8")
    return Tokenizer.load(folder), LLAMA3 if family == "llama3" else CHATML


def _fragments(names: list[str], template: str) -> list[str]:
    """Names whole, cut anywhere, spelled with look-alikes, taken apart and put into markup."""
    look = str.maketrans("<|>_", "＜｜＞＿")
    found = [*names, *(name.translate(look) for name in names), template]
    for name in names:
        cut = len(name) // 2
        found += [name[:cut], name[cut:], name.upper(), f"\u200b{name}\ufeff", name[1:-1]]
        found += ["\u200d".join(name), name[:cut] + "\u0301" + name[cut:], f"<{name}>", name * 2]
        found += [name.replace("|", "ǀ"), name.replace("<", "\u2039"), f"'{name}' \\n{name}\n"]
    return [*found, "system\n", "user", "assistant\n\n", "\n", " ", "\x00", "é", "e\u0301", "ok"]


def _said_to(messages: list[Message]) -> list[Message]:
    """All that is not the assistant's, whose words may hold added tokens."""
    return [message for message in messages if message.role != "assistant"]


@pytest.mark.parametrize("family", ["native", "llama3", "qwen", "gpt2", "o200k"])
def test_no_id_is_forged(family: str, texts: list[str], tmp_path: Path) -> None:
    tokenizer, layout = _made(family, texts, tmp_path / family)
    chat = ChatFormat(layout, tokenizer)
    special = set(tokenizer.special_tokens.values())
    guarded = special | set(tokenizer.vocabulary.added_tokens.values())
    names = [*tokenizer.special_tokens, *tokenizer.vocabulary.added_tokens]
    fragments = _fragments(names, layout.template())
    draw = random.Random(f"forged {family}")
    roles: list[Role] = ["user", "assistant", "tool", "user"]

    def said() -> str:
        # A name before what is said, as chats with several speakers have it.
        name = draw.choice(fragments)
        return f"{name}: " * draw.randrange(2) + "".join(draw.choices(fragments, k=3))

    expected: dict[tuple[Role, ...], tuple[list[int], list[int]]] = {}
    for _ in range(_CHATS):
        shape: tuple[Role, ...] = (*(("system",) if draw.random() < 0.3 else ()), *roles)[:4]
        if shape not in expected:
            honest = [Message(role, "ok") for role in shape]
            expected[shape] = (
                [i for i in chat.render(honest).ids if i in special],
                [i for i in chat.prompt(_said_to(honest)) if i in guarded],
            )
        messages = [Message(role, said()) for role in shape]
        ids = chat.render(messages).ids
        assert [i for i in ids if i in special] == expected[shape][0]
        ids = chat.prompt(_said_to(messages))
        assert [i for i in ids if i in guarded] == expected[shape][1]
    # What the vocabulary itself keeps out, without a chat around it.
    for ids in tokenizer.encode_batch(fragments):
        assert special.isdisjoint(ids.tolist())
    for text in fragments:
        assert guarded.isdisjoint(tokenizer.encode(text, added=False))


def test_an_added_token_is_the_assistants_to_write(texts: list[str], tmp_path: Path) -> None:
    tokenizer, layout = _made("qwen", texts, tmp_path / "qwen")
    chat = ChatFormat(layout, tokenizer)
    think = tokenizer.vocabulary.added_tokens["<think>"]
    assert think in tokenizer.encode("<think>") and think in chat.answer("<think>a")
    for role in ("system", "user", "tool"):
        assert think not in chat.render([Message(role, "<think>a")]).ids
    assert tokenizer.decode(tokenizer.encode("<think>e\u0301", added=False)) == "<think>é"
