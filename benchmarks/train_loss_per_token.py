"""Loss per token: the recipe against AdamW with a cosine, and the LSTM against the transformer.

    .venv/bin/python benchmarks/train_loss_per_token.py [--quick] [--work DIR] [--pictures DIR]

One text, one tokenizer of 2,048 tokens, one split, equal tokens, equal parameters (the LSTM's
within half a per cent). Every arm (loss_per_token_runs.py) is tuned with as many trainings: five
rates by a factor of 1.8, more beyond the end where the best is at an end, and another number at
the best rate; one seed each. Then five new seeds of each arm at its best, and of the
recipe as it is shipped where its best is another. Differences are paired by seed, with the 95% t
interval of `study ablate`, which trains all this: what is compared is what `train lm` does. How
many tokens the recipe needs for AdamW's final loss is read off shorter trainings of its own, each
with a whole schedule.

The text is French (summaries of an encyclopaedia, from a wheel), which no default of ours was
chosen on; English, which the recipe's rates were chosen on, is trained on with the settings found
in French. --work keeps the runs: the same command goes on where it was stopped, and what is
finished is not run again. CPU seconds are those of `train lm` on one thread, start and probes
included.

The last line is JSON: `loss_per_token` and `lstm`, differences as [mean, low, high] in nats a
token; `token_ratio` is the budget over the tokens that the recipe needs for AdamW's final loss.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beside import finish
from corpora import encyclopaedia
from loss_per_token_pictures import draw
from loss_per_token_runs import FACTOR, Arm, Place, Trained, arms

from gristmill.study.paired import mean, paired_difference

TEXTS = {"french": "fr-fr", "english": "en-us"}
SWEEP_SEED, FIRST_SEED = 100, 200
SHIPPED = "ours, as shipped"
# Of the recipe's budget.
SHORTER = (0.6, 0.8)
_MOST_EXTENSIONS = 2


@dataclass
class Tuned:
    """One arm's search. tried: (factor, knob) -> its run."""

    arm: Arm
    tried: dict[tuple[float, str], Trained] = field(default_factory=dict)

    @property
    def best(self) -> tuple[float, str]:
        """The factor and the knob of the lowest loss."""
        return min(self.tried, key=lambda key: self.tried[key].loss)

    @property
    def best_factor(self) -> float:
        """Among the runs without a knob."""
        plain = {factor: run.loss for (factor, knob), run in self.tried.items() if not knob}
        return min(plain, key=lambda factor: plain[factor])

    def next(self, extend: bool) -> list[tuple[float, str]]:
        """What to try now that these are known: a rate beyond the end where the best is there,
        and once the knobs."""
        factors = sorted(factor for factor, knob in self.tried if not knob)
        best, known = self.best_factor, any(knob for _, knob in self.tried)
        wanted = [] if known else [(best, knob) for knob in self.arm.knobs]
        if extend and best in (factors[0], factors[-1]):
            wanted.append((best * FACTOR if best == factors[-1] else best / FACTOR, ""))
        return wanted


def main() -> None:
    """Prints the tables; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the tokens, two seeds")
    parser.add_argument("--size", type=float, default=0.6, help="millions of parameters wished for")
    parser.add_argument("--tokens", type=int, default=400_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", nargs="+", help="ours and any other; default: all")
    parser.add_argument("--texts", nargs="+", choices=TEXTS, default=list(TEXTS))
    parser.add_argument("--work", type=Path, help="keep the runs here, and go on from them")
    parser.add_argument("--pictures", type=Path, help="draw the sweep and the curves here")
    given = parser.parse_args()
    if given.quick:
        given.tokens, given.seeds, given.texts = given.tokens // 10, 2, ["french"]
        given.arms = given.arms or ["ours", "adamw_cosine", "lstm"]
    found = arms(given.size, given.tokens)
    compared = {n: a for n, a in found.items() if n in (given.arms or found)}
    for arm in compared.values():
        print(f"{arm.name}: {arm.parameters:,} parameters, {arm.flops / 1e6:.2f} MFLOPs a token")
    with tempfile.TemporaryDirectory() as temporary:
        result = measure(given, compared, given.work or Path(temporary))
    finish(result)


def measure(given: argparse.Namespace, compared: dict[str, Arm], folder: Path) -> dict[str, Any]:
    """All studies of all texts."""
    quick = given.quick
    flags = [
        "--train.lm.size", str(given.size),
        "--train.lm.token_budget", str(given.tokens),
        "--train.lm.threads", "1",
        "--evaluate.perplexity.max_documents", "100" if quick else "400",
    ]  # fmt: skip
    first, *others = given.texts
    place = _place(folder, first, flags, quick)
    with ThreadPoolExecutor(2) as lanes:
        tuned = list(lanes.map(lambda arm: tune(place, arm, quick), compared.values()))
        settings = {one.arm.name: one.arm.settings(*one.best) for one in tuned}
        if tuned[0].best != (1.0, ""):
            settings[SHIPPED] = compared["ours"].settings(1.0)
        runs = at_best(lanes, place, settings, given.seeds)
        show(first, runs)
        shorter = shorter_runs(place, settings["ours"], given, 1 if quick else 3)
        by_text = {first: runs}
        for text in others:
            elsewhere = _place(folder, text, flags, quick)
            by_text[text] = at_best(lanes, elsewhere, settings, min(3, given.seeds))
            show(f"{text}, with the settings of {first}", by_text[text])
    result = told(tuned, by_text, shorter)
    result |= {"size": given.size, "tokens": given.tokens, "seeds": given.seeds}
    if given.pictures:
        rates = {t.arm.name: {f: r.loss for (f, k), r in t.tried.items() if not k} for t in tuned}
        draw(rates, runs, given.pictures)
    return result


def tune(place: Place, arm: Arm, quick: bool) -> Tuned:
    """Rates, then what `Tuned.next` asks for."""
    reach = 1 if quick else 2
    tuned = Tuned(arm)
    wanted = [(FACTOR**step, "") for step in range(-reach, reach + 1)]
    extensions = 0
    while wanted:
        keys = [*tuned.tried, *wanted]
        labels = {f"x{factor:.3g} {knob}".strip(): (factor, knob) for factor, knob in keys}
        settings = {label: arm.settings(*key) for label, key in labels.items()}
        found = place.study(f"sweep-{arm.name}", settings, 1, SWEEP_SEED)
        tuned.tried = {labels[label]: runs[0] for label, runs in found.items()}
        wanted = [] if quick else tuned.next(extensions < _MOST_EXTENSIONS)
        extensions += 1
    lines = [f"\n{arm.name}, one seed: nats a token"]
    for (factor, knob), run in sorted(tuned.tried.items(), key=lambda item: (item[0][1], item[0])):
        best = "  the best" if (factor, knob) == tuned.best else ""
        lines.append(f"  rate x{factor:<5.3g} {knob:<28} {run.loss:.4f}{best}")
    print("\n".join(lines), flush=True)
    return tuned


def at_best(
    lanes: ThreadPoolExecutor, place: Place, settings: dict[str, Any], seeds: int
) -> dict[str, list[Trained]]:
    """Every setting at new seeds, in two halves at a time."""
    half = (seeds + 1) // 2
    parts = [(0, half), (half, seeds - half)]
    studies = [
        lanes.submit(place.study, f"seeds-{first}", settings, count, FIRST_SEED + first)
        for first, count in parts
        if count
    ]
    found: dict[str, list[Trained]] = {name: [] for name in settings}
    for study in studies:
        for name, runs in study.result().items():
            found[name] += runs
    return found


def shorter_runs(
    place: Place, settings: dict[str, Any], given: argparse.Namespace, seeds: int
) -> list[tuple[int, float]]:
    """(tokens, mean loss) of the recipe on smaller budgets, each with its own schedule."""
    budgets = [round(share * given.tokens) for share in SHORTER]
    wanted = {f"{n} tokens": {**settings, "train.lm.token_budget": n} for n in budgets}
    found = place.study("shorter", wanted, seeds, FIRST_SEED)
    print("\nours on fewer tokens")
    points = []
    for runs in found.values():
        points.append((runs[0].tokens, statistics.mean(run.loss for run in runs)))
        print(f"  {points[-1][0]:>9,} tokens  {points[-1][1]:.4f}", flush=True)
    return points


def show(title: str, runs: dict[str, list[Trained]]) -> None:
    """Means over seeds, and every arm less the recipe."""
    ours = [run.loss for run in runs["ours"]]
    print(f"\n{title}, {len(ours)} seeds{'':>12} nats a token  bits a byte  CPU s   less ours")
    for name, each in runs.items():
        loss = statistics.mean(run.loss for run in each)
        bits = statistics.mean(run.bits_per_byte for run in each)
        seconds = statistics.median(run.cpu_seconds for run in each)
        row = _interval(paired_difference([run.loss for run in each], ours))
        less = "" if name == "ours" else f"{row[0]:+.4f} [{row[1]:+.4f}, {row[2]:+.4f}]"
        print(f"  {name:<30} {loss:12.4f} {bits:12.4f} {seconds:6.1f}   {less}", flush=True)


def told(
    tuned: Sequence[Tuned],
    by_text: dict[str, dict[str, list[Trained]]],
    shorter: Sequence[tuple[int, float]],
) -> dict[str, Any]:
    """The last line."""
    runs = next(iter(by_text.values()))
    best = {one.arm.name: [round(one.best[0], 3), one.best[1]] for one in tuned}
    found: dict[str, Any] = {"best": best, "trainings_to_tune": {}}
    found["trainings_to_tune"] = {one.arm.name: len(one.tried) for one in tuned}
    if "adamw_cosine" in runs:
        found["loss_per_token"] = {
            **_pair(runs, "ours", "adamw_cosine"),
            **({"shipped": _pair(runs, SHIPPED, "adamw_cosine")} if SHIPPED in runs else {}),
            "token_ratio": token_ratio(runs, shorter),
            "texts": {t: _pair(each, "ours", "adamw_cosine") for t, each in by_text.items()},
        }
    if "adamw_one_rate" in runs:
        found["adamw_one_rate"] = _pair(runs, "ours", "adamw_one_rate")
    if "lstm" in runs:
        target, seconds, tokens = to_one_loss(runs, "ours", "lstm")
        found["lstm"] = {
            **_pair(runs, "ours", "lstm"),
            "parameters": {n: runs[n][0].parameters for n in ("ours", "lstm")},
            "to_loss": target,
            "tokens_to_it": tokens,
            "cpu_seconds_to_it": seconds,
            "texts": {t: _pair(each, "ours", "lstm") for t, each in by_text.items()},
        }
    return found


def _pair(runs: dict[str, list[Trained]], first: str, second: str) -> dict[str, Any]:
    """Both losses, and the first less the second."""
    mine, theirs = ([run.loss for run in runs[name]] for name in (first, second))
    bits = {n: statistics.mean(run.bits_per_byte for run in runs[n]) for n in (first, second)}
    return {
        first: round(mean(mine).value, 4),
        second: round(mean(theirs).value, 4),
        "difference": _interval(paired_difference(mine, theirs)),
        "bits_per_byte": {name: round(value, 4) for name, value in bits.items()},
    }


def _interval(figure: Any) -> list[float]:
    known = (figure.value if b is None else b for b in (figure.value, figure.low, figure.high))
    return [round(value, 4) for value in known]


def token_ratio(
    runs: dict[str, list[Trained]], shorter: Sequence[tuple[int, float]]
) -> float | None:
    """AdamW's tokens over those that the recipe needs for its final loss, between whole trainings;
    None where they lie outside."""
    own = (runs["ours"][0].tokens, statistics.mean(run.loss for run in runs["ours"]))
    theirs = runs["adamw_cosine"]
    tokens = crossing([*shorter, own], statistics.mean(run.loss for run in theirs))
    return None if tokens is None else round(theirs[0].tokens / tokens, 3)


def to_one_loss(
    runs: dict[str, list[Trained]], *names: str
) -> tuple[float, dict[str, float], dict[str, int]]:
    """The higher final loss over held-out windows of two arms, and the CPU seconds and tokens that
    each has trained for when it is there; seconds by the share of its tokens."""
    curves = {name: mean_curve(runs[name]) for name in names}
    target = max(curve[-1][1] for curve in curves.values())
    seconds, tokens = {}, {}
    for name, curve in curves.items():
        needed = crossing(curve, target) or curve[-1][0]
        whole = statistics.median(run.cpu_seconds for run in runs[name])
        tokens[name] = round(needed)
        seconds[name] = round(whole * needed / curve[-1][0], 1)
    return round(target, 4), seconds, tokens


def mean_curve(runs: Sequence[Trained]) -> list[tuple[int, float]]:
    """Over seeds, place by place."""
    return [
        (points[0][0], statistics.mean(loss for _, loss in points))
        for points in zip(*(run.curve for run in runs), strict=True)
    ]


def crossing(points: Sequence[tuple[int, float]], loss: float) -> float | None:
    """The tokens at which falling points reach a loss, the loss a line in the log of tokens."""
    for (a, high), (b, low) in itertools.pairwise(points):
        if high >= loss >= low and high > low:
            return a * math.exp(math.log(b / a) * (high - loss) / (high - low))
    return None


def _place(folder: Path, text: str, flags: list[str], quick: bool) -> Place:
    """The text as JSON Lines, its tokens, and where its studies run."""
    own = (folder / text).resolve()
    own.mkdir(parents=True, exist_ok=True)
    file = own / "text.jsonl"
    if not file.exists():
        partial = file.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as out:
            for line in _lines(text, quick):
                out.write(line)
        partial.rename(file)
    place = Place(own, file, flags)
    place.prepare()
    return place


def _lines(text: str, quick: bool) -> Iterator[str]:
    for number, summary in enumerate(encyclopaedia(TEXTS[text])):
        if quick and number % 5:
            continue
        row = {"url": f"http://{text}.example/{number}", "text": summary}
        yield json.dumps(row, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
