"""Tokenizers as files: `tokenizer.json`, `ranks.tiktoken` and `tokenizer_config.json`.

`tokenizer.json` is the one that is read back (foreign.py knows those of other makers); the
`tokenizers` library loads it and gives the same ids. One difference is that library's design: it
turns text that spells a special token into that token, unless `encode_special_tokens` is set
(`split_special_tokens=True` in transformers). Here text is always text.

A vocabulary for longest match is stored as WordPiece without a prefix, which is that library's
name for it, and one of words with a token for the unknown as WordLevel: both give the same ids
there, and neither has ranks for tiktoken, which only merges.
"""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from gristmill.core.canonical import write_json, write_text_atomic
from gristmill.core.errors import GristmillError
from gristmill.tokenizer.foreign import OTHER_MODEL, SENTENCEPIECE, Beside, foreign_vocabulary
from gristmill.tokenizer.letters import spell
from gristmill.tokenizer.patterns import REGEXES
from gristmill.tokenizer.vocabulary import Vocabulary

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
RANKS = "ranks.tiktoken"
_SENTENCEPIECE = "tokenizer.model"
# WordPiece wants a name for what has no token; every byte has one.
_NO_UNKNOWN = "[UNK]"


def write_tokenizer(folder: Path, vocabulary: Vocabulary) -> None:
    """Writes the three files into an existing folder.

    A foreign vocabulary whose ids do not follow its merges gets no `ranks.tiktoken`.
    """
    text = json.dumps(tokenizer_json(vocabulary), ensure_ascii=False, indent=1)
    write_text_atomic(folder / TOKENIZER_JSON, text + "\n")
    if ranks_are_ids(vocabulary):
        write_text_atomic(folder / RANKS, tiktoken_ranks(vocabulary))
    write_json(folder / TOKENIZER_CONFIG, tokenizer_config(vocabulary))


def read_tokenizer(path: Path) -> Vocabulary:
    """The vocabulary in a `tokenizer.json`, given the file or its folder.

    Which special tokens begin, end and pad comes from the files beside it, where there are any.
    Raises GristmillError for what is not byte-level BPE with a pre-tokenizer known here.
    """
    file = path / TOKENIZER_JSON if path.is_dir() else path
    if not file.exists() and (file.parent / _SENTENCEPIECE).exists():
        raise GristmillError(SENTENCEPIECE, where=file.parent, mend=OTHER_MODEL)
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GristmillError(
            "no tokenizer here", where=file, mend="give a folder with one"
        ) from None
    except ValueError as error:
        raise GristmillError(f"not readable as JSON: {error}", where=file) from None
    try:
        return foreign_vocabulary(value, _beside(file))
    except GristmillError as error:
        raise GristmillError(error.what, where=file, mend=error.mend) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise GristmillError(f"not a tokenizer.json: {error!r}", where=file) from None


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of `tokenizer.json`, in the layout of `tokenizers` 0.20 and later."""
    spelled = [spell(token) for token in vocabulary.tokens]
    named = {**vocabulary.special_tokens, **vocabulary.added_tokens}
    apart = set(named.values()) - set(vocabulary.merged_ids)
    words = {word: i for i, word in enumerate(spelled) if vocabulary.tokens[i] and i not in apart}
    if words and apart and min(apart) < max(words.values()):
        # Added tokens get the ids behind the vocabulary, unless they stand in it.
        words |= {name: i for name, i in named.items() if i in apart}
        words = dict(sorted(words.items(), key=lambda item: item[1]))
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
                "special": name in vocabulary.special_tokens,
            }
            for name, token_id in sorted(named.items(), key=lambda i: i[1])
        ],
        "normalizer": vocabulary.normalizer and {"type": vocabulary.normalizer},
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
        "post_processor": _bos_template(vocabulary),
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": _model(vocabulary, words, spelled),
    }


def _model(vocabulary: Vocabulary, words: dict[str, int], spelled: list[str]) -> dict[str, Any]:
    """BPE in merge order; WordPiece, which is longest match; WordLevel, which has unknown words."""
    if vocabulary.unknown is not None:
        # It takes the id of what is unknown from its own words.
        words = {**words, vocabulary.unknown: vocabulary.special_tokens[vocabulary.unknown]}
        return {"type": "WordLevel", "vocab": words, "unk_token": vocabulary.unknown}
    if vocabulary.match == "longest":
        return {
            "type": "WordPiece",
            "unk_token": _NO_UNKNOWN,
            "continuing_subword_prefix": "",
            "max_input_chars_per_word": 1 << 30,
            "vocab": words,
        }
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": vocabulary.ignore_merges,
        "vocab": words,
        "merges": [[spelled[left], spelled[right]] for left, right in vocabulary.merges],
    }


def tiktoken_ranks(vocabulary: Vocabulary) -> str:
    """One `base64(token) rank` a line, special tokens left out, as tiktoken reads them."""
    special = set(vocabulary.special_tokens.values())
    lines = [
        f"{base64.b64encode(token).decode()} {rank}\n"
        for rank, token in enumerate(vocabulary.tokens)
        if token and rank not in special
    ]
    return "".join(lines)


def tokenizer_config(vocabulary: Vocabulary) -> dict[str, Any]:
    """What transformers wants beside `tokenizer.json`. Documents end with `<|endoftext|>`."""
    names = list(vocabulary.special_tokens)
    end = vocabulary.eos or vocabulary.end_of_text
    padding = vocabulary.padding if vocabulary.padding != vocabulary.end_of_text else None
    begin = vocabulary.bos or vocabulary.end_of_text
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "eos_token": end,
        "pad_token": padding,
        "unk_token": vocabulary.unknown,
        "add_bos_token": vocabulary.add_bos,
        "add_eos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "extra_special_tokens": [
            name for name in names if name not in (begin, end, padding, vocabulary.unknown)
        ],
    }


def ranks_are_ids(vocabulary: Vocabulary) -> bool:
    """Whether ids are ranks, in the order in which tiktoken would merge."""
    made = vocabulary.merged_ids
    in_order = all(a < b for a, b in pairwise(made))
    # tiktoken merges whatever gives a token, so it cannot keep words whole or take the longest.
    merged = vocabulary.by_merges and (bool(made) or not vocabulary.ignore_merges)
    return in_order and merged and not vocabulary.missing_bytes and not vocabulary.added_tokens


def _bos_template(vocabulary: Vocabulary) -> dict[str, Any] | None:
    """Puts the beginning before a text, as the model behind a foreign vocabulary expects."""
    name = vocabulary.bos
    if not vocabulary.add_bos or name is None:
        return None
    begin = {"SpecialToken": {"id": name, "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    token = {"id": name, "ids": [vocabulary.special_tokens[name]], "tokens": [name]}
    return {
        "type": "TemplateProcessing",
        "single": [begin, first],
        "pair": [begin, first, {"SpecialToken": {"id": name, "type_id": 1}}, second],
        "special_tokens": {name: token},
    }


def _beside(file: Path) -> Beside:
    """What the files beside a `tokenizer.json` say; nothing where they cannot be read."""
    found: list[dict[str, Any]] = []
    for name in (TOKENIZER_CONFIG, "special_tokens_map.json", "config.json"):
        try:
            value = json.loads((file.parent / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            value = {}
        found.append(value if isinstance(value, dict) else {})
    config, special, model = found
    rows = model.get("vocab_size")
    roles: dict[str, Any] = {}
    for role in ("bos", "eos", "pad"):
        named = config.get(f"{role}_token", special.get(f"{role}_token"))
        roles[role] = named.get("content") if isinstance(named, dict) else named
    return Beside(
        **roles,
        add_bos=config.get("add_bos_token") is True,
        rows=rows if isinstance(rows, int) else 0,
    )
