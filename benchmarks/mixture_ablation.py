"""What the steps from documents to a mixture are worth: equal models, scored on the same text.

    .venv/bin/python benchmarks/mixture_ablation.py                     # every question
    .venv/bin/python benchmarks/mixture_ablation.py --question dedup    # one of them
    .venv/bin/python benchmarks/mixture_ablation.py --quick             # that they run

Each question is a recipe and named settings under `benchmarks/ablations/mixture/`, given to `study
ablate` as a user would: equal models, the same number of training tokens, one tokenizer for all
settings, seeds paired.

- dedup: the documentation of Clang in four releases, whole pages with their menus; scored on the
  sources (reStructuredText) of pages that no setting reads.
- code: film reviews and Python files, with none, a tenth and three tenths of code; scored on
  reviews and on code.
- weights: four kinds of text of unequal size, by their size, by temperature and equal; scored on
  each kind by itself.
- synthetic: film reviews, and texts that a model of the same size trained on them writes from their
  openings; scored on reviews.
- quality, annealing: the demo's web; scored on articles of its encyclopaedia that none reads.

The last line is JSON: {question: {setting: {figure: [mean, difference to the first setting, low,
high]}}}; a difference below 0 says that the setting does better than the first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from beside import finish
from corpora import debian_package, python_sources, reviews, summaries
from documentation import source_of
from filters_ablation import whole_text

HERE = Path(__file__).parent
SETTINGS = HERE / "ablations" / "mixture"
RELEASES = ("clang-13-doc", "clang-14-doc", "clang-15-doc", "clang-16-doc")
FIGURE = "base.bits_per_byte"

Rows = Iterable[tuple[str, str]]
"""Kind and text."""


@dataclass(frozen=True)
class Question:
    """recipe: a name or a file. imports: node of the recipe -> what it reads, given `quick`.
    scores: the figures that are compared; texts: what each is measured on, where there are
    several."""

    recipe: str
    imports: dict[str, Callable[[bool], Rows]] = field(default_factory=dict)
    scores: tuple[str, ...] = (FIGURE,)
    texts: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def main() -> None:
    """Prints a table for each question; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few tokens, two questions")
    parser.add_argument("--question", choices=QUESTIONS, action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=600_000)
    parser.add_argument("--workspace", type=Path, help="keep the runs here, and go on from them")
    parser.add_argument("--picture", type=Path, help="draw the differences into this SVG file")
    given = parser.parse_args()
    seeds, tokens = (1, 10_000) if given.quick else (given.seeds, given.tokens)
    asked = given.question or (["dedup"] if given.quick else list(QUESTIONS))
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in asked:
            folder = (given.workspace or Path(temporary)) / name
            folder.mkdir(parents=True, exist_ok=True)
            results = ask(name, folder, seeds=seeds, tokens=tokens, quick=given.quick)
            found[name] = compared(name, results)
            show(name, found[name])
    if given.picture:
        draw(found, given.picture)
    finish({**found, "tokens": tokens, "seeds": seeds})


def ask(
    name: str, folder: Path, *, seeds: int, tokens: int, quick: bool
) -> dict[str, dict[str, Any]]:
    """The figures of `study ablate`, by name."""
    question = QUESTIONS[name]
    command = [
        sys.executable, "-m", "gristmill", "study", "ablate", question.recipe,
        "--settings", str(SETTINGS / f"{name}.yaml"),
        "--hold", "tokenizer.train",
        "--seeds", str(seeds),
        "--workspace", str(folder / "runs"),
        "--train.lm.token_budget", str(tokens),
        *(flag.format(tokens=tokens) for flag in question.flags),
    ]  # fmt: skip
    for node, rows in question.imports.items():
        file = folder / f"{node.replace('@', '-')}.jsonl"
        count = write_rows(file, rows(quick))
        print(f"{name}: {count:,} documents for {node}", flush=True)
        command += [f"--{node}.path", str(file)]
    run = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, env=os.environ, check=False)
    if run.returncode:
        sys.exit(run.returncode)
    figures: dict[str, dict[str, Any]] = json.loads(run.stdout)["figures"]
    return figures


def compared(
    name: str, figures: dict[str, dict[str, Any]]
) -> dict[str, dict[str, list[float | None]]]:
    """Setting -> score -> mean, and its difference to the first setting with its interval."""
    settings: Iterable[str] = yaml.safe_load((SETTINGS / f"{name}.yaml").read_text("utf-8"))
    found: dict[str, dict[str, list[float | None]]] = {}
    for setting in settings:
        for score in QUESTIONS[name].scores:
            mean = figures[f"ablate.{score}@{setting}"]
            gap = figures.get(f"ablate.difference.{score}@{setting}", {})
            row = [mean["value"], gap.get("value"), gap.get("low"), gap.get("high")]
            found.setdefault(setting, {})[score] = [
                None if value is None else round(value, 4) for value in row
            ]
    return found


def show(name: str, found: dict[str, dict[str, list[float | None]]]) -> None:
    """The table of one question."""
    print(f"\n{name}, bits per byte; below 0 is better than the first setting")
    for setting, scores in found.items():
        for score, (value, gap, low, high) in scores.items():
            _, _, text = score.partition(" of ")
            sure = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
            less = "" if gap is None else f"{gap:+8.3f}{sure}"
            print(f"  {setting:<16}{text.partition('@')[2]:<10}{value:8.4f}  {less}")


def draw(found: dict[str, dict[str, dict[str, list[float | None]]]], file: Path) -> None:
    """Every setting's difference to the first of its question, with its interval."""
    from matplotlib.figure import Figure

    panels = [(name, place) for name in found for place in range(len(QUESTIONS[name].scores))]
    heights = [len(found[name]) - 1 for name, _ in panels]
    figure = Figure(figsize=(7.2, 0.7 * len(panels) + 0.2 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (name, place) in zip(axes, panels, strict=True):
        question = QUESTIONS[name]
        first, *others = found[name]
        for row, setting in enumerate(others):
            _, gap, low, high = found[name][setting][question.scores[place]]
            if gap is None or low is None or high is None:
                continue
            colour = "#1b7837" if high < 0 else "#b2182b" if low > 0 else "#666666"
            axis.plot([low, high], [row, row], color=colour, linewidth=2)
            axis.plot([gap], [row], "o", color=colour, markersize=4)
        text = f", scored on {question.texts[place]}" if question.texts else ""
        axis.set_title(f"{name}{text}: less '{first}'", fontsize=9, loc="left")
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(others)), others, fontsize=8)
        axis.set_ylim(len(others) - 0.5, -0.5)
        axis.tick_params(axis="x", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("bits per byte; below 0 is better (95%, paired by seed)", fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="svg", metadata={"Date": None})


def write_rows(file: Path, rows: Rows) -> int:
    """JSON Lines of the texts that are not empty; how many there are."""
    count = 0
    with file.open("w", encoding="utf-8") as out:
        for kind, text in rows:
            if text.strip():
                row = {"url": f"http://{kind}.example/{count}", "topic": kind, "text": text}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    return count


def _held_out(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] < 24


def releases(quick: bool) -> Iterator[tuple[str, str]]:
    """The pages of every release but those held out, menus and all; a site a release."""
    for package in RELEASES[-2:] if quick else RELEASES:
        for page in _pages(package):
            if not _held_out(page.name):
                yield package, whole_text(page)


def sources_of_pages(quick: bool) -> Iterator[tuple[str, str]]:
    """What people wrote the held-out pages from, in the last release."""
    for page in _pages(RELEASES[-1]):
        source = source_of(page)
        if source is not None and _held_out(page.name):
            yield "clean", source.read_text(encoding="utf-8")


def _pages(package: str) -> list[Path]:
    folder = debian_package(package)
    found = sorted(folder.rglob("*.html")) if folder else []
    return [page for page in found if page.is_file() and not page.is_symlink()]


def _kind(
    kind: str, read: Callable[[], Iterator[str]], *, size: int, held_out: bool
) -> Callable[[bool], Iterator[tuple[str, str]]]:
    """About `size` characters of texts of one kind, in a seeded order, none of them very long."""

    def rows(quick: bool) -> Iterator[tuple[str, str]]:
        room = size // 20 if quick else size
        texts = [text for text in read() if 200 < len(text) < 40_000]
        random.Random(0).shuffle(texts)
        for text in texts:
            if _held_out(text) == held_out and room > 0:
                room -= len(text)
                yield kind, text

    return rows


def _together(*kinds: Callable[[bool], Rows]) -> Callable[[bool], Rows]:
    return lambda quick: (row for rows in kinds for row in rows(quick))


def _python_documentation() -> Iterator[str]:
    for page in _pages("python3.11-doc"):
        source = source_of(page)
        if source is not None:
            yield source.read_text(encoding="utf-8")


_KINDS: dict[str, tuple[Callable[[], Iterator[str]], int]] = {
    "reviews": (reviews, 6_000_000),
    "manuals": (_python_documentation, 2_000_000),
    "code": (python_sources, 1_000_000),
    "summaries": (summaries, 500_000),
}
_DEMO = ("--until", "evaluate.perplexity", "--train.lm.size", "0.6")

QUESTIONS = {
    "dedup": Question(
        str(SETTINGS / "releases.yaml"),
        {"data.import": releases, "data.import@clean": sources_of_pages},
    ),
    "code": Question(
        str(SETTINGS / "code_share.yaml"),
        {
            "data.import": _together(
                _kind("prose", reviews, size=5_000_000, held_out=False),
                _kind("code", python_sources, size=3_000_000, held_out=False),
            ),
            "data.import@prose": _kind("prose", reviews, size=300_000, held_out=True),
            "data.import@code": _kind("code", python_sources, size=300_000, held_out=True),
        },
        scores=(FIGURE, f"{FIGURE} of evaluate.perplexity@code"),
        texts=("prose", "code"),
    ),
    "weights": Question(
        str(SETTINGS / "kinds.yaml"),
        {
            "data.import": _together(
                *(_kind(n, read, size=s, held_out=False) for n, (read, s) in _KINDS.items())
            ),
            **{
                f"data.import@{n}": _kind(n, read, size=200_000, held_out=True)
                for n, (read, _) in _KINDS.items()
            },
        },
        scores=tuple(
            FIGURE if n == "reviews" else f"{FIGURE} of evaluate.perplexity@{n}" for n in _KINDS
        ),
        texts=tuple(_KINDS),
    ),
    "synthetic": Question(
        str(SETTINGS / "synthetic_share.yaml"),
        {
            "data.import": _kind("prose", reviews, size=5_000_000, held_out=False),
            "data.import@prose": _kind("prose", reviews, size=300_000, held_out=True),
        },
        flags=("--train.lm@writer.token_budget", "{tokens}"),
    ),
    "quality": Question("demo", flags=_DEMO),
    "annealing": Question("demo", flags=_DEMO),
}


if __name__ == "__main__":
    main()
