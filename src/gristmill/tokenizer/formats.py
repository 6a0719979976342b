"""Tokenizers as files: `tokenizer.json`, `ranks.tiktoken` and `tokenizer_config.json`.

`tokenizer.json` is the one that is read back; the `tokenizers` library loads it and gives the
same ids. One difference is that library's design: it turns text that spells a special token into
that token, unless `encode_special_tokens` is set (`split_special_tokens=True` in transformers).
Here text is always text.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from gristmill.core.canonical import write_json, write_text_atomic
from gristmill.core.errors import GristmillError
from gristmill.tokenizer.patterns import REGEXES
from gristmill.tokenizer.vocabulary import END_OF_TEXT, PADDING, Vocabulary

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
RANKS = "ranks.tiktoken"


def write_tokenizer(folder: Path, vocabulary: Vocabulary) -> None:
    """Writes the three files into an existing folder."""
    text = json.dumps(tokenizer_json(vocabulary), ensure_ascii=False, indent=1)
    write_text_atomic(folder / TOKENIZER_JSON, text + "\n")
    write_text_atomic(folder / RANKS, tiktoken_ranks(vocabulary))
    write_json(folder / TOKENIZER_CONFIG, tokenizer_config(vocabulary))


def read_tokenizer(path: Path) -> Vocabulary:
    """The vocabulary in a `tokenizer.json`, given the file or its folder.

    Raises GristmillError for what is not byte-level BPE with a pre-tokenizer known here.
    """
    file = path / TOKENIZER_JSON if path.is_dir() else path
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GristmillError(
            "no tokenizer here", where=file, mend="give a folder with one"
        ) from None
    except ValueError as error:
        raise GristmillError(f"not readable as JSON: {error}", where=file) from None
    try:
        return _vocabulary(value)
    except GristmillError as error:
        raise GristmillError(error.what, where=file, mend=error.mend) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise GristmillError(f"not a tokenizer.json: {error!r}", where=file) from None


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of `tokenizer.json`, in the layout of `tokenizers` 0.20 and later."""
    spelled = [spell(token) for token in vocabulary.tokens]
    special = set(vocabulary.special_tokens.values())
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token_id,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for name, token_id in sorted(vocabulary.special_tokens.items(), key=lambda i: i[1])
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": REGEXES[vocabulary.pattern]},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                },
            ],
        },
        "post_processor": None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {word: i for i, word in enumerate(spelled) if i not in special},
            "merges": [[spelled[left], spelled[right]] for left, right in vocabulary.merges],
        },
    }


def tiktoken_ranks(vocabulary: Vocabulary) -> str:
    """One `base64(token) rank` a line, special tokens left out, as tiktoken reads them."""
    special = set(vocabulary.special_tokens.values())
    lines = [
        f"{base64.b64encode(token).decode()} {rank}\n"
        for rank, token in enumerate(vocabulary.tokens)
        if rank not in special
    ]
    return "".join(lines)


def tokenizer_config(vocabulary: Vocabulary) -> dict[str, Any]:
    """What transformers wants beside `tokenizer.json`. Documents end with `<|endoftext|>`."""
    names = list(vocabulary.special_tokens)
    end = END_OF_TEXT if END_OF_TEXT in names else None
    padding = PADDING if PADDING in names else None
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end,
        "eos_token": end,
        "pad_token": padding,
        "unk_token": None,
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "extra_special_tokens": [name for name in names if name not in (end, padding)],
    }


def spell(token: bytes) -> str:
    """A token in the printable alphabet of GPT-2: one character for each byte."""
    return "".join(_BYTE_LETTERS[byte] for byte in token)


def unspell(word: str) -> bytes:
    """The inverse of `spell`."""
    return bytes(_LETTER_BYTES[letter] for letter in word)


def _byte_letters() -> list[str]:
    """Printable Latin-1 stands for itself, the other bytes for the characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    letters = {byte: chr(byte) for byte in printable}
    letters.update((byte, chr(0x100 + n)) for n, byte in enumerate(others))
    return [letters[byte] for byte in range(256)]


_BYTE_LETTERS = _byte_letters()
_LETTER_BYTES = {letter: byte for byte, letter in enumerate(_BYTE_LETTERS)}


def _vocabulary(value: dict[str, Any]) -> Vocabulary:
    model = value["model"]
    if model["type"] != "BPE" or model.get("byte_fallback") or model.get("ignore_merges"):
        raise GristmillError(
            "not byte-level BPE in merge order", mend="convert it with the tool that made it"
        )
    if value.get("normalizer"):
        raise GristmillError("it normalises text, so that decoding would not give the text back")
    special = {t["content"]: t["id"] for t in value["added_tokens"]}
    words: dict[str, int] = model["vocab"]
    size = 1 + max([*words.values(), *special.values()])
    tokens = [b""] * size
    for word, token_id in words.items():
        if word not in special:
            tokens[token_id] = unspell(word)
    for name, token_id in special.items():
        tokens[token_id] = name.encode()
    if not all(tokens):
        raise GristmillError(f"id {tokens.index(b'')} has no token")
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    return Vocabulary(
        tokens=tuple(tokens),
        merges=tuple((words[left], words[right]) for left, right in pairs),
        merged_ids=tuple(words[left + right] for left, right in pairs),
        special_tokens=special,
        pattern=_pattern(value["pre_tokenizer"]),
    )


def _pattern(pre_tokenizer: dict[str, Any]) -> str:
    """The name of the pre-tokenizer; only what is exactly known is taken."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    last = steps[-1]
    if last["type"] == "ByteLevel" and not last["add_prefix_space"]:
        if len(steps) == 1 and last.get("use_regex", True):
            return "gpt2"
        if len(steps) == 2 and steps[0]["type"] == "Split" and not last.get("use_regex", True):
            for name, regex in REGEXES.items():
                if steps[0]["pattern"] == {"Regex": regex} and steps[0]["behavior"] == "Isolated":
                    return name
    raise GristmillError(
        "its pre-tokenizer is not known here", mend=f"known are {', '.join(REGEXES)}"
    )
