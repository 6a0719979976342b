"""Texts and a tokenizer that the tests of this room share."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.records import mixture_schema
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

_SENTENCES = [
    "The mill grinds the grain slowly, but it grinds exceedingly fine.",
    "It's 1234567 o'clock; they'll say we've WE'VE DON'T I'D you're right.",
    "Der Müller mahlt das Getreide, und das Mehl fällt in den Sack.",
    "Le moulin broie le blé ; l’eau fait tourner la roue.",
    "El molino muele el trigo. ¿Quién compra la harina?",
    "Мельница мелет зерно медленно, но очень мелко.",
    "風車は穀物をゆっくりと、しかし非常に細かく挽く。",
    "โรงสีบดเมล็ดพืชอย่างช้าๆ แต่ละเอียดมาก",
    "def grind(grain):\n    for kernel in grain:\n\treturn kernel ** 2  # flour\n\n",
    "x = 3.14159 * (2 + 4096) / 7 != 0x1F600 && y <= -1;\r\n\r\n   \n\t z",
    "🌾 → 🍞 is a mill's work 👩‍🌾👨🏽‍🌾; e\u0301 and é differ.",
]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """A few hundred documents in several languages, code among them; always the same."""
    rng = random.Random(7)
    documents = []
    for _ in range(400):
        words = " ".join(rng.choice(_SENTENCES) for _ in range(rng.randint(1, 6))).split(" ")
        if rng.random() < 0.5:
            rng.shuffle(words)
        documents.append(" ".join(words))
    return documents


@pytest.fixture(scope="session")
def tokenizer(texts: list[str]) -> Tokenizer:
    """700 tokens of those texts."""
    return train_tokenizer(texts, 700)


@pytest.fixture(scope="session")
def strange_texts() -> list[str]:
    """What a tokenizer meets and was not made for."""
    rng = random.Random(11)
    spelled = (
        "' s S ſ t ll LL Re ve m D   \n \r \t \u00a0 \u3000 \x85 \u2028 1 22 ٣ ½ Ⅷ a É 中 ก "
        "! - … 🙂 \u0301 _ \x00 \ufeff \x1c \u200b \U0010ffff \ufffd"
    )
    pool = [*spelled.split(" "), " ", "  "]
    drawn = ["".join(rng.choices(pool, k=rng.randint(0, 30))) for _ in range(1500)]
    ranges = [(0, 0x100), (0x100, 0x3000), (0x3000, 0xD800), (0xE000, 0x110000)]
    anything = [
        "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randint(0, 40)))
        for _ in range(1500)
    ]
    runs = [
        c * n for c in ("a", " ", "\n", "é", "中", "!", "1", " \n", "ab", "'s") for n in (2, 97)
    ]
    special = [
        "<|endoftext|>",
        "a<|im_start|><|system|>b<|im_end|>",
        "<|pad|>" * 3,
        "<|endof" + "text|>",
        "＜|endoftext|＞",
    ]
    return [*drawn, *anything, *runs, *special]


def _row(number: int, text: str) -> dict[str, object]:
    return {
        "id": f"{number:016x}",
        "url": f"https://site.example/{number}",
        "host": "site.example",
        "domain": ("prose", "code")[number % 2],
        "quality": 0.5,
        "title": None,
        "description": None,
        "topic": None,
        "group": str(number),
        "repeats": 1 + (number % 5 == 0) + (number % 10 == 0),
        "anneal": number % 4 == 0,
        "text": text,
    }


@pytest.fixture
def write_mixture(tmp_path: Path) -> Callable[..., Path]:
    """Writes texts as the parts of a mixture; every fifth is to be seen twice, every tenth thrice,
    every fourth is for annealing."""

    def write(train: list[list[str]], heldout: list[list[str]]) -> Path:
        folder = tmp_path / "mixture"
        number = 0
        for split, parts in (("train", train), ("heldout", heldout)):
            (folder / split).mkdir(parents=True)
            for part, documents in enumerate(parts):
                rows = []
                for text in documents:
                    rows.append(_row(number, text))
                    number += 1
                table = pa.Table.from_pylist(rows, schema=mixture_schema())
                pq.write_table(table, folder / split / f"part-{part:05d}.parquet")
        return folder

    return write
