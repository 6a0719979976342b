"""The filters over a document set: what an earlier layer is used for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError
from gristmill.core.records import document_schema
from gristmill.data.documents import DocumentSet, write_layer, write_parquet
from gristmill.data.engine.local import LocalEngine
from gristmill.data.filters.blocklist import AddressRules, Blocklist
from gristmill.data.filters.chain import Chain, ChainRules
from gristmill.data.filters.corpus import filter_documents
from gristmill.data.filters.rules import C4Rules, GopherQualityRules, LanguageRules
from gristmill.data.journal import PartJournal

TEXT = (
    "The mill stands on the bank of a small river that runs through the valley. Farmers have "
    "brought their grain to it for three hundred years, and with every harvest the wheel turns."
)


@pytest.fixture
def documents(tmp_path: Path, seal: Any) -> DocumentSet:
    empty = dict.fromkeys(document_schema().names)
    rows = [
        empty | {"id": f"{n:016x}", "url": f"https://a.example/{n}", "host": "a.example"}
        | {"source": "test", "links": [], "text": f"{TEXT} It has number {n}."}
        for n in range(4)
    ]  # fmt: skip
    folder = tmp_path / "documents"
    table = pa.Table.from_pylist(rows, schema=document_schema())
    write_parquet(folder / "documents" / "part-00000.parquet", table)
    return DocumentSet.open(seal(folder, "documents", "test documents"))


def languages(tmp_path: Path, documents: DocumentSet, earlier: Path, name: str) -> list[str]:
    rules = ChainRules(
        # There is no such model: whoever asks for a language fails.
        language_model=tmp_path / "none.bin",
        language=LanguageRules(keep=["en"]),
        gopher_quality=GopherQualityRules(min_words=10),
        c4=C4Rules(min_sentences=None),
    )
    journal = PartJournal(tmp_path / name)
    told = filter_documents(
        documents,
        AddressRules(Blocklist()),
        Chain(rules),
        tell=lambda part: {"kept": part.verdicts["keep"].to_pylist()},
        engine=LocalEngine(1),
        journal=journal,
        earlier=earlier,
    )
    (note,) = told
    assert note["kept"] == [True, False, True, False]
    layer = pq.read_table(journal.folder / "layer" / "part-00000.parquet")
    found: list[str] = layer["language"].to_pylist()
    return found


def test_languages_are_taken_over(tmp_path: Path, documents: DocumentSet) -> None:
    earlier = tmp_path / "earlier"
    write_layer(
        earlier,
        "part-00000",
        documents.ids("part-00000"),
        documents.kept_rows("part-00000"),
        keep=[True] * 4,  # type: ignore[arg-type]
        reason=[None] * 4,
        own={
            "language": pa.array(["en", "fr", "en", "de"]),
            "language_score": pa.array([0.9, 0.9, 0.9, 0.9], pa.float32()),
        },
    )
    assert languages(tmp_path, documents, earlier, "run") == ["en", "fr", "en", "de"]


def test_a_part_that_is_whole_is_not_made_again(tmp_path: Path, documents: DocumentSet) -> None:
    test_languages_are_taken_over(tmp_path, documents)
    # Where the layer is not there a document that is judged again ends the run.
    with pytest.raises(GristmillError, match="cannot be read here"):
        languages(tmp_path, documents, tmp_path / "none", "other")
    assert languages(tmp_path, documents, tmp_path / "none", "run") == ["en", "fr", "en", "de"]
