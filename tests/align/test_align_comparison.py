"""Methods measured on one bench, and what is said of them."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gristmill.align.chats import Answer, Chat, read_answers, write_records
from gristmill.align.comparison import (
    DRAWN_AGAIN,
    Bench,
    Measured,
    Method,
    _blocks,
    _Scored,
    baseline_of,
    measure,
    measure_best_of_n,
    measure_reference,
)
from gristmill.align.comparison_results import (
    comparison_figures,
    comparison_table,
    join_seeds,
    plain_words,
    reward_chart,
    win_chart,
)
from gristmill.align.drawing import Drawn
from gristmill.align.reward import RewardModel
from gristmill.align.side_by_side import Speaker, asks_on, side_by_side
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.evaluate.perplexity import DocumentTokens
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Completion
from gristmill.model.scalar import ScalarModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model
from gristmill.stages.align_best_of_n import BestOfNConfig, align_best_of_n
from gristmill.stages.registry import stage_by_verb
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["what is the mill? the mill grinds grain for bread."] * 4, 300)


@pytest.fixture(scope="module")
def chat_format(tokenizer: Tokenizer) -> ChatFormat:
    return ChatFormat.native(tokenizer)


def build(tokenizer: Tokenizer, seed: int, noise: float = 0.0) -> Transformer:
    """A random model; with noise one near the model of seed 0."""
    model = Transformer(TransformerConfig(tokenizer.vocab_size, 32, 2, 2, 1, 16, 48, 64))
    model.init_weights(0)
    for scale, of in ((0.2, 0), (noise, seed)):
        generator = torch.Generator().manual_seed(of)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def chats(count: int) -> list[Chat]:
    words = "mill grain bread river wheel".split()
    return [
        Chat(
            f"c{i}",
            (Message("user", f"what is the {words[i % 5]} {i}?"), Message("assistant", "grain")),
            truth={"title": words[i % 5], "description": "grinds grain"},
        )
        for i in range(count)
    ]


def low_ids(conversations: Sequence[Sequence[int]]) -> list[float]:
    return [-float(ids[-2]) for ids in conversations]


def many_letters(answer: Answer, chat: Chat) -> float:
    return float(len(answer.content))


@pytest.fixture(scope="module")
def bench(tokenizer: Tokenizer, chat_format: ChatFormat) -> Bench:
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 256, 30).astype(np.int64) for _ in range(6)]
    heldout = DocumentTokens(
        documents, np.full(6, 60), [""] * 6, [""] * 6, [""] * 6, tokenizer.vocab_size,
        tokenizer.eot_id,
    )  # fmt: skip
    return Bench(
        chats(12), chat_format, Engine(build(tokenizer, 0)), low_ids, many_letters,
        samples=3, max_tokens=6, heldout=heldout,
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_kl_is_that_of_the_distributions(
    tokenizer: Tokenizer, bench: Bench, temperature: float
) -> None:
    policy = build(tokenizer, 5, 0.05)
    one = replace(bench, samples=200, max_tokens=1, temperature=temperature, heldout=None)
    found = measure(Method("dpo", "", 1, Engine(policy, max_rows=512)), one, baseline_of(one))
    exact = []
    for chat in one.chats:
        ids = torch.tensor([one.chat_format.prompt(chat.prompt)])
        log_p, log_q = (
            (m.head(m(ids))[0, -1] / temperature).log_softmax(-1).detach()
            for m in (policy, one.reference.model)
        )
        exact.append(float((log_p.exp() * (log_p - log_q)).sum()))
    kl = float(np.mean(exact))
    assert kl > 0.01
    for key, tolerance in (("kl", 0.15), ("kl_k3", 0.1)):
        assert found.figures[key].value == pytest.approx(kl, rel=tolerance), key
    # The standard error is that of the mean: some half of the interval over 1.96.
    low, high = found.figures["kl"].low, found.figures["kl"].high
    assert low is not None and high is not None
    assert found.figures["kl_error"].value == pytest.approx((high - low) / 3.92, rel=0.25)
    entropy = found.figures["entropy"].value
    assert 0 < entropy < math.log(tokenizer.vocab_size)


def test_the_reference_against_itself_is_even(bench: Bench) -> None:
    baseline = baseline_of(bench)
    own, again = measure_reference(bench, baseline)
    assert (own.label, again.label) == ("sft", "sft, drawn again")
    for figures in (own.figures, again.figures):
        assert figures["kl"].value == pytest.approx(0, abs=1e-4)
        assert figures["kl_k3"].value == pytest.approx(0, abs=1e-4)
        assert figures["bits_per_byte_change"].value == 0
        assert figures["models"].value == 1
    low, high = again.figures["win_rate"].low, again.figures["win_rate"].high
    assert low is not None and high is not None and low <= 0.5 <= high
    # Against itself there is nothing to gain or to win.
    gains = {"gold_gain", "proxy_gain", "win_rate", "order_bias"}
    assert again.figures.keys() - own.figures.keys() == gains


def test_a_gain_is_the_difference_of_two_rows(tokenizer: Tokenizer, bench: Bench) -> None:
    baseline = baseline_of(bench)
    own, again = measure_reference(bench, baseline)
    best = Method("best", "n 4", 0, bench.reference, answers_of="best_of_n", n=4)
    ppo = Method("ppo", "", 1, Engine(build(tokenizer, 3, 0.2)))
    assert own.figures["gold"].value != again.figures["gold"].value
    for one in (again, measure(ppo, bench, baseline), measure(best, bench, baseline)):
        for key in ("gold", "proxy"):
            difference = one.figures[key].value - own.figures[key].value
            assert one.figures[f"{key}_gain"].value == pytest.approx(difference), (one.label, key)


def test_what_is_measured_of_a_policy(tokenizer: Tokenizer, bench: Bench) -> None:
    method = Method("ppo", "beta 0.1", 1, Engine(build(tokenizer, 3, 0.2)), 12.5, 4)
    found = measure(method, bench, baseline_of(bench)).figures
    assert found["train_cpu_seconds"].value == 12.5 and found["models"].value == 4
    assert found["answer_cpu_seconds"].value > 0
    assert 1 <= found["length"].value <= 6
    assert 0 <= found["ended"].value <= 1 and 0 <= found["distinct"].value <= 1
    assert found["bits_per_byte"].value > 0 and found["bits_per_byte_change"].value != 0
    assert found["gold"].n == 12 and found["proxy_gain"].n == 12
    again = measure(method, bench, baseline_of(bench)).figures
    for key in found.keys() - {"answer_cpu_seconds"}:
        assert again[key] == found[key], key


def test_best_of_n_over_one_run_of_samples(tokenizer: Tokenizer, bench: Bench) -> None:
    methods = [
        Method("best of n", f"n {n}", 0, bench.reference, answers_of="best_of_n", n=n)
        for n in (1, 4)
    ]
    baseline = baseline_of(bench)
    one, four = measure_best_of_n(methods, bench, baseline)
    assert one.figures["kl"].value == 0
    assert four.figures["kl"].value == pytest.approx(math.log(4) - 3 / 4)
    assert four.figures["proxy"].value > one.figures["proxy"].value
    assert four.figures["answer_cpu_seconds"].value == pytest.approx(
        4 * one.figures["answer_cpu_seconds"].value
    )
    assert four.figures["models_answering"].value == 2
    assert not math.isnan(four.figures["distinct"].value)
    assert four.figures["bits_per_byte_change"].value == 0
    # Picking by the gold itself must win against one sample.
    by_gold = replace(bench, proxy=lambda ids: [float(len(bench.chat_format.text(
        i[len(i) - 6:]))) for i in ids])  # fmt: skip
    best = measure_best_of_n([methods[1]], by_gold, baseline)[0].figures
    assert best["gold_gain"].value > 0 and best["win_rate"].value > 0.5
    with pytest.raises(GristmillError):
        other = replace(methods[0], engine=Engine(build(tokenizer, 1)))
        measure_best_of_n([methods[1], other], bench, baseline)


def test_the_gold_picks_nothing() -> None:
    answers = [Answer(str(n)) for n in range(4)]
    drawn = Drawn([], [], [], [answers], 0.0)
    proxy, gold = np.array([[1.0, 2.0, 4.0, 3.0]]), np.array([[9.0, 1.0, 1.0, 9.0]])
    (picked,) = _blocks(_Scored(drawn, proxy, gold, np.full((1, 4), 0.25)), 2)
    assert [answer.content for answer in picked] == ["1", "2"]


def test_an_answer_without_an_end_may_have_a_fixed_proxy(bench: Bench) -> None:
    fixed = replace(bench, missing_end_score=-7.0, proxy=lambda ids: np.zeros(len(ids)))
    for one in measure_reference(fixed, baseline_of(fixed)):
        ended = one.figures["ended"].value
        assert one.figures["proxy"].value == pytest.approx(-7 * (1 - ended))


def made_up(name: str, gold: float, proxy: float, **more: Figure) -> Measured:
    return Measured(
        name,
        "",
        1,
        {
            "gold": Figure(gold + 1),
            "gold_gain": Figure(gold, gold - 0.1, gold + 0.1),
            "proxy": Figure(proxy),
            "proxy_gain": Figure(proxy, proxy - 0.1, proxy + 0.1),
            "kl": Figure(4.0),
            "win_rate": Figure(0.5 + gold, 0.4 + gold, 0.6 + gold),
            **more,
        },
    )


def test_plain_words() -> None:
    better, unclear, fooled, sft = (
        made_up("dpo", 0.2, 1.0),
        made_up("ppo", 0.05, 1.0, bits_per_byte_change=Figure(0.1, 0.05, 0.15)),
        made_up("greedy", -0.2, 1.0),
        made_up("sft", 0.0, 0.0),
    )
    words = plain_words([sft, better, unclear, fooled])
    assert len(words) == 3
    assert "no measurable change" not in words[0] and "better in the gold reward" in words[0]
    assert "no measurable change in the gold reward (0.05 [-0.05, 0.15])" in words[1]
    assert "not seen in the gold" in words[1] and "pays in bits per byte" in words[1]
    assert "worse in the gold reward" in words[2] and "fooled" in words[2]


def test_without_an_interval_nothing_is_claimed() -> None:
    found = Measured("x", "", 1, {"gold_gain": Figure(5.0), "win_rate": Figure(0.9)})
    assert "better" not in plain_words([found])[0]


def test_seeds_are_joined_and_strengths_stand_apart() -> None:
    def one(seed: int, strength: str, gold: float) -> Measured:
        return Measured("dpo", strength, 1, {"gold": Figure(gold), "kl": Figure(4.0, 3, 5)})

    joined = join_seeds([one(0, "beta 0.1", 1), one(0, "beta 1", 7), one(1, "beta 0.1", 3)])
    assert [(m.strength, m.seeds) for m in joined] == [("beta 0.1", 2), ("beta 1", 1)]
    gold = joined[0].figures["gold"]
    # t with 1 degree of freedom: 12.7062; the standard error of 1 and 3 is 1.
    assert gold.value == 2 and gold.high == pytest.approx(2 + 12.7062, abs=1e-3)
    assert joined[0].figures["kl"] == Figure(4.0, 3, 5)
    assert set(comparison_figures(joined)) == {
        f"alignment.dpo.beta_{s}.{key}" for s in ("0.1", "1") for key in ("gold", "kl")
    }
    assert "alignment.dpo.gold" in comparison_figures(joined[:1])


def test_what_was_drawn_again_is_a_row_of_its_own() -> None:
    first, dpo = made_up("sft", 0, 0), made_up("dpo", 0.2, 1)
    rows = [first, replace(made_up("sft", -0.1, 0), strength=DRAWN_AGAIN), dpo]
    figures = comparison_figures(join_seeds(rows))
    assert figures["alignment.sft.gold"].value == 1
    assert figures["alignment.sft.drawn_again.gold"].value == 0.9
    assert figures["alignment.dpo.gold"].value == 1.2
    table = comparison_table(rows)
    assert [row[:2] for row in table.rows] == [["sft", ""], ["sft", "drawn again"], ["dpo", ""]]
    assert "against the answers measured as sft" in table.note
    assert "against the answers measured" not in comparison_table([first, dpo]).note
    assert win_chart(rows).categories == ["sft", "sft, drawn again", "dpo"]
    assert {len(s.x) for s in reward_chart(rows).series} == {1}
    assert [said.split()[0] for said in plain_words(rows)] == ["dpo"]


def test_table_and_charts() -> None:
    rows = [made_up("sft", 0, 0), made_up("dpo", 0.2, 1)]
    table = comparison_table(rows)
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "bits per byte" not in table.columns
    chart = reward_chart(rows)
    assert {(s.name, s.panel) for s in chart.series} == {
        (name, panel) for name in ("sft", "dpo") for panel in ("gold reward", "reward model")
    }
    assert {tuple(s.x) for s in chart.series} == {(2.0,)}
    assert win_chart(rows).categories == ["sft", "dpo"]


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        ("A mill. What is a river?", True),
        (" What is the", True),
        ("the mill.\nWho built the", True),
        ("It is what grinds grain.", False),
        ("However it grinds.", False),
        ("", False),
    ],
)
def test_going_on_with_a_question(answer: str, asks: bool) -> None:
    assert asks_on(answer) is asks


def test_the_same_questions_side_by_side(tokenizer: Tokenizer, chat_format: ChatFormat) -> None:
    class Asker:
        """Goes on with a question, and shows what it was given."""

        prompts: list[list[int]] = []

        def generate(self, requests: Sequence[object]) -> list[Completion]:
            self.prompts += [list(r.prompt) for r in requests]  # type: ignore[attr-defined]
            tokens = tokenizer.encode(" what is the mill?")
            return [Completion(tokens, [0.0] * len(tokens), "stop") for _ in requests]

    asker = Asker()
    found = side_by_side(
        chats(3),
        {
            "base": Speaker(asker, tokenizer),
            "sft": Speaker(Engine(build(tokenizer, 0)), tokenizer, chat_format),
        },
        max_tokens=8,
    )
    assert asker.prompts[0] == [tokenizer.eot_id, *tokenizer.encode("what is the mill 0?")]
    assert found.asks_on["base"].value == 1 and "base 3, sft 0" in found.samples.note
    quiet = side_by_side(
        chats(3), {"sft": Speaker(Engine(build(tokenizer, 0)), tokenizer, chat_format)}
    )
    assert quiet.asks_on["sft"].value == 0 and "question" not in quiet.samples.note
    assert found.samples.layout == "columns"
    assert [list(row) for row in found.samples.rows] == [["question", "base", "sft"]] * 3


def test_the_stage_goes_on_after_a_kill_and_gives_the_same(
    tokenizer: Tokenizer,
    chat_format: ChatFormat,
    seal: Callable[[Path, str, str], Artifact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer.save(tmp_path / "tokenizer")
    policy = build(tokenizer, 0)
    save_model(tmp_path / "model", policy, tmp_path / "tokenizer")
    chat_format.save(tmp_path / "model")
    scorer = ScalarModel.from_transformer(policy, 1)
    RewardModel(scorer, "bradley_terry").save(tmp_path / "reward", tmp_path / "tokenizer")
    (tmp_path / "chats").mkdir()
    asked = [*chats(6), Chat("long", (Message("user", "mill " * 80), Message("assistant", "x")))]
    write_records(tmp_path / "chats" / "heldout.jsonl", asked)
    inputs = {name: seal(tmp_path / name, name, "x") for name in ("model", "reward", "chats")}
    assert stage_by_verb("align best-of-n") is align_best_of_n
    config = BestOfNConfig(samples=8, max_tokens=6, max_rows=8, missing_end_score=None)
    straight = align_best_of_n.run(config, inputs, Workspace.at(tmp_path / "a"), seed=3)

    generate, calls = Engine.generate, []

    def killed(self: Engine, requests: Sequence[object]) -> object:
        calls.append(len(requests))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return generate(self, requests)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "generate", killed)
    with pytest.raises(KeyboardInterrupt):
        align_best_of_n.run(config, inputs, Workspace.at(tmp_path / "b"), seed=3)
    resumed = align_best_of_n.run(config, inputs, Workspace.at(tmp_path / "b"), seed=3)
    # Two prompts a chunk, three chunks, one of them asked for twice.
    assert calls == [16] * 4
    assert resumed.content == straight.content
    shown = json.loads((straight.path / "presentation.json").read_text(encoding="utf-8"))
    figures = shown["figures"]
    assert {f"best_of_n.{key}.{n}" for key in ("reward", "gold", "kl") for n in (1, 2, 4, 8)} <= {
        *figures
    }
    assert figures["best_of_n.reward.8"]["value"] > figures["best_of_n.reward.1"]["value"]
    assert "best_of_n.reward.16" not in figures
    answers, rejects = read_answers(straight.path / "answers.jsonl")
    assert not rejects and [len(a.answers) for a in answers] == [8] * 6
    scores = json.loads((straight.path / "scores.json").read_text(encoding="utf-8"))
    assert scores["proxy"][2][3] == pytest.approx(answers[2].answers[3].score)
    assert straight.manifest.counts["rejected"] == 1
