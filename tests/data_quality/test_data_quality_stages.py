"""`data quality` and `data domains` with a user's own references, labels and clusters."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema, host_of
from gristmill.data.documents import DocumentSet
from gristmill.stages.data_domains import DomainsConfig, data_domains
from gristmill.stages.data_quality import QualityConfig, data_quality
from gristmill.stages.settings import check_config
from gristmill.stages.workspace import Workspace

GOOD = [f"good{i}" for i in range(60)]
POOR = [f"poor{i}" for i in range(60)]
BOTH = [f"both{i}" for i in range(60)]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    return Workspace.at(tmp_path / "runs")


def text(r: random.Random, words: list[str]) -> str:
    return " ".join(r.choices(words, k=12) + r.choices(BOTH, k=12))


@pytest.fixture
def web(tmp_path: Path, seal: Any) -> Artifact:
    """200 pages, of which the first 100 are good, in two parts; 40 of each name a topic."""
    r = random.Random(4)
    for part in range(2):
        rows = []
        for i in range(part, 200, 2):
            kind = "good" if i < 100 else "poor"
            url = f"http://{kind}{i % 3}.example/{i}"
            body = text(r, GOOD if i < 100 else POOR)
            topic = kind.title() if i % 100 < 40 else None
            rows.append({"id": document_id(url, body), "url": url, "host": host_of(url),
                         "source": "test", "links": [], "text": body, "topic": topic})  # fmt: skip
        path = tmp_path / "web" / "documents" / f"part-{part:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=document_schema()), path)
    return seal(tmp_path / "web", "documents", "data.extract")


def run(stage: Any, config: type, of: Artifact, workspace: Workspace, **settings: Any) -> Artifact:
    found = stage.run(check_config(config, settings, "test"), {"documents": of}, workspace)
    assert isinstance(found, Artifact)
    return found


def rows_of(layer: Artifact, *columns: str) -> dict[int, dict[str, Any]]:
    """By the number in the address, kept or not."""
    documents = DocumentSet.open(layer)
    out = {}
    for part in documents.parts:
        told = pq.read_table(layer.path / "layer" / f"{part}.parquet").to_pylist()
        table = documents.read_all(part, ["url", *columns]).to_pylist()
        for row, verdict in zip(table, told, strict=True):
            out[int(row["url"].rpartition("/")[2])] = {**verdict, **row}
    return out


def figure(artifact: Artifact, name: str) -> float:
    return float(artifact.read_json("presentation.json")["figures"][name]["value"])


def test_a_list_of_addresses_is_a_reference(
    web: Artifact, workspace: Workspace, tmp_path: Path
) -> None:
    pages = tmp_path / "pages.txt"
    pages.write_text("\n".join(f"good{i % 3}.example/{i}" for i in range(60)), encoding="utf-8")
    layer = run(data_quality, QualityConfig, web, workspace,
                reference={"pages": [str(pages)]}, keep_share=0.3)  # fmt: skip
    rows = rows_of(layer, "quality")
    assert layer.manifest.counts["positives"] == 60
    assert sum(row["keep"] for row in rows.values()) == 60
    assert min(rows[i]["quality"] for i in range(100)) > max(
        rows[i]["quality"] for i in range(100, 200)
    )
    shares = next(t for t in layer.read_json("presentation.json")["tables"]
                  if "each share" in t["title"])["rows"]  # fmt: skip
    assert [row[0] for row in shares] == [1.0, 0.9, 0.6, 0.3, 0.1]
    assert [row[2] for row in shares] == [200, 180, 120, 60, 20]
    # Good pages that the list happens not to name are among the others.
    assert shares[2][4] == 1.0 and shares[2][5] < 0.5


def test_texts_of_ones_own_and_their_opposite(
    web: Artifact, workspace: Workspace, tmp_path: Path
) -> None:
    r = random.Random(9)
    for name, words in (("good", GOOD), ("poor", POOR)):
        lines = [json.dumps({"text": text(r, words)}) for _ in range(50)] + ["broken"]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    own = {"texts": [str(tmp_path / "good.jsonl")], "others": [str(tmp_path / "poor.jsonl")]}
    layer = run(data_quality, QualityConfig, web, workspace, reference=own, keep_share=0.5)
    rows = rows_of(layer, "quality")
    assert [row["keep"] for _, row in sorted(rows.items())] == [True] * 100 + [False] * 100
    counts = layer.manifest.counts
    assert (counts["positives"], counts["negatives"]) == (50, 50)
    assert (counts["reference_bad_lines"], counts["others_bad_lines"]) == (1, 1)
    assert "broken" in layer.file("rejects/others.jsonl").read_text(encoding="utf-8")
    # The same classifier again, from its file or its layer: the same scores, nothing learnt.
    again = run(data_quality, QualityConfig, web, workspace, keep_share=0.5,
                reference={"classifier": str(layer.path)})  # fmt: skip
    scores = rows_of(again, "quality")
    assert all(scores[i]["quality"] == pytest.approx(row["quality"], abs=1e-6)
               for i, row in rows.items())  # fmt: skip
    assert "positives" not in again.manifest.counts
    assert (
        again.file("quality.safetensors").read_bytes()
        == layer.file("quality.safetensors").read_bytes()
    )


def test_a_kept_share_is_exact_where_the_reference_is_held_to_it(
    web: Artifact, workspace: Workspace, tmp_path: Path
) -> None:
    pages = tmp_path / "pages.txt"
    pages.write_text("\n".join(f"good{i % 3}.example/{i}" for i in range(60)), encoding="utf-8")
    common = {"reference": {"pages": [str(pages)]}, "reference_hosts": ["poor0.example"]}
    for share, kept in ((1.0, 200), (0.6, 120), (0.3, 60), (0.1, 20)):
        layer = run(data_quality, QualityConfig, web, workspace, **common, keep_share=share,
                    keep_reference=False)  # fmt: skip
        assert layer.manifest.counts["kept"] == kept
    more = run(data_quality, QualityConfig, web, workspace, **common, keep_share=0.1)
    own = sum(row["host"] == "poor0.example" for row in rows_of(more, "host").values())
    assert more.manifest.counts["kept"] == 20 + own
    assert f"{own} pages of the reference itself" in more.read_json("presentation.json")["notes"][0]


def test_labels_of_ones_own_come_before_topics(
    web: Artifact, workspace: Workspace, tmp_path: Path
) -> None:
    r = random.Random(2)
    file = tmp_path / "labels.jsonl"
    lines = [{"url": "http://good0.example/0", "domain": "Mine"},
             {"url": "http://nowhere.example/", "domain": "Mine"},
             *({"text": text(r, POOR), "domain": "Poor"} for _ in range(5))]  # fmt: skip
    file.write_text("\n".join(map(json.dumps, lines)) + "\nbroken", encoding="utf-8")
    labels = {"files": [str(file)], "rules": {"Ruled": ["good1.example"]}}
    layer = run(data_domains, DomainsConfig, web, workspace, labels=labels, held_out=0.3)
    rows = rows_of(layer, "domain", "domain_labelled")
    assert rows[0]["domain"] == "Mine" and rows[0]["domain_labelled"]
    assert all(rows[i]["domain"] == "Ruled" for i in range(1, 100, 3))
    assert all(rows[i]["domain"] == "Poor" for i in range(100, 200))
    assert not rows[199]["domain_labelled"]
    counts = layer.manifest.counts
    assert counts["labels_bad"] == 1 and counts["labels_texts"] == 5 and counts["stated"] == 34
    shown = layer.read_json("presentation.json")
    assert "1 of 2 addresses" in shown["notes"][0]
    taken = next(t for t in shown["tables"] if t["title"] == "Domains taken for others")["rows"]
    assert {(row[0], row[1]) for row in taken} <= {("Good", "Ruled"), ("Ruled", "Good")}
    matrix = next(t for t in shown["tables"] if t["title"] == "Domains: confusion")
    assert [row[0] for row in matrix["rows"]] == ["1 Good", "2 Poor", "3 Ruled"]
    tested = sum(sum(row[1:]) for row in matrix["rows"])
    assert tested == shown["figures"]["domains.held_out_accuracy"]["n"]
    # Without topics nothing else is labelled, and one label is nothing to learn from.
    alone = run(data_domains, DomainsConfig, web, workspace,
                labels={"rules": {"Ruled": ["good1.example"]}, "topics": False})  # fmt: skip
    assert {row["domain"] for row in rows_of(alone, "domain").values()} == {"Ruled"}


def test_clusters_where_nothing_is_labelled(web: Artifact, workspace: Workspace) -> None:
    layer = run(data_domains, DomainsConfig, web, workspace, clusters="auto", bits=14,
                agreement=0.9)  # fmt: skip
    rows = rows_of(layer, "domain", "domain_labelled", "domain_probability")
    first, second = rows[0]["domain"], rows[199]["domain"]
    assert [rows[i]["domain"] for i in range(200)] == [first] * 100 + [second] * 100
    assert not any(row["domain_labelled"] or row["domain_probability"] for row in rows.values())
    assert figure(layer, "domains.clusters") == 2
    assert figure(layer, "domains.clusters.agreement_with_labels") == 1.0
    given = run(data_domains, DomainsConfig, web, workspace, clusters=5, bits=14)
    assert given.manifest.counts["domains"] == 5
    with pytest.raises(GristmillError, match="from 2 to 1000"):
        check_config(DomainsConfig, {"clusters": 1}, "test")
