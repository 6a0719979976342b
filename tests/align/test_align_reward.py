"""The reward model: rows, reading at the last token, what it learns, how it is judged."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gristmill.align.chats import Answer, Preference
from gristmill.align.pair_rows import (
    Pair,
    PairOrder,
    encode_pairs,
    mean_of,
    share_of,
    split_by_group,
    stack_pairs,
)
from gristmill.align.reward import (
    BradleyTerry,
    Direct,
    Normalisation,
    PairSource,
    RewardModel,
    scores_at,
)
from gristmill.align.reward_evaluation import evaluate_reward, expected_calibration_error
from gristmill.core.errors import GristmillError
from gristmill.core.figure import proportion
from gristmill.core.run import Run
from gristmill.model.scalar import ScalarModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges
from gristmill.train.interfaces import Moment, Share
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.precision import Choice
from gristmill.train.schedules import Schedule
from gristmill.train.starting import start_weights
from gristmill.train.trainer import Settings, Trainer

CONTEXT = 64


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def chat() -> ChatFormat:
    return ChatFormat.native(Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4")))


def preference(question: str, chosen: str, rejected: str, **more: Any) -> Preference:
    stopped = more.pop("stopped", (True, True))
    return Preference(
        more.pop("id", question), (Message("user", question),), Answer(chosen, stopped[0]),
        Answer(rejected, stopped[1]), **more,
    )  # fmt: skip


def preferences(count: int, seed: int = 0) -> list[Preference]:
    """Answers in a are better than answers in z, of any length, whatever is asked."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        lengths = [rng.randint(1, 12) for _ in range(2)]
        baseline = rng.choice(["chosen", "rejected"])
        found.append(
            preference(
                "".join(rng.choices("bcd", k=rng.randint(1, 9))), "a" * lengths[0],
                "z" * lengths[1], id=str(number), group=str(number % 17), baseline=baseline,
            )
        )  # fmt: skip
    return found


def scalar(chat: ChatFormat) -> ScalarModel:
    model = Transformer(
        TransformerConfig(
            chat.tokenizer.vocab_size, width=32, layers=2, heads=2, kv_heads=1, head_dim=16,
            mlp_width=64, context=CONTEXT,
        )
    )  # fmt: skip
    start_weights(model, 3)
    for block in model.model.layers:
        generator = torch.Generator().manual_seed(3)
        torch.nn.init.normal_(block.self_attn.o_proj.weight, std=0.1, generator=generator)
    return ScalarModel.from_transformer(model, 1)


def moment(rank: int = 0, processes: int = 1) -> Moment:
    return Moment(0, 0, Share(rank, processes), {}, lambda function: function({}))


def train(model: ScalarModel, source: PairSource, objective: Any, folder: Path) -> Trainer:
    rates = OptimizerSettings(
        matrix_optimizer="adamw", matrix_lr=3e-3, embedding_lr=3e-3, other_lr=3e-3
    )
    folder.mkdir()
    run = Run(folder)
    run.pin("precision", lambda: Choice("fp32", "pinned", 0.0, 0.0).to_json())
    trainer = Trainer(
        run, models={"reward": model}, optimizers={"reward": Optimizer(model, rates)},
        source=source, objective=objective, schedule=Schedule("linear", source.steps_per_epoch, 2),
        settings=Settings(precision="fp32", micro_batch=4, checkpoint_seconds=1e9),
        say=lambda _: None,
    )  # fmt: skip
    trainer.fit()
    return trainer


# Rows.


def test_rows_are_the_ids_of_prompt_and_answer(chat: ChatFormat) -> None:
    given = preference("What?", "Yes", "No", stopped=(True, False))
    (pair,), kept, rejects = encode_pairs([given], chat, CONTEXT)
    assert kept == [given] and rejects == []
    said = chat.render([Message("user", "What?"), Message("assistant", "Yes")])
    assert list(pair.conversation("chosen")) == said.ids
    # An answer that did not stop has no end, and nobody appends one.
    assert chat.end_id not in pair.rejected and pair.chosen[-1] == chat.end_id
    tensors = stack_pairs([pair])
    assert tensors["mask_PST"][0, 0].tolist() == said.mask
    assert tensors["mask_PST"][0].sum(dim=-1).tolist() == [len("Yes") + 1, len("No")]
    ends = [pair.conversation(side)[-1] for side in ("chosen", "rejected")]
    last = tensors["tokens_PST"][0].gather(1, tensors["last_PS"][0][:, None])[:, 0]
    assert last.tolist() == ends


def test_pairs_that_cannot_be_used_are_rejected_with_a_reason(chat: ChatFormat) -> None:
    given = [
        preference("q", "a", "b", id="fits"),
        preference("q" * CONTEXT, "a", "b", id="long"),
        preference("q", "a", "b" * CONTEXT, id="long answer"),
        preference("q", "a", "", stopped=(True, False), id="empty"),
        preference("q", "a", "a", id="same"),
        Preference(
            "order", (Message("user", "q"), Message("system", "s")), Answer("a"), Answer("b")
        ),
    ]  # fmt: skip
    pairs, kept, rejects = encode_pairs(given, chat, CONTEXT)
    assert [p.id for p in kept] == ["fits"] and len(pairs) == 1
    reasons = {r["where"]: r["reason"] for r in rejects}
    assert "more than the context of 64" in reasons["long"]
    assert "more than the context of 64" in reasons["long answer"]
    assert reasons["empty"] == "an answer without a token"
    assert "same" in reasons["same"] and "not the first" in reasons["order"]


def test_a_split_tears_no_group_apart() -> None:
    given = preferences(200)
    train, held = split_by_group(given, 0.2, seed=1)
    assert {p.group for p in train}.isdisjoint({p.group for p in held})
    assert len({p.group for p in held}) == 3 and len(train) + len(held) == 200
    backwards = split_by_group(given[::-1], 0.2, seed=1)[1]
    assert {p.id for p in backwards} == {p.id for p in held}
    assert {p.group for p in split_by_group(given, 0.2, seed=2)[1]} != {p.group for p in held}
    assert split_by_group(given[:1], 0.5) == (given[:1], [])


def test_an_epoch_has_every_pair_once_in_batches_of_like_length() -> None:
    rng = random.Random(1)
    lengths = [rng.randint(5, 200) for _ in range(331)]
    order = PairOrder(lengths, 16, seed=4)
    assert order.steps_per_epoch == 21
    batches = [order.indices(step) for step in range(42)]
    for epoch in (batches[:21], batches[21:]):
        assert Counter(i for batch in epoch for i in batch) == Counter(range(331))
        assert {len(batch) for batch in epoch} == {15, 16}
    # Not the same batches in another order: other pairs meet.
    meet = [{frozenset(batch) for batch in epoch} for epoch in (batches[:21], batches[21:])]
    assert len(meet[0] & meet[1]) < 3
    assert PairOrder(lengths, 16, seed=4).indices(30) == batches[30]
    assert PairOrder(lengths, 16, seed=5).indices(30) != batches[30]
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches[:21])
    assert padded < 1.15 * sum(lengths)


def test_a_source_goes_on_and_shares(chat: ChatFormat) -> None:
    pairs, _, _ = encode_pairs(preferences(30), chat, CONTEXT)
    straight = PairSource(pairs, batch=8, seed=2)
    drawn = [straight.next(moment()) for _ in range(6)]
    first = PairSource(pairs, batch=8, seed=2)
    for _ in range(3):
        first.next(moment())
    second = PairSource(pairs, batch=8, seed=2)
    second.restore(first.state())
    for batch in drawn[3:]:
        again = second.next(moment())
        assert torch.equal(again.tensors["tokens_PST"], batch.tensors["tokens_PST"])
    halves = [PairSource(pairs, batch=8, seed=2).next(moment(r, 2)) for r in (0, 1)]
    assert sum(half.rows for half in halves) == drawn[0].rows
    assert sum(half.tokens for half in halves) == drawn[0].tokens


def test_direct_learns_the_other_answer_with_the_right_sign() -> None:
    pairs = [
        Pair((1,), (2,), (3,), "rejected"),  # the chosen one beat the baseline
        Pair((1,), (4,), (5,), "chosen"),  # the rejected one lost to it
        Pair((1,), (6,), (7,), None),
    ]
    source = PairSource(pairs, batch=4, seed=0, form="direct")
    batch = source.next(moment())
    said = {
        tuple(ids[0].tolist()): label
        for ids, label in zip(
            batch.tensors["tokens_PST"], batch.tensors["label_P"].tolist(), strict=True
        )
    }
    assert said == {(1, 2): 1.0, (1, 5): -1.0}
    with pytest.raises(GristmillError, match="which of its answers is the baseline"):
        PairSource([pairs[2]], batch=4, seed=0, form="direct")


def test_both_labels_of_direct_weigh_the_same(chat: ChatFormat) -> None:
    won = [Pair((1,), (2, n), (3,), "rejected") for n in range(3)]
    source = PairSource([*won, Pair((1,), (4,), (5,), "chosen")], batch=4, seed=0, form="direct")
    tensors = source.next(moment()).tensors
    labels, weights = tensors["label_P"].tolist(), tensors["weight_P"].tolist()
    said = {1.0: pytest.approx(4 / 6), -1.0: pytest.approx(4 / 2)}
    assert sorted(labels) == [-1.0, 1.0, 1.0, 1.0]
    assert weights == [said[label] for label in labels]
    model = scalar(chat).eval()
    ids, last = tensors["tokens_PST"][:, 0], tensors["last_PS"][:, 0]
    scores = scores_at(model, ids, last).tolist()
    each = [math.log1p(math.exp(-a * b)) for a, b in zip(labels, scores, strict=True)]
    found = Direct()(tensors, {"reward": model})
    total = sum(a * b for a, b in zip(each, weights, strict=True))
    assert float(found.total.detach()) == pytest.approx(total, abs=1e-5)
    assert float(found.count) == pytest.approx(4.0)
    right = sum(w for a, b, w in zip(labels, scores, weights, strict=True) if a * b > 0)
    assert float(found.metrics["accuracy"][0]) == pytest.approx(right)
    # Where a part of the rows is looked at, so is their weight alone.
    part = Direct()({name: tensor[:1] for name, tensor in tensors.items()}, {"reward": model})
    assert float(part.count) == pytest.approx(weights[0])


def test_equal_conversations_are_read_once_and_all_get_their_scores(chat: ChatFormat) -> None:
    model = scalar(chat).eval()
    reward, read = RewardModel(model, "bradley_terry"), []
    model.register_forward_pre_hook(lambda _, given: read.append(given[0].shape[0]))
    first, second, third = (2, 3, 4), (5, 3, 4), (6, 7)
    alone = {ids: float(reward.raw([ids])[0]) for ids in (first, second, third)}
    assert len(set(alone.values())) == 3
    read.clear()
    asked = [third, first, second, first, third, third]

    class Counting:
        total = 0.0

        def advance(self, amount: float = 1.0) -> None:
            self.total += amount

    bar = Counting()
    found = reward.raw(asked, progress=bar)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([alone[ids] for ids in asked], abs=1e-5)
    assert bar.total == len(asked)
    assert sum(read) == 3


# The model.


def test_a_score_does_not_depend_on_padding(chat: ChatFormat) -> None:
    model = scalar(chat).eval()
    pairs, _, _ = encode_pairs(preferences(12), chat, CONTEXT)
    conversations = [pair.conversation("chosen") for pair in pairs]
    reward = RewardModel(model, "bradley_terry")
    together = reward.raw(conversations)
    alone = [float(reward.raw([ids])[0]) for ids in conversations]
    assert len({len(ids) for ids in conversations}) > 3
    assert together == pytest.approx(alone, abs=1e-5)
    assert together == pytest.approx(reward.raw(conversations, batch_tokens=1), abs=1e-5)
    with torch.no_grad():
        for ids, score in zip(conversations, alone, strict=True):
            padded = torch.tensor([[*ids, *[9] * 20]])
            last = torch.tensor([len(ids) - 1])
            assert float(scores_at(model, padded, last)) == pytest.approx(score, abs=1e-5)
            # And it is that token's number, not the one before.
            assert float(model(torch.tensor([ids]))[0, -1]) == pytest.approx(score, abs=1e-5)
            assert abs(float(scores_at(model, padded, last - 1)) - score) > 1e-4


@pytest.mark.parametrize("form", ["bradley_terry", "direct"])
def test_it_learns_saves_and_loads(chat: ChatFormat, tmp_path: Path, form: Any) -> None:
    model = scalar(chat)
    pairs, _, _ = encode_pairs(preferences(400), chat, CONTEXT)
    held, _, _ = encode_pairs(preferences(60, seed=9), chat, CONTEXT)
    before = evaluate_reward(RewardModel(model, form), held).figures["accuracy"]
    source = PairSource(pairs, batch=16, seed=0, form=form)
    train(model, source, Direct() if form == "direct" else BradleyTerry(), tmp_path / "run")
    raw = RewardModel(model, form).raw([pair.conversation("chosen") for pair in held])
    reward = RewardModel(model, form, Normalisation.fit(raw))
    found = evaluate_reward(reward, held).figures
    assert found["accuracy"].value > 0.95 > before.value
    reward.save(tmp_path / "saved")
    again = RewardModel.load(tmp_path / "saved")
    conversations = [pair.conversation("chosen") for pair in held]
    scores = again.score(conversations)
    if form == "direct":
        assert set(scores.tolist()) <= {1.0, -1.0}
        assert np.array_equal(scores > 0, again.raw(conversations) > 0)
    else:
        assert float(scores.mean()) == pytest.approx(0.0, abs=1e-6)
        assert float(scores.std()) == pytest.approx(1.0, abs=1e-6)
    assert again.score([]).shape == (0,)


def test_what_is_no_reward_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="no reward model"):
        RewardModel.load(tmp_path)
    with pytest.raises(GristmillError, match="one and the same score"):
        Normalisation.fit(np.full(5, 2.0))


# The judgement.


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.62, 0.62, 0.62, 0.62, 0.97, 0.97])
    right = np.array([True, True, True, False, True, False])
    # Two bins: 4 cases at 0.62 with 0.75 right, 2 cases at 0.97 with 0.5 right.
    expected = 4 / 6 * 0.13 + 2 / 6 * 0.47
    assert expected_calibration_error(confidence, right) == pytest.approx(expected)
    assert expected_calibration_error(np.array([1.0, 0.5]), np.array([True, False])) == 0.25


class _Counting(RewardModel):
    """Scores a conversation by its length."""

    def raw(self, conversations: Any, **_: Any) -> Any:
        return np.array([float(len(ids)) for ids in conversations])


def test_length_bias_shows(chat: ChatFormat) -> None:
    given = [
        preference("q", "aaaa", "z"), preference("q", "aaa", "z"), preference("q", "a", "zzz"),
        preference("q", "aa", "zz"),
    ]  # fmt: skip
    pairs, _, _ = encode_pairs(given, chat, CONTEXT)
    found = evaluate_reward(_Counting(scalar(chat), "bradley_terry"), pairs)
    values = {name: figure.value for name, figure in found.figures.items()}
    assert values["accuracy"] == 0.5
    assert values["accuracy.longer"] == 1.0 and values["accuracy.shorter"] == 0.0
    assert values["accuracy.same"] == 0.0  # equal scores are not right
    assert found.figures["accuracy.longer"].n == 2
    # Margins 3, 2, -2, 0: how sure it is of the one that it likes better, right or wrong.
    sure = [1 / (1 + math.exp(-margin)) for margin in (3, 2, 0)]
    bins = (1 - sure[0], abs((1 - sure[1]) - sure[1]), sure[2])
    assert values["ece"] == pytest.approx(sum(bins) / 4)
    assert [row[2] for row in found.table.rows] == [4, 2, 1, 1]
    with pytest.raises(GristmillError, match="no held-out pair"):
        evaluate_reward(_Counting(scalar(chat), "bradley_terry"), [])


def test_intervals_draw_prompts_and_not_pairs() -> None:
    rng = np.random.default_rng(0)
    right_G = rng.random(60) < 0.7
    pairs = [Pair((group,), (1,), (2,)) for group in range(60) for _ in range(9)]
    copied = share_of(np.repeat(right_G, 9), pairs)
    once = share_of(right_G, pairs[::9])
    # Nine times the same verdict on a prompt is no more certain than one.
    assert copied.value == once.value and (copied.n, once.n) == (540, 60)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=1e-9)
    wilson = proportion(int(right_G.sum()), 60)
    assert wilson.low is not None and once.low is not None
    assert once.low == pytest.approx(wilson.low, abs=0.03)
    every = share_of(np.ones(540, dtype=bool), pairs)
    assert every.low == proportion(60, 60).low  # all right leaves doubt, of sixty prompts
    assert mean_of(np.full(540, 0.3), pairs).low is None
    assert mean_of(np.zeros(540), pairs).low is None  # a mean that is 0 is no share
