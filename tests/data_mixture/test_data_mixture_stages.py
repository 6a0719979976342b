"""Dedup, quality, domains, decontamination and mixture as stages, one after the other."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema, host_of
from gristmill.data.documents import DocumentSet
from gristmill.data.filters.trained import TextClassifier
from gristmill.stages.data_decontaminate import data_decontaminate
from gristmill.stages.data_dedup import data_dedup
from gristmill.stages.data_domains import data_domains
from gristmill.stages.data_mix import data_mix
from gristmill.stages.data_quality import data_quality
from gristmill.stages.stage import Execution, Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

Row = dict[str, Any]
FOOTER = "Brought to you by the guild of copyists"
TOPICS = {"Arts": range(0, 160), "Maths": range(120, 280), "History": range(240, 400)}
POOR = range(400, 460)


class MadeConfig(StageConfig):
    rows: str
    parts: int


@stage("made", version=1, kind="documents", config=MadeConfig, inputs={}, summary="", example="")
def made(config: MadeConfig, inputs: Inputs, output: Output) -> None:
    rows = json.loads(config.rows)
    size = -(-len(rows) // config.parts)
    for part in range(config.parts):
        table = pa.Table.from_pylist(
            [
                {
                    "id": document_id(row["url"], row["text"]),
                    "host": host_of(row["url"]),
                    "source": "test",
                    "links": [],
                    **row,
                }
                for row in rows[part * size : (part + 1) * size]
            ],
            schema=document_schema(),
        )
        path = output.path / "documents" / f"part-{part:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)


def prose(r: random.Random, words: range, count: int) -> str:
    return " ".join(f"word{r.choice(words)}" for _ in range(count))


def small_web() -> list[Row]:
    """120 articles on two sites, of which `ref` links to those on `good`; copies and near copies of
    some on `mirror`, with a footer on each page; 60 poor pages on `farm`."""
    r = random.Random(1)
    rows: list[Row] = []
    articles = []
    for i in range(120):
        topic = list(TOPICS)[i % 3]
        text = prose(r, TOPICS[topic], 60)
        host = "ref.example" if i < 40 else "good.example"
        url = f"http://{host}/{i}"
        links = (
            [f"http://good.example/{k}" for k in range(40 + 2 * i, 42 + 2 * i)] if i < 40 else []
        )
        shown = topic if i % 2 else None
        rows.append({"url": url, "text": text, "topic": shown, "links": links})
        articles.append(text)
    for i in range(40, 70):
        text = articles[i] if i < 55 else articles[i].replace(" ", " changed ", 1)
        rows.append({"url": f"http://mirror.example/{i}", "text": f"{text}\n{FOOTER}"})
    for i in range(60):
        rows.append({"url": f"http://farm.example/{i}", "text": prose(r, POOR, 40)})
    r.shuffle(rows)
    return rows


Chain = Callable[..., Artifact]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    return Workspace.at(tmp_path / "runs")


def documents(workspace: Workspace, rows: list[Row], parts: int = 2) -> Artifact:
    return made.run(MadeConfig(rows=json.dumps(rows), parts=parts), {}, workspace)


def run(
    one: Any, of: Artifact, workspace: Workspace, workers: int = 1, **settings: Any
) -> Artifact:
    config = one.config(**settings)
    execution = Execution(workers=workers)
    result = one.run(config, {"documents": of}, workspace, seed=7, execution=execution)
    assert isinstance(result, Artifact)
    return result


def rows_of(artifact: Artifact, columns: list[str]) -> dict[str, Row]:
    """Every document by URL, with the topmost layer's verdict."""
    found = DocumentSet.open(artifact)
    out = {}
    for part in found.parts:
        table = found.read_all(part, ["url", "text", *columns]).to_pylist()
        layer = pq.read_table(artifact.path / "layer" / f"{part}.parquet").to_pylist()
        for row, verdict in zip(table, layer, strict=True):
            out[row["url"]] = {**verdict, **row}
    return out


def presented(artifact: Artifact) -> dict[str, Any]:
    shown: dict[str, Any] = artifact.read_json("presentation.json")
    return shown


def test_dedup_keeps_one_of_each_and_says_which(workspace: Workspace) -> None:
    made_ = documents(workspace, small_web())
    layer = run(data_dedup, made_, workspace)
    rows = rows_of(layer, ["exact_group", "near_group"])
    ids = {row["id"]: url for url, row in rows.items()}
    for i in range(120):
        host = "ref.example" if i < 40 else "good.example"
        assert rows[f"http://{host}/{i}"]["reason"] is None
    for i in range(40, 70):
        copy = rows[f"http://mirror.example/{i}"]
        assert copy["reason"] == ("exact_duplicate" if i < 55 else "near_duplicate")
        assert not copy["keep"] and FOOTER not in copy["text"]
        group = "exact_group" if i < 55 else "near_group"
        assert ids[copy[group]] == f"http://good.example/{i}"
        assert ids[copy["near_group"]] == f"http://good.example/{i}"
    for row in rows.values():
        kept = rows[ids[row["near_group"]]]
        assert kept["keep"] and kept["near_group"] == row["near_group"]
    counts = layer.manifest.counts
    assert (counts["exact_duplicate"], counts["near_duplicate"]) == (15, 15)
    assert (counts["kept"], counts["repeated_lines"]) == (180, 30)
    figures = presented(layer)["figures"]
    assert figures["dedup.sample_precision"]["value"] == 1.0
    assert figures["dedup.sample_recall"]["value"] == 1.0


def test_dedup_prefers_the_site_that_it_is_told_to(workspace: Workspace) -> None:
    made_ = documents(workspace, small_web())
    layer = run(data_dedup, made_, workspace, prefer_hosts=["mirror.example"])
    rows = rows_of(layer, [])
    assert all(rows[f"http://mirror.example/{i}"]["keep"] for i in range(40, 70))
    assert rows["http://good.example/45"]["reason"] == "exact_duplicate"


def test_dedup_steps_can_be_left_out(workspace: Workspace) -> None:
    made_ = documents(workspace, small_web())
    off = {"enabled": False}
    nothing = run(data_dedup, made_, workspace, exact=off, near=off, lines=off)
    assert nothing.manifest.counts["kept"] == 210
    # With the footer left in, no copy is exact, but each is a near one.
    near = run(data_dedup, made_, workspace, lines=off)
    assert near.manifest.counts["exact_duplicate"] == 0
    assert near.manifest.counts["near_duplicate"] == 30
    exact = run(data_dedup, made_, workspace, near=off)
    assert exact.manifest.counts["near_duplicate"] == 0
    assert exact.manifest.counts["exact_duplicate"] == 15


def test_a_page_of_nothing_but_repeated_lines_is_dropped_for_that(workspace: Workspace) -> None:
    rows = small_web()
    rows += [{"url": f"http://mirror.example/empty/{i}", "text": FOOTER} for i in range(2)]
    rows.append({"url": "http://other.example/1", "text": "..."})
    rows.append({"url": "http://other.example/2", "text": "!"})
    found = rows_of(run(data_dedup, documents(workspace, rows), workspace), [])
    for i in range(2):
        assert found[f"http://mirror.example/empty/{i}"]["reason"] == "only_repeated_lines"
    # Texts without words are nobody's copies.
    assert found["http://other.example/1"]["keep"] and found["http://other.example/2"]["keep"]


def verdicts(artifact: Artifact) -> list[tuple[str, Any, Any, Any]]:
    rows = rows_of(artifact, ["near_group"])
    return sorted((u, r["keep"], r["reason"], r["near_group"]) for u, r in rows.items())


def test_parts_and_workers_change_nothing(workspace: Workspace) -> None:
    rows = small_web()
    one = run(data_dedup, documents(workspace, rows, 1), workspace)
    five = run(data_dedup, documents(workspace, rows, 5), workspace, workers=3)
    assert verdicts(one) == verdicts(five)
    again = run(
        data_dedup, documents(workspace, rows, 5), Workspace.at(workspace.path / "x"), workers=1
    )
    assert again.content == five.content


def chain(workspace: Workspace, rows: list[Row], parts: int = 2) -> dict[str, Artifact]:
    found = {"dedup": run(data_dedup, documents(workspace, rows, parts), workspace)}
    found["quality"] = run(
        data_quality,
        found["dedup"],
        workspace,
        reference_hosts=["ref.example"],
        keep_share=0.7,
        negatives_per_positive=1.0,
        bits=14,
    )
    found["domains"] = run(data_domains, found["quality"], workspace, min_documents=5, bits=14)
    found["mix"] = run(data_mix, found["domains"], workspace, heldout_share=0.1)
    return found


def split(artifact: Artifact, name: str) -> list[Row]:
    files = sorted((artifact.path / name).glob("part-*.parquet"))
    rows: list[Row] = pa.concat_tables(pq.read_table(f) for f in files).to_pylist()
    return rows


def test_the_whole_chain(workspace: Workspace) -> None:
    artifacts = chain(workspace, small_web())
    quality = rows_of(artifacts["quality"], ["quality"])
    good = [quality[f"http://good.example/{i}"]["quality"] for i in range(40, 120)]
    poor = [quality[f"http://farm.example/{i}"]["quality"] for i in range(60)]
    assert min(good) > max(poor)
    assert presented(artifacts["quality"])["figures"]["quality.linked_auc"]["value"] > 0.95
    assert quality["http://mirror.example/41"]["quality"] is None
    assert all(quality[f"http://ref.example/{i}"]["keep"] for i in range(40))
    dropped = [u for u, row in quality.items() if row["reason"] == "low_quality"]
    assert len(dropped) == 54 and all("farm" in url for url in dropped)
    model = TextClassifier.load(artifacts["quality"].path / "quality.safetensors").model
    assert model.classifier.labels[0] == "other"

    domains = rows_of(artifacts["domains"], ["domain", "domain_labelled", "domain_probability"])
    right = 0
    for i in range(120):
        host = "ref.example" if i < 40 else "good.example"
        row = domains[f"http://{host}/{i}"]
        truth = list(TOPICS)[i % 3]
        assert row["domain_labelled"] == bool(i % 2)
        if i % 2:
            assert row["domain"] == truth and row["domain_probability"] == 1.0
        right += row["domain"] == truth
    assert right > 110

    train, held = split(artifacts["mix"], "train"), split(artifacts["mix"], "heldout")
    assert len(train) + len(held) == 126 and 0 < len(held) < 30
    assert not {r["group"] for r in train} & {r["group"] for r in held}
    assert all(FOOTER not in row["text"] for row in train + held)
    assert {row["repeats"] for row in train} == {1} and {row["repeats"] for row in held} == {0}
    assert any(row["anneal"] for row in train) and not any(row["anneal"] for row in held)
    assert {row["domain"] for row in train} == set(TOPICS)
    assert artifacts["mix"].manifest.counts["train"] == len(train)


def test_the_mixture_does_not_depend_on_parts(workspace: Workspace) -> None:
    rows = small_web()
    one, four = (chain(workspace, rows, parts)["mix"] for parts in (1, 4))
    assert split(one, "train") == split(four, "train")
    assert split(one, "heldout") == split(four, "heldout")
    assert one.content == four.content


def test_ones_own_text_needs_no_web_and_no_topics(workspace: Workspace) -> None:
    r = random.Random(2)
    rows = [
        {"url": f"file:notes/{i}.txt", "text": f"{FOOTER}\n{prose(r, range(400), 30)}"}
        for i in range(30)
    ]
    dedup = run(data_dedup, documents(workspace, rows), workspace)
    assert dedup.manifest.counts["kept"] == 30 and dedup.manifest.counts["repeated_lines"] == 0
    quality = run(data_quality, dedup, workspace)
    assert quality.manifest.counts["kept"] == 30
    assert "no reference" in presented(quality)["notes"][0]
    assert {row["quality"] for row in rows_of(quality, ["quality"]).values()} == {None}
    domains = run(data_domains, quality, workspace)
    assert {row["domain"] for row in rows_of(domains, ["domain"]).values()} == {"all"}
    assert "one domain, 'all'" in presented(domains)["notes"][0]
    mix = run(data_mix, domains, workspace)
    train, held = split(mix, "train"), split(mix, "heldout")
    assert len(train) + len(held) == 30 and held
    assert all(row["quality"] is None and row["domain"] == "all" for row in train)
    assert any("No quality is known" in note for note in presented(mix)["notes"])


def test_a_mixture_of_bare_documents(workspace: Workspace) -> None:
    mix = run(data_mix, documents(workspace, small_web()), workspace, heldout_share=0.1)
    train, held = split(mix, "train"), split(mix, "heldout")
    assert all(row["group"] == row["id"] for row in train + held)
    # Without near groups the copies of held-out pages are still kept out, as they quote them.
    held_texts = {row["text"].replace("\n" + FOOTER, "") for row in held}
    assert mix.manifest.counts["leaking"] > 0
    assert not any(row["text"].replace("\n" + FOOTER, "") in held_texts for row in train)
    assert len(train) + len(held) + mix.manifest.counts["leaking"] == 210


def test_held_out_sites_and_weights_reach_the_files(workspace: Workspace) -> None:
    rows = small_web()
    domains = chain(workspace, rows)["domains"]
    mix = run(
        data_mix,
        domains,
        workspace,
        heldout_hosts=["ref.example"],
        heldout_share=0.0,
        weighting="manual",
        weights={"Arts": 4.0, "*": 1.0},
        documents_per_part=20,
    )
    train, held = split(mix, "train"), split(mix, "heldout")
    assert {row["host"] for row in held} == {"ref.example"} and len(held) == 40
    seen = {True: 0, False: 0}
    for row in train:
        seen[row["domain"] == "Arts"] += row["repeats"] * len(row["text"])
    assert seen[True] / seen[False] == pytest.approx(4.0, rel=0.35)
    assert len(list((mix.path / "train").iterdir())) > 1
    with pytest.raises(GristmillError, match="did you mean 'Arts'"):
        run(data_mix, domains, workspace, weighting="manual", weights={"Artz": 1.0, "*": 1.0})


def test_few_linked_pages_judge_nothing(workspace: Workspace) -> None:
    made_ = documents(workspace, small_web())
    layer = run(data_quality, made_, workspace, reference_hosts=["farm.example"])
    assert layer.manifest.counts["kept"] == 210
    assert "links to 0 of the kept pages" in presented(layer)["notes"][0]


def test_decontamination_drops_or_marks(workspace: Workspace, tmp_path: Path) -> None:
    rows = small_web()
    made_ = documents(workspace, rows)
    item = next(row["text"] for row in rows if row["url"] == "http://good.example/99")
    path = tmp_path / "exam.jsonl"
    lines = [{"question": " ".join(item.split()[5:40])}, {"question": "too short"}]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    layer = run(data_decontaminate, made_, workspace, sets=[path])
    found = rows_of(layer, ["contamination_set", "contamination_long"])
    bad = [url for url, row in found.items() if row["reason"] == "contaminated"]
    assert bad == ["http://good.example/99"]
    assert found[bad[0]]["contamination_set"] == "exam"
    assert found[bad[0]]["contamination_long"] == 23
    table = presented(layer)["tables"][0]["rows"][0]
    assert table[:4] == ["exam", 2, 1, 1]
    told = (layer.path / "contamination.jsonl").read_text(encoding="utf-8").splitlines()
    (finding,) = map(json.loads, told)
    assert (finding["set"], finding["item"], finding["url"]) == ("exam", 1, bad[0])
    assert finding["shared_13"] == 23 and finding["share_of_8"] == 1.0 and finding["lines"] == [1]
    marked = run(data_decontaminate, made_, workspace, sets=[path], action="mark")
    assert marked.manifest.counts["kept"] == 210
    with pytest.raises(GristmillError, match="no evaluation texts"):
        run(data_decontaminate, made_, workspace)
    (tmp_path / "blank.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(GristmillError, match="no evaluation text was found in blank"):
        run(data_decontaminate, made_, workspace, sets=[path, tmp_path / "blank.jsonl"])
    exam = documents(workspace, [{"url": "file:exam/1", "text": item}], 1)
    both = data_decontaminate.run(
        data_decontaminate.config(), {"documents": made_, "evaluation": exam}, workspace
    )
    assert both.manifest.counts["contaminated"] == 1


def test_a_document_counts_for_each_set_and_its_lines_are_told(
    workspace: Workspace, tmp_path: Path
) -> None:
    r = random.Random(4)
    first, second = (prose(r, range(5000), 30) for _ in range(2))
    text = f"{prose(r, range(5000), 9)}\n{first}\n{prose(r, range(5000), 9)}\n{second}"
    rows = [{"url": "http://a.example/1", "text": text}]
    rows += [{"url": f"http://b.example/{i}", "text": prose(r, range(5000), 40)} for i in range(5)]
    sets = []
    for name, items in (("one", [prose(r, range(5000), 20), first]), ("two", [second])):
        sets.append(tmp_path / f"{name}.jsonl")
        sets[-1].write_text("\n".join(json.dumps({"text": t}) for t in items), encoding="utf-8")
    layer = run(data_decontaminate, documents(workspace, rows, 3), workspace, sets=sets)
    lines = (layer.path / "contamination.jsonl").read_text(encoding="utf-8").splitlines()
    told = [(one["set"], one["item"], one["lines"]) for one in map(json.loads, lines)]
    assert told == [("one", 2, [2]), ("two", 1, [4])]
    assert [row[3] for row in presented(layer)["tables"][0]["rows"]] == [1, 1]
    assert layer.manifest.counts["contaminated"] == 1


def test_weights_come_from_a_file(workspace: Workspace, tmp_path: Path) -> None:
    domains = chain(workspace, small_web())["domains"]
    file = tmp_path / "weights.json"
    weights = {"Arts": 4.0, "Maths": 1.0, "History": 1.0}
    # A domain that no document is of, as in a study of other text, is left out.
    file.write_text(json.dumps({"weights": {**weights, "Poetry": 1.0}}), encoding="utf-8")
    by_hand = run(data_mix, domains, workspace, weighting="manual", weights=weights)
    by_file = run(data_mix, domains, workspace, weights_from={"file": str(file)})
    assert by_file.content == by_hand.content
    # What is in the file counts, not where it lies.
    (tmp_path / "moved").mkdir()
    again = file.rename(tmp_path / "moved" / file.name)
    same = run(data_mix, domains, workspace, weights_from={"file": str(again)})
    assert same.path == by_file.path
    again.write_text(json.dumps({"weights": {"Poetry": 1.0}}), encoding="utf-8")
    with pytest.raises(GristmillError, match="no document is of these domains"):
        run(data_mix, domains, workspace, weights_from={"file": str(again)})


def test_sites_are_held_out_by_share_and_much_repetition_is_told(workspace: Workspace) -> None:
    rows = small_web()
    for number in range(40):
        rows.append({"url": f"http://s{number}.example/", "text": f"page {number} " * 20})
    documents_ = documents(workspace, rows)
    mix = run(data_mix, documents_, workspace, heldout_host_share=0.3, heldout_share=0.0)
    train, held = split(mix, "train"), split(mix, "heldout")
    sites = {row["host"] for row in held}
    assert not sites & {row["host"] for row in train} and 5 < len(sites) < 25
    big = run(data_mix, documents_, workspace, budget_bytes=10**6, max_repeats=20.0)
    assert any("is worth about" in note for note in presented(big)["notes"])
    assert not any("is worth about" in note for note in presented(mix)["notes"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_is_a_number(bad: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        data_mix.config(weighting="manual", weights={"a": 1.0, "b": bad})
    with pytest.raises(ValidationError):
        data_mix.config(temperature=bad)
