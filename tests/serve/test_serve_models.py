"""Which weights answer, how much of a conversation they read, and pairs that betray nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import serve_world as world

from gristmill.cli.serve_view import FolderView
from gristmill.core.artifact import Artifact
from gristmill.serve.chat_page import spec_of
from gristmill.serve.service import Models
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat, Message


def test_weights_that_were_made_anew_are_read_anew(tmp_path: Path) -> None:
    folder = world.write_model(tmp_path / "model", seed=1)
    found = [world.served(folder)]
    models = Models(lambda: found, device="cpu")

    async def weights() -> float:
        return float((await models.open("model")).model.head_weight.double().sum())

    async def whole() -> list[float]:
        first = [await weights(), await weights()]
        world.write_model(folder, seed=2)
        # Nothing said that they changed: what is in memory goes on.
        first.append(await weights())
        found[0] = replace(found[0], fingerprint="another")
        return [*first, await weights()]

    before, again, unsaid, after = asyncio.run(whole())
    models.close()
    assert before == again == unsaid != after


@pytest.mark.parametrize("asked", [8, 64, 4096])
def test_a_long_conversation_leaves_room_for_the_answer(tmp_path: Path, asked: int) -> None:
    context = 192
    folder = world.write_model(tmp_path / "model", assistant=True, context=context)
    models = Models(lambda: [world.served(folder)], device="cpu")
    turns = [
        Message("user" if number % 2 == 0 else "assistant", f"Turn {number}, and no more.")
        for number in range(41)
    ]
    spec = asyncio.run(spec_of(models, "model", turns, {"max_tokens": asked}))
    models.close()
    assert len(spec.prompt) + spec.max_tokens <= context
    assert spec.max_tokens == min(asked, context // 2)
    # The last turns, each whole.
    chat = ChatFormat.native(world.byte_tokenizer())
    fits = [kept for n in range(1, 42) if (kept := turns[-n:]) and kept[0].role == "user"]
    assert list(spec.prompt) in [chat.prompt(kept) for kept in fits]
    assert len(spec.prompt) > context // 4


def test_the_order_of_a_pair_says_nothing_of_what_was_preferred(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    workspace = Workspace.at(tmp_path / "w")
    folder = workspace.artifacts_folder / "align.rank-x"
    folder.mkdir(parents=True)
    lines = [
        json.dumps({"prompt": f"q{n}", "chosen": f"good {n}", "rejected": f"bad {n}"}) + "\n"
        for n in range(40)
    ]
    (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    made = seal(folder, "preferences", "align.rank")
    (workspace.path / "nodes.json").write_text(json.dumps({"align.rank": made.path.name}))
    pairs = FolderView(workspace.path).pairs()
    assert len(pairs) == 40
    for pair in pairs:
        assert {pair[side]["content"].split()[0] for side in ("first", "second")} == {"good", "bad"}
    first = sum(pair["first"]["content"].startswith("good") for pair in pairs)
    assert 10 <= first <= 30
    assert len({pair["id"] for pair in pairs}) == 40
