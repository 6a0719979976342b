"""Labels made on a page become preferences that a tuning can read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill.align.chats import read_preferences
from gristmill.align.pair_rows import read_pairs
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.serve.store import Store
from gristmill.stages.align_rank import RankConfig, align_rank
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges


def pair(number: int) -> dict[str, Any]:
    return {
        "id": f"p{number}", "group": f"g{number}", "kind": "", "truth": {},
        "messages": [{"role": "user", "content": f"What is {number}?"}],
        "first": {"content": f"{number} is a number.", "stopped": True},
        "second": {"content": "No <|im_end|> idea", "stopped": False},
    }  # fmt: skip


def test_ten_labels_make_pairs_to_train_on_and_to_hold_out(tmp_path: Path) -> None:
    path = tmp_path / "serve" / "store.sqlite"
    store = Store.open(path)
    for number in range(10):
        store.label(pair(number), "first" if number % 3 else "second")
    store.label(pair(10), "tie")
    store.label(pair(11), "skip")
    workspace = Workspace.at(tmp_path / "workspace")
    config = RankConfig(labels=str(path))
    made = align_rank.run(config, {}, workspace)
    found, rejects = read_preferences(made.path / "train.jsonl")
    assert [one.id for one in found] == [f"p{number}" for number in range(10)] and not rejects
    assert found[0].chosen.content == "No <|im_end|> idea" and found[1].rejected == found[0].chosen
    assert made.manifest.counts["labels"] == 12 and made.manifest.counts["train"] == 10
    chat = ChatFormat.native(Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4")))
    pairs = read_pairs(made.path, chat, 256, share=0.1, seed=0)
    assert (len(pairs.train), len(pairs.heldout), len(pairs.rejects)) == (9, 1, 0)

    # A vote changes nothing, a label makes another artifact.
    store.answered(store.begin_battle(("x", "y"), "Why?").id, "a", "b")
    assert align_rank.run(config, {}, workspace).path == made.path
    store.label(pair(12), "first")
    assert align_rank.run(config, {}, workspace).path != made.path


def test_what_people_chose_is_all_where_answers_are_there_too(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    store.label(pair(0), "second")
    (tmp_path / "answers").mkdir()
    record = {"id": "0", "messages": [{"role": "user", "content": "What is 0?"}],
              "kind": "description", "truth": {"description": "A number"},
              "answers": ["A number.", "No idea.", "Three."]}  # fmt: skip
    (tmp_path / "answers" / "train.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    answers = seal(tmp_path / "answers", "answers", "align.sample")
    workspace = Workspace.at(tmp_path / "workspace")
    ruled = align_rank.run(RankConfig(), {"answers": answers}, workspace)
    assert ruled.manifest.counts["train"] > 0
    made = align_rank.run(RankConfig(labels=str(store.path)), {"answers": answers}, workspace)
    found, _ = read_preferences(made.path / "train.jsonl")
    assert [one.id for one in found] == ["p0"] and found[0].source == "hand"


def test_no_choice_no_preferences(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    store.label(pair(0), "tie")
    workspace = Workspace.at(tmp_path / "workspace")
    mine = tmp_path / "mine.jsonl"
    mine.write_text("", encoding="utf-8")
    with pytest.raises(GristmillError, match="no label prefers"):
        align_rank.run(RankConfig(labels=str(store.path)), {}, workspace)
    with pytest.raises(GristmillError, match="no votes and labels"):
        align_rank.run(RankConfig(labels=str(tmp_path / "none.sqlite")), {}, workspace)
    with pytest.raises(GristmillError, match="two rankers"):
        align_rank.run(RankConfig(labels=str(store.path), by_hand=(str(mine),)), {}, workspace)
