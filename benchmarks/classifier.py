"""The classifier of `data quality` and `data domains` beside fastText, on the same splits.

    python benchmarks/classifier.py [--quick] [--rounds N]

Two tasks: film reviews (IMDB's own split into training and test; ../shared), good or bad, as
`data quality` has two labels; and summaries of an encyclopaedia by their topic, as `data domains`
has about ten (every fifth is tested). fastText is given the text as its documentation prepares it
(lower case, punctuation apart), one thread, word pairs, and two settings: its defaults, and those
of its tutorial on text classification. Ours has the settings of the two stages. Seconds are CPU
seconds of training and of judging the test texts, from text in memory (fastText: in a file, as it
wants it), in turn.

The last line is JSON: `ratio` (our speed over fastText's in its default settings, training and
judging together, the smaller of the tasks'), and for each task accuracy and documents per CPU
second.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from beside import ROOT, SHARED, Peer, finish, in_turn, missing

from gristmill.data.classifier import hashed_features, train_classifier
from gristmill.data.sample_web.texts import UNCATEGORIZED, load_articles
from gristmill.data.wheel import WIKI_SUMMARIES, fetch

SETTINGS = {
    "fastText": {"wordNgrams": 2},
    "fastText, tutorial": {
        "wordNgrams": 2, "lr": 1.0, "epoch": 25, "bucket": 200_000, "dim": 50,
    },
}  # fmt: skip
_PUNCTUATION = re.compile(r"([^\w\s])")


@dataclass(frozen=True)
class Task:
    """Texts with labels, those to learn from first. epochs, rate: of the stage that it stands
    for."""

    name: str
    texts: list[str]
    labels: list[str]
    learnt: int
    epochs: int
    rate: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer texts, one round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    peer = Peer("classifier")
    rounds = 1 if given.quick else given.rounds
    result: dict[str, Any] = {}
    ratios = []
    for task in (sentiment(3000 if given.quick else 25_000), topics(3000 if given.quick else None)):
        told = compare(task, peer, rounds)
        result[task.name] = told
        ratios.append(told["fastText"]["seconds"] / told["ours"]["seconds"])
    result["ratio"] = round(min(ratios), 2)
    result["versions"] = peer.versions("fasttext-wheel", "numpy")
    finish(result)


def sentiment(most: int) -> Task:
    """IMDB (Maas et al. 2011): the first `most` of each split."""
    file = SHARED / "sentiment" / "imdb.jsonl.gz"
    if not file.is_file():
        missing("the film reviews are not there", f"put {file.name} into ../shared/data/sentiment")
    found: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["split"] in found:
                found[record["split"]].append((record["text"], str(record["label"])))
    # The file is sorted by label; a fixed shuffle, so that the first are of both.
    for split in found.values():
        np.random.default_rng(0).shuffle(split)
    pairs = found["train"][:most] + found["test"][:most]
    learnt = min(most, len(found["train"]))
    return Task("reviews", [t for t, _ in pairs], [one for _, one in pairs], learnt, 3, 0.1)


def topics(most: int | None) -> Task:
    """Summaries that name a topic; every fifth is tested."""
    found = load_articles(fetch(WIKI_SUMMARIES), "en", 0)
    articles = [article for article in found if article.topic != UNCATEGORIZED]
    # By title they are sorted; every so many of them are of all kinds.
    if most is not None:
        articles = articles[:: max(1, len(articles) // most)]
    learn = [a for i, a in enumerate(articles) if i % 5]
    test = articles[::5]
    both = [*learn, *test]
    return Task(
        "topics",
        ["\n\n".join(a.paragraphs) for a in both],
        [a.topic for a in both],
        len(learn),
        5,
        0.3,
    )


def compare(task: Task, peer: Peer, rounds: int) -> dict[str, Any]:
    """Accuracy and speed of all on one task."""
    with tempfile.TemporaryDirectory() as folder:
        split = prepared(task, Path(folder))
        accuracy: dict[str, float] = {}
        seconds: dict[str, list[list[float]]] = {"ours": []}

        def ours() -> float:
            accuracy["ours"], *both = ours_once(task)
            seconds["ours"].append(both)
            return sum(both)

        def theirs(name: str) -> float:
            script = ROOT / "benchmarks" / "peers" / "classifier_peer.py"
            told = peer.run(script, split, json.dumps(SETTINGS[name]), timeout=3600.0)
            accuracy[name] = told["accuracy"]
            seconds.setdefault(name, []).append([told["training"], told["judging"]])
            return float(told["training"] + told["judging"])

        ours_once(task)  # compiles
        seconds["ours"].clear()
        in_turn(rounds, ours, *(lambda name=name: theirs(name) for name in SETTINGS))
    result = {}
    tested = len(task.texts) - task.learnt
    print(f"{task.name}: {task.learnt:,} learnt from, {tested:,} tested")
    for name, values in seconds.items():
        training, judging = (statistics.median(v[k] for v in values) for k in (0, 1))
        result[name] = {
            "accuracy": round(accuracy[name], 4),
            "seconds": round(training + judging, 3),
            "trained_per_second": round(task.learnt / training),
            "judged_per_second": round(tested / judging),
        }
        print(
            f"  {name:20} accuracy {accuracy[name]:.4f}, {task.learnt / training:8,.0f} learnt and "
            f"{tested / judging:8,.0f} judged per CPU second"
        )
    return result


def ours_once(task: Task) -> tuple[float, float, float]:
    """(accuracy, CPU seconds of training, of judging), both from text."""
    names = sorted(set(task.labels))
    truth = np.array([names.index(label) for label in task.labels])
    start = time.process_time()
    features = hashed_features(task.texts[: task.learnt])
    model = train_classifier(
        features, truth[: task.learnt], names, epochs=task.epochs, rate=task.rate
    )
    training = time.process_time() - start
    start = time.process_time()
    guessed = model.scores(model.features(task.texts[task.learnt :])).argmax(axis=1)
    judging = time.process_time() - start
    return float(np.mean(guessed == truth[task.learnt :])), training, judging


def prepared(task: Task, folder: Path) -> Path:
    """The texts as fastText's documentation prepares them."""
    for name, chosen in (("train", slice(task.learnt)), ("test", slice(task.learnt, None))):
        lines = [
            f"__label__{label.replace(' ', '_')} "
            + " ".join(_PUNCTUATION.sub(r" \1 ", text.lower()).split())
            for text, label in zip(task.texts[chosen], task.labels[chosen], strict=True)
        ]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
