"""Names of persons in a text, by the tagger that is trained in `name_training`.

Its weights come with the package as safetensors. It reads scripts with capitals; in others, and in
texts without capitals, it finds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from gristmill.core.canonical import canonical_json
from gristmill.core.errors import GristmillError
from gristmill.data.filters.characters import class_table, lower_table
from gristmill.data.filters.word_lists import FUNCTION_WORDS
from gristmill.data.personal_data import name_lists
from gristmill.data.personal_data.births import BIRTH_WORDS
from gristmill.data.personal_data.name_kernel import find_names, find_places
from gristmill.data.personal_data.name_words import (
    BIRTH,
    FIRST,
    HEAD,
    LAST,
    OTHER,
    PARTICLE,
    PRONOUN,
    ROLE,
    STREET,
    TITLE,
    word_hash,
)
from gristmill.data.personal_data.streets import STREET_WORDS

FORMAT: Final = "gristmill tagger of persons 1"
SHIPPED: Final = Path(__file__).with_name("names.safetensors")
Codes = npt.NDArray[np.uint32]


def code_points(text: str) -> Codes:
    """uint32, one for each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@dataclass(frozen=True)
class WordTable:
    """What is known of words: an open-addressed table of hashes, and bits for each."""

    keys: npt.NDArray[np.uint64]
    values: npt.NDArray[np.uint16]

    @classmethod
    def build(
        cls, first: Iterable[str] = name_lists.FIRST_NAMES, last: Iterable[str] = ()
    ) -> WordTable:
        """Of the lists in `name_lists`, with these names."""
        known: dict[int, int] = {}
        lowers = lower_table()
        for words, bit in (
            (first, FIRST),
            (last or name_lists.LAST_NAMES, LAST),
            (name_lists.TITLES, TITLE),
            (name_lists.PARTICLES, PARTICLE),
            (name_lists.OTHER_HEADS, HEAD),
            (name_lists.OTHER_WORDS, OTHER),
            (name_lists.COMMON_WORDS, OTHER),
            (FUNCTION_WORDS["en"].split(), OTHER),
            (name_lists.ROLES, ROLE),
            (name_lists.PRONOUNS, PRONOUN),
            (STREET_WORDS, STREET),
            (BIRTH_WORDS, BIRTH),
        ):
            for name in words:
                for word in name.replace("_", " ").split():
                    if bit == LAST and word[0].islower():
                        continue
                    codes = code_points(word)
                    value = int(word_hash(codes, 0, len(codes), lowers))
                    known[value] = known.get(value, 0) | bit
        size = 1 << (2 * len(known)).bit_length()
        keys, values = np.zeros(size, np.uint64), np.zeros(size, np.uint16)
        for value, bits in known.items():
            at = value & (size - 1)
            while keys[at]:
                at = (at + 1) & (size - 1)
            keys[at], values[at] = value, bits
        return cls(keys, values)


@dataclass(frozen=True)
class NameTagger:
    """weights: float32 [2^bits, 3]; transitions: float64 [3, 3], from a label to the next."""

    weights: npt.NDArray[np.float32]
    transitions: npt.NDArray[np.float64]
    words: WordTable

    def find(self, text: str, least: float = 0.5) -> Iterator[tuple[int, int, float]]:
        """(start, end, probability) of each name, from left to right; titles do not belong to it.
        The time is linear in the text."""
        codes = code_points(text)
        room = len(codes) // 2 + 1
        spans = np.empty((room, 2), np.int32)
        certainty = np.empty(room, np.float64)
        found = find_names(
            codes, class_table(), lower_table(), self.words.keys, self.words.values,
            self.weights, self.transitions, least, spans, certainty,
        )  # fmt: skip
        for (start, end), chance in zip(
            spans[:found].tolist(), certainty[:found].tolist(), strict=True
        ):
            yield start, end, round(chance, 3)

    def save(self, path: Path) -> None:
        """Weights as float16: the rounding moves no probability by more than 0.01."""
        save_file(
            {
                "weights": self.weights.astype(np.float16),
                "transitions": self.transitions.astype(np.float32),
            },
            path,
            metadata={"tagger": canonical_json({"format": FORMAT})},
        )

    @classmethod
    def load(cls, path: Path) -> NameTagger:
        """Reads what `save` wrote. Raises GristmillError for any other file."""
        try:
            with safe_open(str(path), framework="numpy") as file:
                about = json.loads((file.metadata() or {})["tagger"])
                weights = file.get_tensor("weights").astype(np.float32)
                transitions = file.get_tensor("transitions").astype(np.float64)
            size = len(weights)
            if about["format"] != FORMAT or weights.shape != (size, 3) or size & (size - 1):
                raise ValueError(f"format {about['format']}, weights {weights.shape}")
        except Exception as error:  # safetensors raises its own types
            raise GristmillError(
                f"not a tagger of persons: {error}",
                where=path,
                mend="python -m gristmill.data.personal_data.name_training writes it anew",
            ) from error
        return cls(weights, transitions, _listed())


@lru_cache(maxsize=1)
def shipped_tagger() -> NameTagger:
    """The tagger that comes with the package."""
    return NameTagger.load(SHIPPED)


@lru_cache(maxsize=1)
def _listed() -> WordTable:
    return WordTable.build()


@lru_cache(maxsize=1)
def places(text: str) -> list[tuple[int, int, int]]:
    """(start, end, bits) of words around which an address (STREET, or 0 for a long word before a
    number) or a date of birth (BIRTH) may stand. The last text's are kept for the other kind."""
    codes = code_points(text)
    out = np.empty((len(codes) // 2 + 1, 3), np.int32)
    words = _listed()
    found = find_places(
        codes, class_table(), lower_table(), words.keys, words.values, STREET | BIRTH, out
    )
    return [(start, end, bits) for start, end, bits in out[:found].tolist()]
