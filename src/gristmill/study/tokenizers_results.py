"""What `study tokenizers` shows: bits per byte beside sequence length, and sums right by digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.core.figure import Chart, Figure, Samples, Series, Table
from gristmill.stages.stage import Output
from gristmill.study.paired import mean, paired_difference, verdict
from gristmill.study.tokenizers_scores import ATTENDED_BYTES

_BUDGETS = {"bytes": "bytes read", "flops": "FLOPs"}
_CLOSE = 0.02

Scores = Mapping[str, Sequence[Mapping[str, Any]]]


def present_text(scores: Scores, share: float, budget: str, output: Output) -> None:
    """Figures, tables and a chart of the models of text; one list of scores by seed for each."""
    first = next(iter(scores))
    rows, differences, lengths, paid = [], [], [], []
    chart: dict[str, list[tuple[str, float, Figure]]] = {"clean": [], "misspelled": []}
    for name, runs in scores.items():
        bits = {kind: _bits(runs, kind) for kind in ("clean", "misspelled")}
        clean, slipped = mean(bits["clean"]), mean(bits["misspelled"])
        text, costs = runs[0]["clean"], runs[0]["costs"]
        per_token = text["bytes"] / text["tokens"]
        output.figures |= {
            f"tokenizers.{name}.bits_per_byte": clean,
            f"tokenizers.{name}.misspelled": slipped,
            f"tokenizers.{name}.bytes_per_token": Figure(per_token, n=text["tokens"]),
            f"tokenizers.{name}.attention_flops_per_byte": Figure(
                costs["attention_flops_per_byte"]
            ),
            f"tokenizers.{name}.unknown": Figure(text["unknown"] / max(1, text["tokens"])),
        }
        read = runs[0]["trained_tokens"] * per_token
        rows.append([name, clean, slipped, round(per_token, 3), round(read / 1e6, 2)])
        slips = runs[0]["misspelled"]
        lengths.append(
            [name, round(per_token, 3), _per(slips, "bytes", "tokens"), _unknown(text),
             _unknown(slips)]
        )  # fmt: skip
        paid.append(
            [name, runs[0]["vocabulary"], round(ATTENDED_BYTES / per_token),
             round(costs["attention_flops_per_byte"]), round(costs["flops_per_byte"]),
             costs["parameters"]]
        )  # fmt: skip
        if name != first:
            for kind, values in bits.items():
                apart = paired_difference(values, _bits(scores[first], kind))
                differences.append([name, kind, apart, verdict(apart)])
        for kind, figure in (("clean", clean), ("misspelled", slipped)):
            chart[kind].append((name, per_token, figure))
    output.tables += [
        Table(
            "Equal models on several tokenizers",
            ["tokenizer", "bits per byte", "misspelled", "bytes per token", "read, MB"],
            rows,
            note=f"Equal {_BUDGETS[budget]}, equal blocks; the same held-out documents, clean and "
            f"with a slip in {share:.0%} of the longer words. 95% intervals over seeds. A word "
            "that a vocabulary has not is charged its spelling by the frequencies of bytes, else "
            "its text could not be read back.",
        ),
        Table(
            "Length and unknown words",
            ["tokenizer", "bytes per token", "misspelled", "unknown", "misspelled, unknown"],
            lengths,
            note="Unknown: tokens that stand for a word that is not in the vocabulary.",
        ),
        Table(
            f"What reading {ATTENDED_BYTES:,} bytes costs",
            ["tokenizer", "vocabulary", "tokens", "attention", "FLOPs a byte", "parameters"],
            paid,
            note="Attention: its share of the FLOPs a byte, which grows with the tokens of a text.",
        ),
    ]
    if differences:
        output.tables.append(
            Table(
                f"Against {first}, bits per byte",
                ["tokenizer", "text", "difference", "interval excludes 0"],
                differences,
                note="Seed by seed, with 95% intervals.",
            )
        )
    output.charts.append(
        Chart(
            "Bits per byte against bytes per token",
            "bytes per token",
            "bits per byte, held out",
            [_series(kind, points) for kind, points in chart.items()],
            style="points",
        )
    )
    if len(scores[first]) == 1:
        output.notes.append("One seed each: how much of a difference is chance is not known.")


def present_addition(scores: Scores, output: Output) -> None:
    """Figures, a table and a chart of held-out additions answered exactly."""
    lengths = list(next(iter(scores.values()))[0]["asked"])
    rows, series = [], []
    for name, runs in scores.items():
        by_length = [_of_shares([_share(run, [digits]) for run in runs]) for digits in lengths]
        whole = _of_shares([_share(run, lengths) for run in runs])
        output.figures[f"tokenizers.addition.{name}.exact"] = whole
        for digits, figure in zip(lengths, by_length, strict=True):
            output.figures[f"tokenizers.addition.{name}.digits{digits}"] = figure
        rows.append([name, whole, *(round(one.value, 3) for one in by_length),
                     round(runs[0]["tokens_per_sum"], 2)])  # fmt: skip
        # Without intervals: with few seeds those of four curves would hide one another.
        places = [int(digits) for digits in lengths]
        series.append(Series(name, places, [one.value for one in by_length]))
    asked = next(iter(scores.values()))[0]["asked"]
    output.tables.append(
        Table(
            "Held-out additions, exactly right",
            ["digits", "all", *lengths, "tokens"],
            rows,
            note="All, then by the digits of the longer operand; mean tokens of a sum. Asked: "
            + ", ".join(f"{n} of {digits}" for digits, n in asked.items())
            + ". Means over seeds; 95% intervals of all.",
        )
    )  # fmt: skip
    output.charts.append(
        Chart(
            "Additions exactly right", "digits of the longer operand",
            "share right, mean over seeds", series, style="points",
        )
    )  # fmt: skip
    wrong = [
        {"digits": name, "sum": said[0], "right": said[1], "answered": said[2]}
        for name, runs in scores.items()
        for said in runs[0]["wrong"][:2]
    ]
    output.samples.append(Samples("Wrong answers", wrong))


def _unknown(counts: Mapping[str, Any]) -> str:
    return f"{counts['unknown'] / max(1, counts['tokens']):.1%}"


def _of_shares(shares: Sequence[float]) -> Figure:
    """Their mean; a share lies between 0 and 1, and so does its interval."""
    found = mean(shares)
    if found.low is None or found.high is None:
        return found
    low, high = max(0.0, found.low), min(1.0, found.high)
    return Figure(round(found.value, 4), round(low, 4), round(high, 4), found.n)


def _bits(runs: Sequence[Mapping[str, Any]], kind: str) -> list[float]:
    return [run[kind]["bits_per_byte"] for run in runs]


def _per(counts: Mapping[str, Any], above: str, below: str) -> float:
    return round(counts[above] / max(1, counts[below]), 3)


def _share(run: Mapping[str, Any], lengths: Sequence[str]) -> float:
    asked = sum(run["asked"][digits] for digits in lengths)
    return sum(run["right"][digits] for digits in lengths) / max(1, asked)


def _series(name: str, points: Sequence[tuple[str, float, Figure]]) -> Series:
    ordered = sorted(points, key=lambda point: point[1])
    found = _points(name, [x for _, x, _ in ordered], [figure for _, _, figure in ordered])
    labels = _apart(ordered) if name == "clean" else []
    return Series(found.name, found.x, found.y, found.low, found.high, labels, mark="dots")


def _apart(points: Sequence[tuple[str, float, Figure]]) -> list[str]:
    """A label for each point; points that lie on each other share one."""
    span = max(1e-9, points[-1][1] - points[0][1])
    labels: list[str] = []
    first = 0
    for place, (label, x, _) in enumerate(points):
        labels.append(label)
        if place and x - points[first][1] < _CLOSE * span:
            labels[first], labels[place] = f"{labels[first]}, {label}", ""
        else:
            first = place
    return labels


def _points(name: str, x: Sequence[float], figures: Sequence[Figure]) -> Series:
    """Means with their intervals; no bar where there is none."""
    low = [figure.value if figure.low is None else figure.low for figure in figures]
    high = [figure.value if figure.high is None else figure.high for figure in figures]
    return Series(name, x, [figure.value for figure in figures], low, high)
