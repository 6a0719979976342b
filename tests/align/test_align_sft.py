"""SFT: what carries loss, how rows share windows, and that cutting a batch changes nothing."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gristmill.align.chats import Chat
from gristmill.align.sft import (
    AnswerLoss,
    AnswersCarryLoss,
    EndsCarryLoss,
    PaddingDiffers,
    Row,
    SftSource,
    make_row,
    make_rows,
    pack,
)
from gristmill.core.errors import GristmillError
from gristmill.core.run import Run
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.chat_layouts import CHATML
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges
from gristmill.train.gradients import Gradients, Processes
from gristmill.train.interfaces import Batch, Loss, Moment, Share, View
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.precision import Computing
from gristmill.train.schedules import Schedule
from gristmill.train.starting import start_weights
from gristmill.train.trainer import Settings, Trainer

CONTEXT = 64


@pytest.fixture(autouse=True)
def quiet_and_fixed_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def chat() -> ChatFormat:
    return ChatFormat.native(Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4")))


def ask(question: str, answer: str, *earlier: Message) -> Chat:
    said = (*earlier, Message("user", question), Message("assistant", answer))
    return Chat(id=question, messages=said)


def ragged(chat: ChatFormat, count: int, seed: int = 0) -> list[Row]:
    """Rows of very different lengths, with questions and answers that can be learnt."""
    rng = random.Random(seed)
    chats = [ask("b" * rng.randint(1, 9), "ab" * rng.randint(1, 20)) for _ in range(count)]
    return make_rows(chats, chat, CONTEXT).rows


def model_of(chat: ChatFormat, seed: int = 3) -> Transformer:
    model = Transformer(
        TransformerConfig(
            chat.tokenizer.vocab_size, width=32, layers=2, heads=2, kv_heads=1, head_dim=16,
            mlp_width=64, context=CONTEXT,
        )
    )  # fmt: skip
    start_weights(model, seed)
    for block in model.model.layers:  # what starts at 0 would hide what attention sees
        generator = torch.Generator().manual_seed(seed)
        torch.nn.init.normal_(block.self_attn.o_proj.weight, std=0.1, generator=generator)
    return model


def windows_of(chat: ChatFormat, rows: list[Row]) -> Any:
    return pack(rows, CONTEXT, pad_id=chat.pad_id, end_id=chat.end_id)


def moment(share: Share | None = None) -> Moment:
    return Moment(0, 0, share or Share(), {}, lambda function: function({}))


def test_loss_on_the_answer_and_its_end_alone(chat: ChatFormat) -> None:
    row, cut = make_row(ask("What?", "A mill.").messages, chat, CONTEXT)
    answer = chat.tokenizer.encode("A mill.")
    assert sum(row.mask) == len(answer) + 1 and not cut
    learnt = [i for i, carries in zip(row.ids, row.mask, strict=True) if carries]
    assert learnt == [*answer, chat.end_id]
    first = row.mask.index(True)
    assert row.ids[first - 1] == chat.tokenizer.special_tokens["<|assistant|>"]


def test_what_tools_return_carries_no_loss(chat: ChatFormat) -> None:
    messages = [
        Message("system", "Be short."),
        Message("user", "Grain?"),
        Message("assistant", "look(grain)"),
        Message("tool", "a seed"),
        Message("assistant", "A seed."),
        Message("user", "thanks"),
    ]
    row, _ = make_row(messages, chat, 200)
    learnt = [i for i, carries in zip(row.ids, row.mask, strict=True) if carries]
    assert learnt == [*chat.answer("look(grain)"), *chat.answer("A seed.")]
    # What follows the last answer teaches nothing and takes no room.
    assert row.ids == chat.render(messages[:-1]).ids


def test_a_chat_without_an_answer_is_an_error_by_name(chat: ChatFormat) -> None:
    with pytest.raises(GristmillError, match="a chat without an answer"):
        make_row([Message("user", "Hello?")], chat, CONTEXT)
    bad = [
        Chat("a", (Message("user", "Hello?"),)),
        Chat("b", (Message("user", "Hello?"), Message("assistant", " \n"))),
        Chat("c", (Message("user", "x"), Message("system", "y"), Message("assistant", "z"))),
        Chat("d", ()),
    ]
    found = make_rows([ask("x", "y"), *bad], chat, CONTEXT)
    assert len(found.rows) == 1
    assert [(r["where"], r["reason"]) for r in found.rejects] == [
        ("a", "a chat without an answer"),
        ("b", "a chat with an empty answer"),
        ("c", "a system message that is not the first"),
        ("d", "a chat without messages"),
    ]
    with pytest.raises(GristmillError, match="no chat to learn from"):
        windows_of(chat, [])


def test_a_long_chat_is_cut_by_whole_turns(chat: ChatFormat) -> None:
    turns = [m for n in range(300) for m in ask(f"question {n}", f"answer {n}").messages]
    system = Message("system", "Be short.")
    row, cut = make_row([system, *turns], chat, 100)
    assert cut and row.length <= 100
    for kept in range(2, len(turns), 2):
        longer = chat.render([system, *turns[-kept - 2 :]])
        if len(longer.ids) - 1 > 100:
            assert row.ids == chat.render([system, *turns[-kept:]]).ids
            break
    found = make_rows([Chat("long", tuple(turns)), ask("x", "y" * 200)], chat, 100)
    assert (len(found.rows), found.cut) == (1, 1)
    assert "last turn is longer than the context of 100" in found.rejects[0]["reason"]
    # Exactly as long as the context still fits.
    row, _ = make_row(ask("x", "y" * 50).messages, chat, 1000)
    assert make_row(ask("x", "y" * 50).messages, chat, row.length)[0] == row
    with pytest.raises(GristmillError):
        make_row(ask("x", "y" * 50).messages, chat, row.length - 1)


def test_rows_are_packed_first_fit_decreasing(chat: ChatFormat) -> None:
    rng = random.Random(1)
    for count in (1, 2, 3, 57):
        rows = [Row([7] * (rng.randint(1, CONTEXT) + 1), []) for _ in range(count)]
        rows = [Row(row.ids, [True] * len(row.ids)) for row in rows]
        windows = windows_of(chat, rows)
        # The plain algorithm, all windows looked at in turn.
        room: list[int] = []
        for length in sorted((row.length for row in rows), reverse=True):
            fitting = next((i for i, free in enumerate(room) if free >= length), None)
            if fitting is None:
                room.append(CONTEXT - length)
            else:
                room[fitting] -= length
        assert windows.filled_N.tolist() == [CONTEXT - free for free in room]
        assert windows.mask_NT.sum() == sum(row.length for row in rows)


def test_every_row_is_whole_in_a_window(chat: ChatFormat) -> None:
    rows = ragged(chat, 40)
    windows = windows_of(chat, rows)
    found = []
    for tokens, targets, mask, segments, filled in zip(
        windows.tokens_NT, windows.targets_NT, windows.mask_NT, windows.segments_NT,
        windows.filled_N, strict=True,
    ):  # fmt: skip
        padding = segments == segments.max() if filled < CONTEXT else np.zeros(CONTEXT, bool)
        assert padding.sum() == CONTEXT - filled
        assert (tokens[padding] == chat.pad_id).all() and not mask[padding].any()
        for segment in sorted(set(segments[~padding])):
            inside = segments == segment
            ids = [*tokens[inside], targets[inside][-1]]
            assert [int(i) for i in tokens[inside][1:]] == [int(i) for i in targets[inside][:-1]]
            found.append((tuple(map(int, ids)), tuple(map(bool, [False, *mask[inside]]))))
    assert Counter(found) == Counter((tuple(r.ids), tuple(r.mask)) for r in rows)


def test_a_packed_row_is_as_if_alone(chat: ChatFormat) -> None:
    model, rows = model_of(chat), ragged(chat, 12)
    windows = windows_of(chat, rows)
    assert windows.segments_NT.max() >= 2
    tensors = windows.tensors(slice(None))
    seen = 0
    with torch.no_grad():
        logits_BTV = model.head(model(tensors["tokens_BT"], segments_BT=tensors["segments_BT"]))
        for row in rows:
            alone_TV = model.head(model(torch.tensor([row.ids[:-1]])))[0]
            for window, tokens in enumerate(windows.tokens_NT.tolist()):
                for start in range(CONTEXT - row.length + 1):
                    if tokens[start : start + row.length] == row.ids[:-1]:
                        packed_TV = logits_BTV[window, start : start + row.length]
                        assert (packed_TV - alone_TV).abs().max() <= 1e-5
                        seen += 1
    assert seen >= len(rows)


def test_padding_must_differ_from_the_end(chat: ChatFormat) -> None:
    with pytest.raises(GristmillError, match="padding and the end of an answer are both"):
        pack(ragged(chat, 3), CONTEXT, pad_id=chat.end_id, end_id=chat.end_id)
    assert chat.pad_id != chat.end_id


def test_accumulated_gradients_equal_the_whole_batch(chat: ChatFormat) -> None:
    model, rows = model_of(chat), ragged(chat, 60)
    windows = windows_of(chat, rows)
    assert len(set(windows.mask_NT[:8].sum(axis=1))) > 3
    batch = Batch(windows.tensors(slice(0, 8)), tokens=8 * CONTEXT)
    trained = list(model.parameters())
    found = []
    for rows_at_once in (None, 2, 3):
        computing = Computing(NextToken(), {"policy": model}, "fp32")
        gradients = Gradients(computing, trained, Processes(), micro_batch=rows_at_once, clip=0)
        loss, norm, _ = gradients(batch)
        scaled = [p.grad * gradients.scale for p in trained if p.grad is not None]
        found.append((loss, norm, scaled))
    for loss, norm, grads in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-6)
        assert norm == pytest.approx(found[0][1], rel=1e-5)
        for grad, whole in zip(grads, found[0][2], strict=True):
            assert (grad - whole).abs().max() <= 1e-6
    # And it is the mean over answer tokens, not over rows or micro-batches.
    tensors = batch.tensors
    with torch.no_grad():
        hidden = model(tensors["tokens_BT"], segments_BT=tensors["segments_BT"])
        log_p = torch.log_softmax(model.head(hidden), dim=-1)
        each = -log_p.gather(2, tensors["targets_BT"][..., None])[..., 0]
        expected = (each * tensors["mask_BT"]).sum() / tensors["mask_BT"].sum()
    assert found[0][0] == pytest.approx(float(expected), rel=1e-6)


def fit(chat: ChatFormat, run: Path, steps: int, **changes: Any) -> tuple[Trainer, Transformer]:
    run.mkdir(parents=True, exist_ok=True)
    model = model_of(chat)
    source = changes.pop("source", None) or SftSource(
        windows_of(chat, ragged(chat, 60)), batch=8, seed=1
    )
    rates = OptimizerSettings(matrix_lr=0.02, embedding_lr=0.01, head_lr=0.01, other_lr=0.01)
    checks = changes.pop("checks", None) or [
        AnswersCarryLoss(chat.answer_header),
        EndsCarryLoss(chat.end_id),
        PaddingDiffers(chat.pad_id, chat.end_id),
    ]
    trainer = Trainer(
        Run(run),
        models={"policy": model},
        optimizers={"policy": Optimizer(model, rates)},
        source=source,
        objective=NextToken(),
        schedule=Schedule("linear", steps),
        settings=Settings(**{"seed": 5, "precision": "fp32", "checkpoint_seconds": 1e9, **changes}),
        checks=checks,
        say=lambda _: None,
    )
    return trainer, model


def test_training_with_accumulation_is_training_without(chat: ChatFormat, tmp_path: Path) -> None:
    losses = [fit(chat, tmp_path / str(rows), 4, micro_batch=rows)[0].fit().loss for rows in (2, 8)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_answers_are_learnt_and_a_resume_is_the_same(chat: ChatFormat, tmp_path: Path) -> None:
    heldout = windows_of(chat, ragged(chat, 10, seed=9))
    trainer, straight = fit(chat, tmp_path / "straight", 12)
    before = AnswerLoss(heldout)(View(0, 0, {"policy": straight}))["loss"]
    trainer.fit()
    after = AnswerLoss(heldout)(View(0, 0, {"policy": straight}))["loss"]
    assert after < before / 2

    class Interrupted(Exception):
        pass

    class Stops(SftSource):
        def next(self, moment: Moment) -> Batch:
            if moment.step == 7:
                raise Interrupted
            return super().next(moment)

    source = Stops(windows_of(chat, ragged(chat, 60)), batch=8, seed=1)
    with pytest.raises(Interrupted):
        fit(chat, tmp_path / "resumed", 12, source=source, checkpoint_steps=5)[0].fit()
    trainer, resumed = fit(chat, tmp_path / "resumed", 12)
    trainer.fit()
    for mine, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_source_shows_every_window_once_an_epoch(chat: ChatFormat) -> None:
    windows = windows_of(chat, ragged(chat, 60))
    count = len(windows)
    source = SftSource(windows, batch=5, seed=4)
    drawn = [
        row.numpy().tobytes()
        for _ in range(3 * count)
        for row in source.next(moment()).tensors["tokens_BT"]
    ]
    every = Counter(row.tobytes() for row in windows.tokens_NT)
    epochs = [drawn[start : start + count] for start in range(0, 15 * count, count)]
    assert all(Counter(epoch) == every for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert source.steps_for(1) == -(-count // 5) and source.steps_for(2.5) == -(-5 * count // 10)
    # Two processes share the rows of one batch; a restored source goes on where it was.
    again = SftSource(windows, batch=5, seed=4)
    again.restore(source.state())
    whole = source.next(moment()).tensors["tokens_BT"]
    twin = SftSource(windows, batch=5, seed=4)
    twin.restore(again.state())
    parts = [s.next(moment(Share(i, 2))).tensors["tokens_BT"] for i, s in enumerate((again, twin))]
    assert torch.equal(torch.cat(parts), whole)


def broken(tensors: dict[str, torch.Tensor], how: str, end_id: int) -> dict[str, torch.Tensor]:
    mask, targets = tensors["mask_BT"].clone(), tensors["targets_BT"]
    before = torch.zeros_like(mask)
    before[:, 1:] = mask[:, :-1]
    if how == "no first token":
        mask[(mask > 0) & (before == 0)] = 0
    if how == "header too":
        mask[:, :-1] = torch.maximum(mask[:, :-1], mask[:, 1:])
    if how == "no end":
        mask[targets == end_id] = 0
    if how == "none":
        mask[:] = 0
    if how == "all":
        mask[:] = 1
    return {**tensors, "mask_BT": mask}


def test_the_checks_name_what_is_wrong(chat: ChatFormat, tmp_path: Path) -> None:
    chatml = ChatFormat(CHATML, chat.tokenizer)
    loss = Loss(torch.zeros(()), 1.0)
    for form in (chat, chatml):
        tensors = windows_of(form, ragged(form, 30)).tensors(slice(None))
        begins, ends = AnswersCarryLoss(form.answer_header), EndsCarryLoss(form.end_id)
        padding = PaddingDiffers(form.pad_id, form.end_id)
        for check in (begins, ends, padding):
            assert check(tensors, loss, {}) is None

        def wrong(check: Any, how: str, tensors: Any = tensors, form: Any = form) -> str:
            said = check(broken(tensors, how, form.end_id), loss, {})
            assert said is not None, (how, check.name)
            return str(said)

        assert "begin without loss" in wrong(begins, "no first token")
        assert "where no answer begins" in wrong(begins, "header too")
        assert "do not end with id" in wrong(ends, "no end")
        assert "places of padding carry loss" in wrong(padding, "all")
        assert wrong(begins, "none") == wrong(ends, "none") == "no token carries loss"
        assert PaddingDiffers(5, 5)(tensors, loss, {}) == "both are id 5"
    checks = [EndsCarryLoss(chat.end_id + 1)]
    trainer, model = fit(chat, tmp_path, 3, checks=checks)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(GristmillError, match="'the end of each answer carries loss' failed"):
        trainer.fit()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
