"""Vocabularies that others made: what `tokenizer.json` and GGUF metadata say, as a Vocabulary.

Only what is exactly known is taken: byte-level BPE with the pre-tokenizers of patterns.py, with
or without Unicode's composed form before it. The rest is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.letters import unspell
from gristmill.tokenizer.patterns import REGEXES
from gristmill.tokenizer.vocabulary import Vocabulary

SENTENCEPIECE = "a SentencePiece tokenizer (Llama 2, Mistral, Gemma), which is not read here"
OTHER_MODEL = (
    "choose a model with byte-level BPE, such as SmolLM2, Qwen or Llama 3, "
    "or convert it with the tool that made it"
)

# What llama.cpp calls the pre-tokenizers: (pattern, normalizer, ignore_merges).
_GGUF_PATTERNS: dict[str, tuple[str, Literal["NFC"] | None, bool]] = {
    "gpt-2": ("gpt2", None, False),
    "phi-2": ("gpt2", None, False),
    "smollm": ("smollm", None, False),
    "starcoder": ("smollm", None, False),
    "refact": ("smollm", None, False),
    "qwen2": ("qwen", "NFC", False),
    "deepseek-r1-qwen": ("qwen", "NFC", False),
    "llama-bpe": ("gpt4", None, True),
    "llama3": ("gpt4", None, True),
    "llama-v3": ("gpt4", None, True),
    "falcon3": ("gpt4", None, True),
    "lfm2": ("gpt4", None, True),
    "dbrx": ("gpt4", None, False),
    # llama.cpp cuts these a little otherwise than the files that they were converted from.
    "gpt-4o": ("o200k", None, False),
    "llama4": ("o200k", None, False),
}
_CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 3, 4, 5, 6


@dataclass(frozen=True)
class Beside:
    """What stands beside a `tokenizer.json`: names of roles, and the rows of the model."""

    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    add_bos: bool = False
    rows: int = 0


def foreign_vocabulary(value: Mapping[str, Any], beside: Beside) -> Vocabulary:
    """The vocabulary in the content of a `tokenizer.json`, ours or another's.

    Raises GristmillError for what is not known, and what a damaged file makes Python raise.
    """
    model = value["model"]
    if model["type"] in ("WordPiece", "WordLevel"):
        return _without_merges(value, beside)
    if model["type"] == "Unigram" or model.get("byte_fallback"):
        raise GristmillError(SENTENCEPIECE, mend=OTHER_MODEL)
    affixes = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
    if model["type"] != "BPE" or affixes or model.get("dropout"):
        raise GristmillError("not byte-level BPE in merge order", mend=OTHER_MODEL)
    pattern = _pattern(value["pre_tokenizer"])
    added = {t["content"]: t for t in value["added_tokens"]}
    for name, token in added.items():
        if not token.get("special", True) and any(
            token.get(flag) for flag in ("single_word", "lstrip", "rstrip")
        ):
            raise GristmillError(
                f"its added token {name!r} takes what stands around it too", mend=OTHER_MODEL
            )
    words: dict[str, int] = model["vocab"]
    tokens = [b""] * max(
        1 + max([*words.values(), *(t["id"] for t in added.values())]), beside.rows
    )
    for word, token_id in words.items():
        if word not in added:
            tokens[token_id] = unspell(word)
    for name, token in added.items():
        tokens[token["id"]] = name.encode()
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    special = {name: t["id"] for name, t in added.items() if t.get("special", True)}
    begins = _begins(value.get("post_processor"))
    bos = begins or beside.bos
    return Vocabulary(
        tokens=tuple(tokens),
        merges=tuple((words[left], words[right]) for left, right in pairs),
        merged_ids=tuple(words[left + right] for left, right in pairs),
        special_tokens=special,
        pattern=pattern,
        added_tokens={name: t["id"] for name, t in added.items() if name not in special},
        normalizer=_normalizer(value.get("normalizer")),
        ignore_merges=bool(model.get("ignore_merges")),
        bos=bos if bos in special else None,
        eos=beside.eos if beside.eos in special else None,
        pad=beside.pad if beside.pad in special else None,
        add_bos=(begins is not None or beside.add_bos) and bos in special,
    )


def _without_merges(value: Mapping[str, Any], beside: Beside) -> Vocabulary:
    """Ours for longest match, which is WordPiece in the alphabet of bytes, or for whole words."""
    model = value["model"]
    whole = model["type"] == "WordLevel"
    if not whole and model["continuing_subword_prefix"]:
        raise GristmillError("a WordPiece tokenizer, which is not read here", mend=OTHER_MODEL)
    if _normalizer(value.get("normalizer")) is not None:
        raise GristmillError("not byte-level BPE in merge order", mend=OTHER_MODEL)
    pattern = _pattern(value["pre_tokenizer"])
    special = {t["content"]: t["id"] for t in value["added_tokens"]}
    words: dict[str, int] = model["vocab"]
    tokens = [b""] * max(1 + max([*words.values(), *special.values()]), beside.rows)
    for word, token_id in words.items():
        if special.get(word) != token_id:
            tokens[token_id] = unspell(word)
    for name, token_id in special.items():
        tokens[token_id] = name.encode()

    def known(name: str | None) -> str | None:
        return name if name in special else None

    return Vocabulary(
        tokens=tuple(tokens),
        merges=(),
        merged_ids=(),
        special_tokens=special,
        pattern=pattern,
        ignore_merges=whole,
        bos=known(beside.bos),
        eos=known(beside.eos),
        pad=known(beside.pad),
        match="merge-order" if whole else "longest",
        unknown=model["unk_token"] if whole else None,
    )


def gguf_vocabulary(
    *,
    model: str,
    pre: str,
    tokens: Sequence[str],
    types: Sequence[int],
    merges: Sequence[str],
    bos_id: int | None = None,
    eos_id: int | None = None,
    pad_id: int | None = None,
    add_bos: bool = False,
) -> Vocabulary:
    """The vocabulary in a GGUF file's `tokenizer.ggml.*` metadata.

    tokens: spelled as in `tokenizer.json`. types: llama.cpp's, 3 control, 4 user-defined, 5
    unused. Raises GristmillError for what is not known or does not fit together.
    """
    if model != "gpt2":
        if model in ("llama", "t5"):
            raise GristmillError(SENTENCEPIECE, mend=OTHER_MODEL)
        raise GristmillError(f"a tokenizer of kind '{model}' is not read here", mend=OTHER_MODEL)
    if pre not in _GGUF_PATTERNS:
        raise GristmillError(
            f"its pre-tokenizer '{pre}' is not known here",
            mend=f"known are {', '.join(_GGUF_PATTERNS)}",
        )
    if len(types) != len(tokens) or _BYTE in types:
        raise GristmillError("its tokens and their types do not fit together")
    pattern, normalizer, ignore_merges = _GGUF_PATTERNS[pre]
    special = {name: i for i, name in enumerate(tokens) if types[i] == _CONTROL}
    added = {name: i for i, name in enumerate(tokens) if types[i] == _USER_DEFINED}
    place = {name: i for i, name in enumerate(tokens)}

    def named(token_id: int | None) -> str | None:
        if token_id is None or not 0 <= token_id < len(tokens):
            return None
        return tokens[token_id] if tokens[token_id] in special else None

    try:
        pairs = [_pair(merge) for merge in merges]
        return Vocabulary(
            tokens=tuple(
                name.encode() if types[i] in (_CONTROL, _USER_DEFINED)
                else b"" if types[i] == _UNUSED
                else unspell(name)
                for i, name in enumerate(tokens)
            ),
            merges=tuple((place[left], place[right]) for left, right in pairs),
            merged_ids=tuple(place[left + right] for left, right in pairs),
            special_tokens=special,
            pattern=pattern,
            added_tokens=added,
            normalizer=normalizer,
            ignore_merges=ignore_merges,
            bos=named(bos_id),
            eos=named(eos_id),
            pad=named(pad_id),
            add_bos=add_bos and named(bos_id) is not None,
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        raise GristmillError(f"its tokens and merges do not fit together: {error!r}") from None


def with_rows(vocabulary: Vocabulary, rows: int) -> Vocabulary:
    """The same with ids that stand for nothing up to a model's `rows`."""
    missing = max(0, rows - len(vocabulary.tokens))
    return replace(vocabulary, tokens=vocabulary.tokens + (b"",) * missing)


def _pair(merge: str) -> tuple[str, str]:
    left, right = merge.split(" ")
    return left, right


def _pattern(pre_tokenizer: Mapping[str, Any]) -> str:
    """The name of the pre-tokenizer; only what is exactly known is taken."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    last = steps[-1]
    if last["type"] == "ByteLevel" and not last["add_prefix_space"]:
        with_regex = last.get("use_regex", True)
        if len(steps) == 1 and with_regex:
            return "gpt2"
        if len(steps) == 2 and steps[0]["type"] == "Digits" and with_regex:
            if steps[0]["individual_digits"]:
                return "smollm"
        elif len(steps) == 2 and steps[0]["type"] == "Split" and not with_regex:
            isolated = steps[0]["behavior"] == "Isolated" and not steps[0].get("invert")
            for name, regex in REGEXES.items():
                if steps[0]["pattern"] == {"Regex": regex} and isolated:
                    return name
    raise GristmillError(
        "its pre-tokenizer is not known here", mend=f"known are {', '.join(REGEXES)}"
    )


def _normalizer(normalizer: Mapping[str, Any] | None) -> Literal["NFC"] | None:
    steps = [normalizer] if normalizer else []
    if normalizer and normalizer["type"] == "Sequence":
        steps = normalizer["normalizers"]
    if not steps:
        return None
    if any(step["type"] != "NFC" for step in steps):
        raise GristmillError("it normalises text, so that decoding would not give the text back")
    return "NFC"


def _begins(processor: Mapping[str, Any] | None) -> str | None:
    """The special token that a template puts before every text, where it does."""
    if not processor:
        return None
    for step in processor.get("processors", [processor]):
        if step["type"] == "TemplateProcessing":
            first = step["single"][0].get("SpecialToken")
            return None if first is None else str(first["id"])
    return None
