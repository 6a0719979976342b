"""`data import`: a bad file is a reject; nothing at all is an error."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.workspace import Workspace


def test_a_table_without_the_column_is_a_reject_unless_nothing_else_is_there(
    tmp_path: Path,
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    pq.write_table(pa.table({"body": ["x"]}), texts / "b.parquet")
    workspace = Workspace.at(tmp_path / "w")
    with pytest.raises(GristmillError, match=r"no record could be imported.*no column 'text'"):
        data_import.run(ImportConfig(path=texts), {}, workspace)
    (texts / "a.txt").write_text("hello there", encoding="utf-8")
    made = data_import.run(ImportConfig(path=texts), {}, workspace)
    assert made.manifest.counts["documents"] == 1 and made.manifest.counts["rejected"] == 1
    assert "it has body" in made.file("rejects/import.jsonl").read_text(encoding="utf-8")
