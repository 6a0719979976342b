"""Classifiers of adult and toxic text: labelled files, training, what follows from a score."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema
from gristmill.data.coded import Coded
from gristmill.data.filters.chain import Chain, ChainRules, quarantined
from gristmill.data.filters.labelled import Labelled, read_labelled
from gristmill.data.filters.rules import TextUse
from gristmill.data.filters.trained import (
    TextClassifier,
    average_precision,
    operating_points,
    shifted,
    train_text_classifier,
)
from gristmill.data.filters.uses import Uses
from gristmill.data.mixture import Candidates, plan_mixture
from gristmill.stages.data_filter import FilterConfig, data_filter
from gristmill.stages.data_mix import MixConfig, data_mix
from gristmill.stages.stage import StageConfig, config_identity, stage
from gristmill.stages.workspace import Workspace

COARSE = ("glorbex", "frumbolt", "zkarna", "plixor", "vorpuda")
PLAIN = "mill river wheat flour village bridge stone wheel farmer harvest winter bell".split()


def sentence(r: random.Random, coarse: float, length: int = 30) -> str:
    words = [r.choice(COARSE if r.random() < coarse else PLAIN) for _ in range(length)]
    return f"The {' '.join(words)}."


def labelled(count: int = 120, seed: int = 0) -> Labelled:
    r = random.Random(seed)
    labels = np.array([i % 3 == 0 for i in range(count)])
    texts = tuple(sentence(r, 0.3 if label else 0.02) for label in labels)
    return Labelled(texts, labels, tuple(map(str, range(count))), 0, ())


def write(path: Path, records: list[Any]) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def jsonl(path: Path, data: Labelled) -> Path:
    pairs = zip(data.texts, data.labels.tolist(), strict=True)
    return write(path, [{"text": text, "label": label} for text, label in pairs])


@pytest.fixture(scope="module")
def trained() -> Any:
    return train_text_classifier(labelled(), "adult")


@pytest.mark.parametrize(
    ("yes", "no"),
    [(1, 0), (True, False), ("1", "0"), ("adult", "clean"), ("Adult", "not_adult"), ("yes", "no")],
)
def test_labels_that_are_known(tmp_path: Path, yes: Any, no: Any) -> None:
    rows = [{"text": f"text {i}", "label": yes if i % 2 else no} for i in range(40)]
    found = read_labelled(write(tmp_path / "a.jsonl", rows), "adult")
    assert found.labels.tolist() == [i % 2 == 1 for i in range(40)] and found.bad == 0


def test_bad_lines_are_counted_and_equal_texts_are_one_group(tmp_path: Path) -> None:
    rows: list[Any] = [{"text": f"text {i // 2 * 2}", "label": i // 2 % 2} for i in range(80)]
    rows[3:3] = ["{broken", [1], {"text": "no label"}, {"text": 5, "label": 1}, "", {"label": 1}]
    rows.append({"text": "x", "label": "maybe"})
    found = read_labelled(write(tmp_path / "a.jsonl", rows), "adult")
    assert len(found.texts) == 80 and found.bad == 6
    assert [bad["line"] for bad in found.shown] == ["4", "5", "6", "7", "9", "87"]
    assert [bad["reason"] for bad in found.shown] == [
        "not JSON",
        "not an object",
        "no field 'label'",
        "'text' is no text",
        "no field 'text'",
        "a label that is not known: 'maybe'",
    ]
    assert len(set(found.groups)) == 40


def test_other_fields_and_labels(tmp_path: Path) -> None:
    rows = [{"body": f"t {i}", "class": "B" if i % 2 else "C", "group": i // 4} for i in range(60)]
    path = write(tmp_path / "a.jsonl", rows)
    found = read_labelled(path, "toxic", text_field="body", label_field="class", positive=["b"])
    assert int(found.labels.sum()) == 30 and len(set(found.groups)) == 15
    with pytest.raises(GristmillError, match="0 texts are labelled toxic") as caught:
        read_labelled(path, "toxic", text_field="body", label_field="class")
    assert "'C', 'B'" in str(caught.value) or "'B', 'C'" in str(caught.value)
    with pytest.raises(GristmillError, match="no field 'text'"):
        read_labelled(path, "toxic")


def test_it_learns_and_says_how_well(trained: Any) -> None:
    r = random.Random(99)
    texts = [sentence(r, 0.3) for _ in range(40)] + [sentence(r, 0.02) for _ in range(40)]
    scores = trained.classifier.probabilities(texts)
    assert (scores[:40] > 0.5).mean() > 0.9 and (scores[40:] < 0.5).mean() > 0.9
    assert trained.area.value > 0.97 and trained.average_precision > 0.95
    assert trained.calibration_error < 0.15


def test_labels_at_random_are_not_learned() -> None:
    r = random.Random(3)
    texts = tuple(sentence(r, 0.1) for _ in range(150))
    labels = np.array([r.random() < 0.5 for _ in texts])
    found = train_text_classifier(
        Labelled(texts, labels, tuple(map(str, range(150))), 0, ()), "adult"
    )
    assert 0.3 < found.area.value < 0.7


def test_equal_input_equal_bytes_and_back(tmp_path: Path, trained: Any) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    trained.classifier.save(one)
    train_text_classifier(labelled(), "adult").classifier.save(two)
    assert one.read_bytes() == two.read_bytes()
    texts = labelled(seed=5).texts
    again = TextClassifier.load(one)
    assert again.name == "adult"
    assert np.array_equal(again.probabilities(texts), trained.classifier.probabilities(texts))
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(GristmillError, match="not a text classifier"):
        TextClassifier.load(tmp_path / "bad.safetensors")


def test_another_base_rate_moves_probabilities_not_their_order(trained: Any) -> None:
    rare = train_text_classifier(labelled(), "adult", base_rate=0.01)
    texts = labelled(seed=8).texts
    usual, moved = (one.classifier.probabilities(texts) for one in (trained, rare))
    assert (moved < usual).all()
    assert np.array_equal(np.argsort(moved, kind="stable"), np.argsort(usual, kind="stable"))
    assert shifted(np.array([0.5]), np.log(0.25))[0] == pytest.approx(0.2)


def test_points_and_average_precision_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.3, 0.1])
    labels = np.array([True, True, False, False, True])
    # Precision 1, 2/3, 2/4, 3/5 at recalls 1/3, 2/3, 2/3, 1.
    assert average_precision(scores, labels) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    high, low, none = operating_points(scores, labels, (0.8, 0.1, 0.95))
    assert (high.precision, high.recall, high.false_alarms) == (2 / 3, 2 / 3, 0.5)
    assert (low.precision, low.recall, low.false_alarms) == (3 / 5, 1.0, 1.0)
    assert none.precision is None and none.recall == 0


# The stage: drop, mark, weigh; what is made is used again.

TEXTS = [sentence(random.Random(20 + i), 0.3 if i < 3 else 0.0, 60) for i in range(8)]


class TextsConfig(StageConfig):
    copies: int = 1


@stage(
    "test texts", version=1, kind="documents", config=TextsConfig, inputs={}, summary="", example=""
)
def make_texts(config: TextsConfig, inputs: Any, output: Any) -> None:
    rows = []
    for i, text in enumerate(TEXTS * config.copies):
        host = "bad.example" if i == 7 else "village.example"
        url = f"https://{host}/{i}"
        row = dict.fromkeys(document_schema().names)
        rows.append(row | {"id": document_id(url, text), "url": url, "host": host, "text": text})
        rows[-1] |= {"source": "test", "links": []}
    path = output.path / "documents" / "part-00000.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=document_schema()), path)


OFF = {
    name: {"enabled": False}
    for name in ("language", "boilerplate", "spam", "gopher_quality", "gopher_repetition", "c4",
                 "fineweb")
}  # fmt: skip


def run(tmp_path: Path, **settings: Any) -> Artifact:
    workspace = Workspace.at(tmp_path / "work")
    made = make_texts.run(TextsConfig(), {}, workspace)
    config = FilterConfig.model_validate(OFF | settings)
    return data_filter.run(config, {"documents": made}, workspace)


def layer(artifact: Artifact) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        artifact.path / "layer" / "part-00000.parquet"
    ).to_pylist()
    return rows


def test_drop_mark_and_lower(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "labelled.jsonl", labelled())
    (tmp_path / "hosts.txt").write_text("bad.example\nno host\n", encoding="utf-8")
    lists = {"hosts": [str(tmp_path / "hosts.txt")]}
    dropped = run(tmp_path, train={"adult": str(path)}, lists=lists)
    rows = layer(dropped)
    assert [row["reason"] for row in rows] == ["adult.classifier"] * 3 + [None] * 4 + [
        "blocklist.hosts"
    ]
    assert rows[0]["detail"].startswith("classifier 0.9") and rows[0]["detail"].endswith(">= 0.9")
    assert rows[7]["adult_score"] is None and rows[7]["weight"] is None
    assert dropped.manifest.counts["bad_list_lines"] == 1
    shown = json.loads((dropped.path / "presentation.json").read_text("utf-8"))
    assert shown["figures"]["adult.held_out_area"]["value"] > 0.97
    (samples,) = [s for s in shown["samples"] if s["title"].startswith("Adult text: documents of")]
    heights = [float(row["score"]) for row in samples["rows"]]
    assert len(heights) >= 3 and heights[0] > 0.9
    assert [int(10 * h) for h in heights] == sorted((int(10 * h) for h in heights), reverse=True)
    weighed = run(
        tmp_path,
        trained={"adult": str(dropped.path)},
        adult_use={"drop": None, "mark": 0.5, "lower": 0.6, "weight": 0.5},
    )
    rows = layer(weighed)
    assert all(row["keep"] for row in rows)
    assert [row["marks"] for row in rows] == [["adult"]] * 3 + [[]] * 5
    assert [row["weight"] for row in rows] == [0.5] * 3 + [1.0] * 5
    model = "adult.safetensors"
    assert (weighed.path / model).read_bytes() == (dropped.path / model).read_bytes()


def test_a_word_list_can_mark_or_weigh_too(tmp_path: Path) -> None:
    words = write(tmp_path / "words.txt", list(COARSE))
    rows = layer(run(tmp_path, adult_words=[str(words)], adult_use={"words": "lower"}))
    assert [row["weight"] for row in rows] == [0.25] * 3 + [1.0] * 5
    assert all(row["keep"] for row in rows) and "adult_score" not in rows[0]
    rows = layer(run(tmp_path, adult_words=[str(words)]))
    assert [row["reason"] for row in rows] == ["adult.words"] * 3 + [None] * 5
    assert "weight" not in rows[0]


def test_one_classifier_is_not_trained_and_given(tmp_path: Path) -> None:
    path = str(jsonl(tmp_path / "labelled.jsonl", labelled()))
    with pytest.raises(GristmillError, match="both to be trained and given"):
        run(tmp_path, train={"toxic": path}, trained={"toxic": path})
    with pytest.raises(GristmillError, match="not a text classifier"):
        run(tmp_path, trained={"toxic": path})


def test_settings_at_their_defaults_are_no_part_of_the_identity() -> None:
    identity, _ = config_identity(FilterConfig())
    new = {"lists", "train", "trained", "adult_use", "toxic_use"}
    assert not new & set(identity) and "second_look" not in identity["adult"]


def test_data_mix_heeds_weights(tmp_path: Path) -> None:
    words = write(tmp_path / "words.txt", list(COARSE))
    filtered = run(tmp_path, adult_words=[str(words)], adult_use={"words": "lower", "weight": 0.0})
    workspace = Workspace.at(tmp_path / "work")
    settings: dict[str, Any] = {"heldout_share": 0.0, "anneal_share": 0.0}
    mixed = data_mix.run(MixConfig(**settings), {"documents": filtered}, workspace)
    assert mixed.manifest.counts["train"] == 5
    plain = data_mix.run(
        MixConfig(**settings, document_weights=False), {"documents": filtered}, workspace
    )
    assert plain.manifest.counts["train"] == 8


def test_a_weight_is_how_often_a_document_is_seen() -> None:
    count = 4000
    ids = [f"{i:016x}" for i in range(count)]
    weights = np.where(np.arange(count) < count // 2, 0.25, 1.0)
    candidates = Candidates(
        Coded.distinct(ids), Coded.of(["h"] * count), Coded.of(["d"] * count), Coded.of(ids),
        np.full(count, np.nan),
        np.full(count, 100, np.int64), weights,
    )  # fmt: skip
    plan = plan_mixture(candidates, np.zeros(count, np.bool_), anneal_share=0.0)
    assert plan.repeats[count // 2 :].tolist() == [1] * (count // 2)
    assert abs(plan.repeats[: count // 2].mean() - 0.25) < 0.03
    twice = plan_mixture(
        candidates, np.zeros(count, np.bool_), anneal_share=0.0, budget_bytes=250_000 * 2
    )
    assert twice.repeats[count // 2 :].tolist() == [2] * (count // 2)
    assert abs(twice.repeats[: count // 2].mean() - 0.5) < 0.04


def test_a_chain_with_a_classifier_goes_to_workers(tmp_path: Path, trained: Any) -> None:
    path = tmp_path / "adult.safetensors"
    trained.classifier.save(path)
    chain = Chain(ChainRules(uses=Uses({"adult": path})))
    table = pa.table({"text": TEXTS})
    judged = chain(table)
    assert judged.schema == chain.schema and "adult_score" in judged.column_names
    assert pickle.loads(pickle.dumps(chain))(table).equals(judged)  # noqa: S301
    assert chain(table.slice(2, 3)).equals(judged.slice(2, 3))
    nothing = quarantined(2, "slow", chain.schema)
    assert pa.concat_tables([judged, nothing])["weight"].to_pylist()[-2:] == [None, None]


def test_both_names_and_the_lowest_weight(tmp_path: Path, trained: Any) -> None:
    path = tmp_path / "adult.safetensors"
    trained.classifier.save(path)
    uses = Uses(
        {"adult": path, "toxic": path},
        {"adult": TextUse(lower=0.5, weight=0.5), "toxic": TextUse(lower=0.5, weight=0.1)},
    )
    texts = [TEXTS[0], TEXTS[5]]
    columns = uses.columns(2, {}, uses.scores(texts))
    assert [field.name for field in uses.fields()] == list(columns)
    assert columns["marks"].to_pylist() == [["adult", "toxic"], []]
    assert columns["weight"].to_pylist() == [pytest.approx(0.1), 1.0]
