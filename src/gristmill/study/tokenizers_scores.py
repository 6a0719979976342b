"""What each model of `study tokenizers` gets: bits of held-out text, sums right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gristmill.core.canonical import read_json
from gristmill.core.errors import GristmillError
from gristmill.evaluate.likelihood import score_documents
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Request, Sampling
from gristmill.model.device import choose_device
from gristmill.model.flops import (
    attention_flops_per_token,
    count_parameters,
    flops_per_token,
    forward_flops_per_token,
)
from gristmill.model.weights import load_model
from gristmill.study.misspelling import misspelled
from gristmill.tokenizer.corpus import split_texts
from gristmill.tokenizer.tokenizer import Tokenizer

_COUNTED_BYTES = 1 << 20
ATTENDED_BYTES = 4096
"""Length of the text that attention's cost is told for."""


@dataclass(frozen=True)
class Texts:
    """The held-out texts, clean and with slips, and the bits of each byte by its frequency in the
    training text (257: the end of a word)."""

    clean: list[str]
    slipped: list[str]
    byte_bits: list[float]


def read_texts(mixture: Path, most: int, share: float, seed: int) -> Texts:
    """The first held-out documents of a mixture. Raises GristmillError where it has none."""
    clean = []
    for text in split_texts(mixture, "heldout"):
        clean.append(text)
        if len(clean) == most:
            break
    if not clean:
        raise GristmillError("the mixture holds nothing out", where=mixture)
    slipped = [misspelled(text, share, seed + place) for place, text in enumerate(clean)]
    counts = np.ones(257)
    for text in split_texts(mixture, "train", _COUNTED_BYTES):
        data = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
        counts[:256] += np.bincount(data, minlength=256)
        counts[256] += len(text.split())
    return Texts(clean, slipped, (-np.log2(counts / counts.sum())).tolist())


def score_text(model_folder: Path, texts: Texts, device: str) -> dict[str, Any]:
    """Bits per byte, tokens and unknown words of a model on both texts, and what it costs."""
    model = load_model(model_folder, choose_device(device))
    tokenizer = Tokenizer.load(model_folder)
    engine = Engine(model, context=model.config.context)
    found: dict[str, Any] = {
        "vocabulary": tokenizer.vocab_size,
        "trained_tokens": read_json(model_folder / "training.json")["tokens"],
    }
    for name, documents in (("clean", texts.clean), ("misspelled", texts.slipped)):
        found[name] = _bits(engine, tokenizer, documents, texts.byte_bits)
    count = count_parameters(model.config)
    per_token = found["clean"]["bytes"] / found["clean"]["tokens"]
    keys = (ATTENDED_BYTES / per_token + 1) / 2
    found["costs"] = {
        "parameters": count.total,
        "head": count.head,
        "context": model.config.context,
        "attention_flops_per_byte": attention_flops_per_token(model.config, keys) / per_token,
        "flops_per_byte": forward_flops_per_token(model.config, keys) / per_token,
        "training_flops_per_byte": flops_per_token(model.config) / per_token,
    }
    return found


def _bits(
    engine: Engine, tokenizer: Tokenizer, texts: Sequence[str], byte_bits: Sequence[float]
) -> dict[str, Any]:
    documents = [ids.astype(np.int64) for ids in tokenizer.encode_batch(texts)]
    context = engine.model.config.context
    scores = score_documents(engine, documents, tokenizer.eot_id, context, None)
    bits = [-float(log_p[:-1].sum()) / math.log(2) for log_p in scores]
    lost = np.zeros(257)
    unknown = 0
    if tokenizer.vocabulary.unknown is not None:
        unknown_id = tokenizer.special_tokens[tokenizer.vocabulary.unknown]
        lost, unknown = _lost(tokenizer, unknown_id, texts, documents)
    spelling = float(lost @ np.array(byte_bits))
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    tokens = sum(map(len, documents))
    return {
        "bytes": size,
        "tokens": tokens,
        "documents": len(documents),
        "unknown": unknown,
        "spelling_bits": spelling,
        "bits_per_byte": (math.fsum(bits) + spelling) / size,
        "bits_per_token": math.fsum(bits) / max(1, tokens),
    }


def _lost(
    tokenizer: Tokenizer, unknown_id: int, texts: Sequence[str], documents: Sequence[Any]
) -> tuple[Any, int]:
    """How often each byte stands in words that became the unknown token, and how many those are (as
    the count of ends, too): what has to be spelled before the text can be read back."""
    lost = np.zeros(257)
    unknown = 0
    for text, ids in zip(texts, documents, strict=True):
        known = tokenizer.decode_bytes(ids[ids != unknown_id])
        for data, sign in ((text.encode("utf-8", "replace"), 1), (known, -1)):
            lost[:256] += sign * np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
        unknown += int(np.count_nonzero(ids == unknown_id))
    lost[256] = unknown
    return lost, unknown


def score_sums(
    model_folder: Path, asked: Mapping[str, Sequence[Sequence[int]]], device: str
) -> dict[str, Any]:
    """Held-out additions answered exactly, by the digits of the longer operand; greedy choice."""
    model = load_model(model_folder, choose_device(device))
    tokenizer = Tokenizer.load(model_folder)
    engine = Engine(model, context=model.config.context)
    pairs = [(digits, a, b) for digits, each in asked.items() for a, b in each]
    eot = tokenizer.eot_id
    sampling = Sampling(max_tokens=16, temperature=0.0, stop_ids=(eot,))
    requests = [
        Request([eot, *tokenizer.encode(f"{a}+{b}=")], sampling) for _, a, b in pairs
    ]  # fmt: skip
    right = dict.fromkeys(asked, 0)
    tokens = 0
    examples: list[list[str]] = []
    for (digits, a, b), answer in zip(pairs, engine.generate(requests), strict=True):
        said = tokenizer.decode([i for i in answer.tokens if i != eot])
        # An answer that does not end is none.
        good = said == str(a + b) and answer.finish == "stop"
        right[digits] += good
        tokens += len(tokenizer.encode(f"{a}+{b}={a + b}"))
        if not good and len(examples) < 5:
            examples.append([f"{a}+{b}", str(a + b), said])
    return {
        "vocabulary": tokenizer.vocab_size,
        "asked": {digits: len(each) for digits, each in asked.items()},
        "right": right,
        "tokens_per_sum": tokens / len(pairs),
        "parameters": count_parameters(model.config).total,
        "wrong": examples,
    }
