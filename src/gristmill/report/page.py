"""The report: one HTML file that opens offline, from what each stage recorded and gave."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gristmill.core.figure import Figure
from gristmill.report import elements, story
from gristmill.report.pieces import grid, paragraphs, pieces


@dataclass(frozen=True)
class StageRecord:
    """What the report knows of a stage: the facts of its manifest and what it gave to show."""

    name: str
    kind: str
    summary: str
    key: str
    content: str
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    bytes: int
    counts: Mapping[str, int]
    inputs: Mapping[str, Sequence[str]]
    """For each slot the names of the artifacts that filled it."""
    artifact: str
    shown: Mapping[str, Any] = field(default_factory=dict)
    """figures, tables, charts, samples and notes as `presentation.json` holds them."""
    node: str = ""
    """The recipe's name for it, with its label, where it has one: `evaluate.tasks@hard`."""


_GROUPS = (
    ("From pages to documents", "data.sample-web data.import data.crawl data.extract data.filter "
     "data.dedup data.quality data.domains data.decontaminate data.mix"),
    ("Tokenizer", "tokenizer. data.index"),
    ("Training", "import train."),
    ("Evaluation", "evaluate. score"),
    ("Sample texts", "generate"),
    ("Alignment", "align. train.sft train.reward train.dpo train.ppo study.alignment"),
    ("Scaling", "study.sweep study.families scaling."),
    ("Comparisons", "study. arena."),
)  # fmt: skip
"""Sections with the verbs that they hold; one that is named whole goes before a prefix."""

_READ = {"generate", "study.alignment"}
"""Stages whose samples are their result."""
_ASIDE = {"data.sample-web", "data.index", "tokenizer.encode", "evaluate.contamination",
          "align.synthesize", "align.sample", "align.rank", "arena.import"}  # fmt: skip
"""Stages that prepare others: what they show is folded."""
_TOLD_BY = {"data.crawl": "data.inspect", "data.extract": "data.inspect",
            "data.domains": "data.inspect", "align.best-of-n": "study.alignment"}  # fmt: skip
"""Stages that are folded where another tells the same of them."""

_TILES = (
    ("base.bits_per_byte", "bits per byte, held out", "whole documents; lower is better"),
    ("ngram5.bits_per_byte", "bits per byte, 5-gram", "interpolated modified Kneser-Ney"),
    ("choices.accuracy", "of choices right", "which description is whose; chance is a quarter"),
    ("sft.stops", "of answers end by themselves", "SFT, held-out questions"),
    ("reward.accuracy", "of preferences right", "reward model; chance is a half"),
    ("alignment.dpo.win_rate", "of questions won by DPO", "against SFT; a half is even"),
    ("alignment.ppo.win_rate", "of questions won by PPO", "against SFT; a half is even"),
    ("extract.f1", "F1 of the main text", "4-word shingles against the truth"),
    ("quality.auc", "AUC of quality", "good pages against poor ones"),
    ("crawl.forbidden_fetched", "forbidden pages fetched", "that robots.txt keeps out"),
)

_OPEN_BARS = 10

_SHARES = {"choices.accuracy", "sft.stops", "reward.accuracy", "alignment.dpo.win_rate",
           "alignment.ppo.win_rate"}  # fmt: skip


def render_report(
    title: str,
    about: str,
    stages: Sequence[StageRecord],
    attribution: Sequence[str],
    further: Sequence[StageRecord] = (),
) -> str:
    """The whole page as text. `stages` stand in the order in which they ran.

    further: what studies asked for; it counts for lineage, time and memory, and they tell of it.
    """
    figures = all_figures(stages, further)
    said = [*shared_figures(stages), *attribution]
    credit = "".join(f"<p>{elements.text(line)}</p>" for line in said)
    sections = _sections(stages, further)
    return elements.page(
        title,
        about,
        sections,
        lead=_lead(stages, figures, [name for name, _ in sections]),
        tiles=elements.tiles(_tiles(figures)),
        footer=f"<footer>{credit}</footer>",
    )


def all_figures(
    stages: Sequence[StageRecord], further: Sequence[StageRecord] = ()
) -> dict[str, dict[str, Any]]:
    """Every stage's figures and the total of the recorded times, sorted by name.

    Where several stages write different values under one name, see `shared_figures`.
    """
    figures, _ = _told_apart(stages)
    timed = [*stages, *further]
    total = Figure(round(sum(stage.seconds for stage in timed), 3), n=len(timed))
    figures["seconds.total"] = dict(total.to_json())
    return dict(sorted(figures.items()))


def shared_figures(stages: Sequence[StageRecord]) -> list[str]:
    """A sentence for each name under which stages write different values: the last of those
    without a label keeps it, and another's is `NAME@LABEL`, or `NAME@STAGE` without a label."""
    return _told_apart(stages)[1]


def _told_apart(stages: Sequence[StageRecord]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    written: dict[str, list[tuple[StageRecord, dict[str, Any]]]] = {}
    for stage in stages:
        for name, entry in stage.shown.get("figures", {}).items():
            written.setdefault(name, []).append((stage, entry))
    figures: dict[str, dict[str, Any]] = {}
    notes = []
    for name, several in written.items():
        plain = [one for one in several if "@" not in one[0].node]
        keeper, figures[name] = (plain or several)[-1]
        others = [(stage, entry) for stage, entry in several if entry != figures[name]]
        for stage, entry in others:
            called = stage.node or stage.name
            apart = f"{name}@{called.partition('@')[2] or called}"
            if apart in figures or apart in written:
                apart = f"{name}@{stage.artifact}"
            figures[apart] = entry
            notes.append(
                f"{name} is written by {keeper.node or keeper.name} and by {called}: the latter's "
                f"stands as {apart}."
            )
    return figures, notes


def _lead(
    stages: Sequence[StageRecord], figures: Mapping[str, Any], sections: Sequence[str]
) -> str:
    """The story in a paragraph, and what deserves a look."""
    inspected: dict[str, Any] = {}
    words = None
    for stage in stages:
        if stage.kind != "inspection":
            continue
        inspected |= stage.shown.get("figures", {})
        for table in stage.shown.get("tables", []):
            if table["title"] == "Left after each step" and table["rows"]:
                last = dict(zip(table["columns"], table["rows"][-1], strict=True))
                words = last.get("words")
    counts = {stage.name: stage.counts for stage in stages}
    said = story.story(figures, counts, words) + story.look_at(figures, inspected, sections)
    return f'<div class="opening">{said}</div>' if said else ""


def _tiles(figures: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    found = []
    for name, label, note in _TILES:
        if name in figures:
            value = figures[name]["value"]
            shown = f"{100 * value:.1f}%" if name in _SHARES else f"{value:.4g}"
            found.append((shown, label, note))
    found.append((_duration(figures["seconds.total"]["value"]), "for everything", "sum of stages"))
    return found


def _sections(
    stages: Sequence[StageRecord], further: Sequence[StageRecord]
) -> list[tuple[str, str]]:
    sections: list[tuple[str, str]] = []
    inspections = [stage for stage in stages if stage.kind == "inspection"]
    if inspections:
        inner = "".join(_inspection(stage, len(inspections) > 1) for stage in inspections)
        sections.append(("What was kept, and what was right", inner))
    grouped = set(inspections_names(inspections))
    present = {stage.name for stage in stages}
    measured = next((_called(s) for s in stages if s.name == "evaluate.perplexity"), "")
    for name, _ in _GROUPS:
        members = [s for s in stages if s.name not in grouped and _section_of(s.name) == name]
        inner = "".join(_stage(stage, measured, present) for stage in members)
        if members:
            grouped.update(stage.name for stage in members)
            sections.append((name, inner))
    others = [s for s in stages if s.name not in grouped and s.kind != "report"]
    if others:
        sections.append(
            ("Further stages", "".join(_stage(stage, measured, present) for stage in others))
        )
    sections.append(("How it was made", _lineage([*stages, *further]) + _cost([*stages, *further])))
    everything = elements.figures_table(all_figures(stages, further))
    sections.append(("All figures", elements.fold("as in figures.json", everything)))
    return sections


def inspections_names(inspections: Sequence[StageRecord]) -> list[str]:
    """The node names of inspections, which have a section of their own."""
    return [stage.name for stage in inspections]


def _section_of(name: str) -> str | None:
    """The section of a node: that which names its verb, else that which names its prefix."""
    verb = name.split("@")[0]
    for section, verbs in _GROUPS:
        if verb in verbs.split():
            return section
    for section, verbs in _GROUPS:
        if any(one.endswith(".") and verb.startswith(one) for one in verbs.split()):
            return section
    return None


def _called(stage: StageRecord) -> str:
    """A stage's name with its label, where it stands beside another: `data.filter@mine`."""
    label = stage.node.partition("@")[2]
    return f"{stage.name}@{label}" if label and "@" not in stage.name else stage.name


def _inspection(stage: StageRecord, several: bool) -> str:
    head = f"<h3>{elements.text(_called(stage))}</h3>" if several else ""
    notes = stage.shown.get("notes", [])
    if not notes:
        return head + pieces(stage.shown, {}, read=False)
    said = (
        '<h4>Where a step was wrong most often</h4><p class="soft">Precision: the share of what a '
        "step took that was rightly taken; the others are its false alarms. Recall: the share of "
        "what it should have taken that it took; the others are missed. The names are those of "
        "the rules.</p>"
    )
    bare = {**stage.shown, "notes": []}
    return head + pieces(bare, {}, read=False) + said + paragraphs(notes)


def _stage(stage: StageRecord, measured: str, present: Collection[str]) -> str:
    """measured: the stage that reads the held-out text whole, nothing where none did. present: the
    names of all stages."""
    verb = stage.name.partition("@")[0]
    shown = stage.shown
    inner = pieces(shown, shown.get("figures", {}), read=verb in _READ)
    fold = inner and (verb in _ASIDE or _TOLD_BY.get(verb) in present)
    head = f"<h3>{elements.text(_called(stage))}</h3>"
    if stage.summary:
        head += f"<p>{elements.text(stage.summary)}</p>"
    if fold:
        head += elements.fold("what it showed", inner)
    head = f'<div class="stage">{head}</div>'
    counts = ", ".join(f"{number:,} {name}" for name, number in stage.counts.items())
    if counts:
        head += f'<p class="soft">{elements.text(counts)}</p>'
    if measured and "train.bits_per_byte.heldout" in shown.get("figures", {}):
        head += f"<p>{elements.text(story.TWO_MEASURES.format(name=measured))}</p>"
    return head if fold else head + inner


def _lineage(stages: Sequence[StageRecord]) -> str:
    by_artifact = {stage.artifact: stage for stage in stages}
    used = {name for stage in stages for names in stage.inputs.values() for name in names}
    tops = [stage for stage in stages if stage.artifact not in used]
    lines: list[str] = []
    seen: set[str] = set()

    def draw(name: str, slot: str, indent: str, last: bool, top: bool) -> None:
        stage = by_artifact.get(name)
        label = (
            f"{_called(stage)}  {stage.kind} {stage.key[:12]}" if stage else f"{name}  (elsewhere)"
        )
        branch = "" if top else ("└─ " if last else "├─ ")
        again = "  (above)" if name in seen else ""
        lines.append(f"{indent}{branch}{slot + ': ' if slot else ''}{label}{again}")
        if name in seen or stage is None:
            return
        seen.add(name)
        below = [(s, n) for s, names in stage.inputs.items() for n in names]
        inner = indent if top else indent + ("   " if last else "│  ")
        for index, (s, n) in enumerate(below):
            draw(n, s, inner, index == len(below) - 1, False)

    for top in tops:
        draw(top.artifact, "", "", True, True)
    return (
        "<h3>Lineage</h3><p>Each result with what it was made from, down to the first page. "
        "The letters are the key: settings, inputs and stage version.</p>"
        + elements.fold("the tree", f'<pre tabindex="0">{elements.text(chr(10).join(lines))}</pre>')
    )


def _cost(stages: Sequence[StageRecord]) -> str:
    rows = [
        [
            _called(stage),
            round(stage.seconds, 1),
            round(stage.cpu_seconds, 1),
            f"{stage.peak_memory_bytes / 2**20:,.0f} MiB",
            f"{stage.bytes / 1e6:,.1f} MB",
        ]
        for stage in stages
    ]
    total = sum(stage.seconds for stage in stages)
    columns = ["stage", "seconds", "CPU seconds", "peak memory", "on disk"]
    longest = sorted(stages, key=lambda stage: -stage.seconds)[:_OPEN_BARS]
    timed = [stage for stage in stages if stage.seconds >= 0.05 and stage in longest]
    bars = {
        "title": "Seconds per stage" + (", the longest" if len(stages) > len(longest) else ""),
        "x_label": "stage",
        "y_label": "seconds",
        "style": "bar",
        "categories": [_called(stage) for stage in timed],
        "series": [
            {"name": "seconds", "x": list(range(len(timed))), "y": [s.seconds for s in timed]}
        ],
    }
    return (
        f"<h3>Time and memory</h3><p>{_duration(total)} in all, as recorded when each was made.</p>"
        + (grid([elements.chart(bars)]) if timed else "")
        + elements.fold(
            "CPU seconds, memory and disk of each stage",
            elements.table({"title": "", "columns": columns, "rows": rows}),
        )
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
