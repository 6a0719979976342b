"""A vocabulary as the metadata of a GGUF file, for llama.cpp (its docs/gguf.md, src/llama-vocab).

llama.cpp knows pre-tokenizers by name only; one that it does not know is refused here, because it
would be replaced there by another without a word.
"""

from __future__ import annotations

from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.letters import spell
from gristmill.tokenizer.vocabulary import Vocabulary

# Our pattern: llama.cpp's name of the same one. That of Llama 3 takes whole pretokens before it
# merges; a token that BPE training made comes out of its own merges whole, so nothing differs.
PRETOKENIZERS = {"gpt4": "llama-bpe", "gpt2": "gpt-2", "qwen": "qwen2", "smollm": "smollm"}
# What it has instead, so that a refusal can say what would differ.
_NEARLY = {
    "o200k": "takes capitals beyond A to Z for small letters too, marks for none ('gpt-4o')",
    "digits-right": "counts digits from the left, or cuts nothing but digits ('superbpe')",
    "digits-free": "takes at most three digits together where words are cut as here",
    "code": "leaves the last blank of an indentation to the word behind it",
    "scripts": "cuts such scripts only together with other rules ('deepseek-v3', 'afmoe')",
}
_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5


def gguf_note(vocabulary: Vocabulary) -> str | None:
    """What llama.cpp does otherwise with a vocabulary that it takes; None where nothing."""
    if vocabulary.normalizer is None:
        return None
    return (
        f"llama.cpp does not bring text to {vocabulary.normalizer}: letters and marks that are "
        "written apart get other ids there."
    )


def gguf_metadata(vocabulary: Vocabulary) -> dict[str, Any]:
    """model, pre, tokens, types and merges as they stand in the file under `tokenizer.ggml`.

    Raises GristmillError for what llama.cpp would read otherwise than it is meant.
    """
    whole_words = vocabulary.ignore_merges and not vocabulary.merges
    if whole_words or not vocabulary.by_merges:
        raise GristmillError(
            "llama.cpp encodes in merge order, and this tokenizer takes the longest match or whole "
            "words",
            mend="train a tokenizer of kind bpe, matched in merge order",
        )
    pre = PRETOKENIZERS.get(vocabulary.pattern)
    if pre is None:
        reason = _NEARLY.get(vocabulary.pattern, "knows nothing like it")
        raise GristmillError(
            f"llama.cpp has no pre-tokenizer '{vocabulary.pattern}': it {reason}",
            mend=f"train the tokenizer with one of {', '.join(PRETOKENIZERS)}",
        )
    if vocabulary.normalizer is not None and pre != "qwen2":
        raise GristmillError(
            f"llama.cpp does not bring text to {vocabulary.normalizer} for this tokenizer",
            mend="export to transformers instead: gristmill export hf",
        )
    if vocabulary.ignore_merges and pre != "llama-bpe":
        raise GristmillError(
            "llama.cpp does not ignore merges for this pre-tokenizer",
            mend="export to transformers instead: gristmill export hf",
        )
    names = {number: name for name, number in vocabulary.special_tokens.items()}
    added = {number: name for name, number in vocabulary.added_tokens.items()}
    tokens, types = [], []
    for number, token in enumerate(vocabulary.tokens):
        if number in names:
            tokens.append(names[number])
            types.append(_CONTROL)
        elif number in added:
            tokens.append(added[number])
            types.append(_USER)
        elif token:
            tokens.append(spell(token))
            types.append(_NORMAL)
        else:  # a row that only fills the embedding
            tokens.append(f"[PAD{number}]")
            types.append(_UNUSED)
    merges = [
        f"{spell(vocabulary.tokens[left])} {spell(vocabulary.tokens[right])}"
        for left, right in vocabulary.merges
    ]
    return {"model": "gpt2", "pre": pre, "tokens": tokens, "types": types, "merges": merges}
