"""Two artifacts, or two workspaces, beside each other: what differs, and where it began."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import canonical_json
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.stages.stage import PRESENTATION

_ABSENT = "(absent)"
_ASKED = ("prompt", "question", "task", "url")
_NOT_ANSWERS = (*_ASKED, "step", "truth", "verdict", "right", "reason")


@dataclass(frozen=True)
class FigureDifference:
    """One figure of both sides; `apart`: the intervals do not overlap, None where one has none."""

    name: str
    a: Figure | None
    b: Figure | None

    @property
    def difference(self) -> float | None:
        """b minus a."""
        return None if self.a is None or self.b is None else self.b.value - self.a.value

    @property
    def apart(self) -> bool | None:
        """Whether the intervals do not overlap; None where one of them is missing."""
        if self.a is None or self.b is None:
            return None
        edges = (self.a.low, self.a.high, self.b.low, self.b.high)
        if any(edge is None for edge in edges):
            return None
        a_low, a_high, b_low, b_high = (float(edge) for edge in edges if edge is not None)
        return a_high < b_low or b_high < a_low


@dataclass(frozen=True)
class Parting:
    """Where two lineages part: this differs though all that it was made from is the same."""

    path: str
    """The slots that lead there, such as `model.tokens`; empty for the artifacts themselves."""
    a: str
    b: str
    why: tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    """One curve of both sides, from charts of one title."""

    title: str
    name: str
    x_label: str
    y_label: str
    a: tuple[tuple[float, float], ...]
    b: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class SampleGroup:
    """What both sides wrote for the same prompts: rows of prompt, of a and of b."""

    title: str
    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Difference:
    """Two artifacts beside each other."""

    a: Artifact
    b: Artifact
    same: bool
    """Whether their content is the same."""
    settings: list[tuple[str, Any, Any]] = field(default_factory=list)
    """Dotted key and both values, only where they differ."""
    counts: list[tuple[str, int | None, int | None]] = field(default_factory=list)
    figures: list[FigureDifference] = field(default_factory=list)
    partings: list[Parting] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    samples: list[SampleGroup] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "a": _described(self.a),
            "b": _described(self.b),
            "same": self.same,
            "settings": [{"key": k, "a": a, "b": b} for k, a, b in self.settings],
            "counts": [{"name": n, "a": a, "b": b} for n, a, b in self.counts],
            "figures": [
                {
                    "name": one.name,
                    "a": one.a.to_json() if one.a else None,
                    "b": one.b.to_json() if one.b else None,
                    "difference": one.difference,
                    "apart": one.apart,
                }
                for one in self.figures
            ],
            "partings": [
                {"path": p.path, "a": p.a, "b": p.b, "why": list(p.why)} for p in self.partings
            ],
            "curves": [
                {
                    "title": c.title, "name": c.name, "x_label": c.x_label, "y_label": c.y_label,
                    "a": [list(point) for point in c.a], "b": [list(point) for point in c.b],
                }
                for c in self.curves
            ],
            "samples": [
                {
                    "title": group.title,
                    "rows": [{"prompt": p, "a": a, "b": b} for p, a, b in group.rows],
                }
                for group in self.samples
            ],
        }  # fmt: skip


def compare(a: Artifact, b: Artifact) -> Difference:
    """Two artifacts beside each other; of any kinds, though the same kind tells more."""
    shown_a, shown_b = _shown(a), _shown(b)
    return Difference(
        a,
        b,
        a.content == b.content,
        changed_settings(a.manifest.config, b.manifest.config),
        _both(a.manifest.counts, b.manifest.counts),
        _figures(shown_a.get("figures", {}), shown_b.get("figures", {})),
        partings(a, b),
        _curves(shown_a.get("charts", []), shown_b.get("charts", [])),
        _samples(shown_a.get("samples", []), shown_b.get("samples", [])),
    )


def compare_nodes(
    a: Mapping[str, Artifact], b: Mapping[str, Artifact]
) -> tuple[list[tuple[str, Difference | None]], list[str], list[str]]:
    """The nodes of two workspaces by name.

    First: every node of both, in a's order, with its difference or None where the content is the
    same and so are settings and figures; then the names that only a has, and only b.
    """
    rows: list[tuple[str, Difference | None]] = []
    for name in a:
        if name in b:
            found = compare(a[name], b[name])
            told = [one for one in found.figures if one.difference or one.difference is None]
            same = found.same and not found.settings and not told
            rows.append((name, None if same else found))
    return rows, [name for name in a if name not in b], [name for name in b if name not in a]


def changed_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The dotted keys whose values differ; one that a side lacks is `(absent)` there."""
    flat_a, flat_b = _flat(a), _flat(b)
    return [
        (key, flat_a.get(key, _ABSENT), flat_b.get(key, _ABSENT))
        for key in dict.fromkeys([*flat_a, *flat_b])
        if canonical_json(flat_a.get(key, _ABSENT)) != canonical_json(flat_b.get(key, _ABSENT))
    ]


def partings(a: Artifact, b: Artifact) -> list[Parting]:
    """Where the lineages part first: differing artifacts whose inputs all have equal contents."""
    found: list[Parting] = []
    seen: set[tuple[str, str]] = set()

    def walk(a: Artifact, b: Artifact, path: tuple[str, ...]) -> None:
        if (a.name, b.name) in seen:
            return
        seen.add((a.name, b.name))
        why = _own_reasons(a, b)
        deeper = False
        if a.stage == b.stage:
            deeper, gone = _walk_inputs(a, b, path)
            why += gone
        if why or not deeper:
            unexplained = [] if why else ["the same settings and inputs, yet another content"]
            found.append(Parting(".".join(path), a.name, b.name, tuple(why + unexplained)))

    def _walk_inputs(a: Artifact, b: Artifact, path: tuple[str, ...]) -> tuple[bool, list[str]]:
        deeper, why = False, []
        refs_a, refs_b = a.manifest.inputs, b.manifest.inputs
        for slot in dict.fromkeys([*refs_a, *refs_b]):
            first, second = refs_a.get(slot, []), refs_b.get(slot, [])
            if len(first) != len(second):
                why.append(f"{slot}: {len(first)} and {len(second)} artifacts")
            for number, (x, y) in enumerate(zip(first, second, strict=False)):
                if x.content == y.content:
                    continue
                step = slot if len(first) == 1 else f"{slot}[{number}]"
                try:
                    walk(a.resolve(x), b.resolve(y), (*path, step))
                    deeper = True
                except GristmillError:
                    why.append(f"{step}: {x.stage} is another, and is no longer there")
        return deeper, why

    if a.content != b.content:
        walk(a, b, ())
    return found


def _own_reasons(a: Artifact, b: Artifact) -> list[str]:
    """What differs in the making of two artifacts apart from their inputs."""
    if a.stage != b.stage:
        return [f"made by {a.stage} and by {b.stage}"]
    why = [
        f"{key}: {brief(x)} and {brief(y)}"
        for key, x, y in changed_settings(a.manifest.config, b.manifest.config)
    ]
    if a.manifest.stage_version != b.manifest.stage_version:
        why.append(
            f"version {a.manifest.stage_version} and {b.manifest.stage_version} of the stage"
        )
    if a.manifest.seed != b.manifest.seed:
        why.append("another seed")
    if a.manifest.extensions != b.manifest.extensions:
        why.append("another source of the user's functions")
    return why


def at_common_places(curve: Curve, count: int = 6) -> list[tuple[float, float, float]]:
    """(x, a, b) at evenly spaced x that both curves reach; empty where they share no stretch.

    The value at a place is the mean of the points within half a step of it, so that a noisy loss
    can be compared; between far points it is interpolated.
    """
    if not curve.a or not curve.b:
        return []
    low = max(curve.a[0][0], curve.b[0][0])
    high = min(curve.a[-1][0], curve.b[-1][0])
    if low > high:
        return []
    step = (high - low) / (count - 1)
    places = [low + step * i for i in range(count)] if step else [low]
    return [(x, _value_at(curve.a, x, step / 2), _value_at(curve.b, x, step / 2)) for x in places]


def brief(value: Any) -> str:
    """A setting's value in one short line."""
    text = value if isinstance(value, str) else canonical_json(value)
    text = text.replace("\n", " ")
    return text if len(text) <= 60 else text[:56] + " ..."


def _value_at(points: Sequence[tuple[float, float]], x: float, near: float) -> float:
    around = [y for at, y in points if abs(at - x) <= near]
    if around:
        return math.fsum(around) / len(around)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]


def _described(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "path": str(artifact.path), "stage": manifest.stage, "kind": manifest.kind,
        "key": manifest.key, "content": manifest.content, "created": manifest.created,
        "seconds": manifest.seconds,
    }  # fmt: skip


def _shown(artifact: Artifact) -> dict[str, Any]:
    if not (artifact.path / PRESENTATION).is_file():
        return {}
    shown = artifact.read_json(PRESENTATION)
    return shown if isinstance(shown, dict) else {}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _both(a: Mapping[str, int], b: Mapping[str, int]) -> list[tuple[str, int | None, int | None]]:
    return [(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]


def _figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[FigureDifference]:
    def read(entries: Mapping[str, Any], name: str) -> Figure | None:
        return Figure.from_json(entries[name]) if name in entries else None

    return [FigureDifference(n, read(a, n), read(b, n)) for n in dict.fromkeys([*a, *b])]


def _curves(a: Sequence[Any], b: Sequence[Any]) -> list[Curve]:
    """Series of line charts by title and name; those that both sides have."""
    first, second = _series(a), _series(b)
    return [
        Curve(title, name, labels[0], labels[1], points, second[title, name][1])
        for (title, name), (labels, points) in first.items()
        if (title, name) in second
    ]


def _series(
    charts: Sequence[Any],
) -> dict[tuple[str, str], tuple[tuple[str, str], tuple[tuple[float, float], ...]]]:
    found = {}
    for chart in charts:
        for series in chart["series"] if chart.get("style") == "line" else []:
            points = sorted(
                (float(x), float(y))
                for x, y in zip(series["x"], series["y"], strict=False)
                if x is not None and y is not None and math.isfinite(y)
            )
            if points:
                labels = (str(chart["x_label"]), str(chart["y_label"]))
                found[str(chart["title"]), str(series["name"])] = (labels, tuple(points))
    return found


def _samples(a: Sequence[Any], b: Sequence[Any]) -> list[SampleGroup]:
    """Answers to the same prompts, from groups of one title; of several the last.

    Where no title is in both, as of two kinds of training, all prompts that both were asked.
    """
    first, second = ({str(g["title"]): _answers(g["rows"]) for g in groups} for groups in (a, b))
    if not first.keys() & second.keys():
        title = "What both were asked"
        first, second = ({title: dict(_every(groups))} for groups in (first, second))
    groups = []
    for title, answers in first.items():
        other = second.get(title, {})
        rows = [(asked, said, other[asked]) for asked, said in answers.items() if asked in other]
        if rows:
            groups.append(SampleGroup(title, tuple(rows)))
    return groups


def _every(groups: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for answers in groups.values():
        yield from answers.items()


def _answers(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    answers: dict[str, str] = {}
    for row in rows:
        asked = next((label for label in _ASKED if label in row), None)
        if asked is None:
            continue
        told = {label: str(text) for label, text in row.items() if label not in _NOT_ANSWERS}
        if len(told) == 1:
            answers[str(row[asked])] = next(iter(told.values()))
        elif told:
            answers[str(row[asked])] = "\n".join(f"{label}: {text}" for label, text in told.items())
    return answers
