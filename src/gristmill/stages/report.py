"""`report`: the figures of a workspace in one JSON file, and its story in one HTML file."""

from __future__ import annotations

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import write_json, write_text_atomic
from gristmill.report.page import StageRecord, all_figures, render_report, shared_figures
from gristmill.stages.registry import STAGES
from gristmill.stages.stage import PRESENTATION, Inputs, Output, Slot, StageConfig, stage
from gristmill.stages.workspace import asked_for


class ReportConfig(StageConfig):
    """Settings of `report`."""

    title: str = "gristmill: from raw pages to a language model"
    """Title of the page."""
    about: str = "What each step kept, what it got right, and what it did to the result."
    """The sentence below the title."""


@stage(
    "report",
    version=1,
    kind="report",
    config=ReportConfig,
    inputs={"artifacts": Slot(many=True, help="all that the report tells of, in order")},
    summary="write report.html, which opens offline, and figures.json, flat and for programs",
    example="gristmill report --workspace runs/demo",
    uncached=True,
    publishes=("report.html", "figures.json"),
)
def report(config: ReportConfig, inputs: Inputs, output: Output) -> None:
    told = inputs.many("artifacts")
    records = [_record(artifact) for artifact in told]
    further = [_record(artifact, f" for {study}") for artifact, study in asked_for(told)]
    attribution = [line for artifact in inputs.many("artifacts") for line in _attribution(artifact)]
    page = render_report(config.title, config.about, records, attribution, further)
    write_text_atomic(output.path / "report.html", page)
    write_json(output.path / "figures.json", all_figures(records, further))
    output.counts["stages"] = len(records)
    output.notes += shared_figures(records)


def _record(artifact: Artifact, suffix: str = "") -> StageRecord:
    manifest = artifact.manifest
    shown = artifact.read_json(PRESENTATION) if (artifact.path / PRESENTATION).exists() else {}
    return StageRecord(
        name=manifest.stage + suffix,
        kind=manifest.kind,
        summary=STAGES.get(manifest.stage.replace(".", " "), ("", ""))[1],
        key=manifest.key,
        content=manifest.content,
        seconds=manifest.seconds,
        cpu_seconds=manifest.cpu_seconds,
        peak_memory_bytes=manifest.peak_memory_bytes,
        bytes=sum(ref.bytes for ref in manifest.files.values()),
        counts=manifest.counts,
        inputs={
            slot: [f"{ref.stage}-{ref.key[:12]}" for ref in refs]
            for slot, refs in manifest.inputs.items()
        },
        artifact=artifact.name,
        shown=shown,
        node=artifact.node,
    )


def _attribution(artifact: Artifact) -> list[str]:
    """The credit that a source of texts asks for, as `web.json` states it."""
    if artifact.kind != "web":
        return []
    said = artifact.read_json("web.json").get("attribution", "")
    if isinstance(said, dict):
        return [f"{name}: {value}" for name, value in said.items()]
    return [str(line) for line in said] if isinstance(said, list) else [str(said)]
