"""The stages synthesize, sample and rank, from a mixture to preferences."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gristmill.align.chats import read_answers, read_chats, read_preferences
from gristmill.align.reward import RewardModel
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import mixture_schema
from gristmill.infer.engine import Engine
from gristmill.model.scalar import ScalarModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model
from gristmill.stages.align_rank import RankConfig, align_rank
from gristmill.stages.align_sample import SampleConfig, align_sample
from gristmill.stages.align_synthesize import SynthesizeConfig, align_synthesize
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

FIRST = "Anna Boris Clara Dmitri Erik Flora Georg Hanna Igor Jutta Karl Lena".split()
LAST = "Adler Brandt Cohen Dahl Eriksen Fischer Gruber Holm Ivanov Jensen Koch".split()
SAMPLE = SampleConfig(samples=3, max_tokens=10, prompts=40, heldout=5)


def rows(count: int) -> list[dict[str, Any]]:
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    random.Random(0).shuffle(names)
    return [
        {
            "id": f"{number:016x}",
            "url": f"https://a.example/{number}",
            "host": "a.example",
            "domain": "People",
            "quality": None,
            "title": name,
            "description": f"German painter ({1800 + number}–{1860 + number})",
            "topic": "People",
            "group": str(number),
            "repeats": 1,
            "anneal": False,
            "text": f"{name} was a German painter. He was born in Bremen in {1800 + number}.",
        }
        for number, name in enumerate(names[:count])
    ]


class Chain:
    """A mixture, chats made of it, and an untrained assistant."""

    def __init__(self, folder: Path, seal: Callable[[Path, str, str], Artifact]):
        everything = rows(110)
        for split, part in (("train", everything[:90]), ("heldout", everything[90:])):
            (folder / "mixture" / split).mkdir(parents=True)
            table = pa.Table.from_pylist(part, schema=mixture_schema())
            pq.write_table(table, folder / "mixture" / split / "part-00000.parquet")
        self.mixture = seal(folder / "mixture", "mixture", "data.mix")
        tokenizer = train_tokenizer([str(r["text"]) for r in everything], 320)
        tokenizer.save(folder / "tokenizer")
        torch.manual_seed(0)
        config = TransformerConfig(tokenizer.vocab_size, 32, 2, 2, 1, 16, 48, 128)
        model = Transformer(config)
        model.init_weights(0)
        save_model(folder / "model", model, folder / "tokenizer")
        chat_format = ChatFormat.native(Tokenizer.load(folder / "tokenizer"))
        chat_format.save(folder / "model")
        self.model = seal(folder / "model", "model", "train.sft")
        reward = RewardModel(ScalarModel.from_transformer(model, 3), "direct")
        reward.save(folder / "reward", folder / "tokenizer")
        chat_format.save(folder / "reward")
        self.reward = seal(folder / "reward", "reward", "train.reward")
        self.workspace = Workspace.at(folder / "workspace")
        self.chats = align_synthesize.run(
            SynthesizeConfig(heldout=12), {"mixture": self.mixture}, self.workspace, seed=1
        )
        self.answers = self.sample(self.workspace)

    def sample(self, workspace: Workspace, config: SampleConfig = SAMPLE) -> Artifact:
        inputs = {"model": self.model, "chats": self.chats}
        return align_sample.run(config, inputs, workspace, seed=1)


@pytest.fixture(scope="module")
def chain(
    tmp_path_factory: pytest.TempPathFactory, seal: Callable[[Path, str, str], Artifact]
) -> Chain:
    return Chain(tmp_path_factory.mktemp("chain"), seal)


def presented(artifact: Artifact) -> Any:
    return json.loads((artifact.path / "presentation.json").read_text(encoding="utf-8"))


def test_chats_of_a_mixture(chain: Chain) -> None:
    shown = presented(chain.chats)
    for split in ("train", "prompts", "heldout", "unseen"):
        chats, rejects = read_chats(chain.chats.path / f"{split}.jsonl")
        assert chats and not rejects
        assert len(chats) == shown["figures"][f"chats.{split}"]["value"]
        assert len(chats) == chain.chats.manifest.counts[split]
    assert shown["figures"]["chats.heldout"]["value"] == 12
    assert shown["tables"][0]["rows"][-1][0] == "all"
    assert {row["kind"] for row in shown["samples"][0]["rows"]} > {"description", "unknown"}


def test_own_chats_with_and_without_a_mixture(chain: Chain, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}]}
        for n in range(40)
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\nnonsense\n"
    own.write_text(text, encoding="utf-8")
    config = SynthesizeConfig(heldout=12, files=(str(own),))
    # A mixture of the workspace is not wired in: its articles may give no question.
    assert align_synthesize.inputs["mixture"].must_be_named(config)
    assert not align_synthesize.inputs["mixture"].must_be_named(SynthesizeConfig())
    alone = align_synthesize.run(config, {}, chain.workspace)
    assert alone.manifest.counts["own"] == 40 and alone.manifest.counts["own_rejected"] == 1
    splits = [alone.manifest.counts[s] for s in ("train", "prompts", "heldout", "unseen")]
    assert sum(splits) == 40 and splits[0] > splits[1] > 0 and splits[3] == 0
    both = align_synthesize.run(config, {"mixture": chain.mixture}, chain.workspace, seed=1)
    assert both.manifest.counts["train"] > chain.chats.manifest.counts["train"]
    with pytest.raises(GristmillError, match="nothing to make chats from"):
        align_synthesize.run(SynthesizeConfig(), {}, chain.workspace)


def test_answers_to_prompts_and_heldout_questions(chain: Chain) -> None:
    prompts, _ = read_chats(chain.chats.path / "prompts.jsonl")
    answers, rejects = read_answers(chain.answers.path / "train.jsonl")
    assert not rejects and len(prompts) > 32 and len(answers) == min(40, len(prompts))
    assert [one.id for one in answers] == [chat.id for chat in prompts[:40]]
    assert all(len(one.answers) == 4 and one.messages[-1].role == "user" for one in answers)
    heldout, _ = read_answers(chain.answers.path / "heldout.jsonl")
    assert len(heldout) == 5
    figures = presented(chain.answers)["figures"]
    assert figures["sample.stops"]["n"] == 3 * len(answers)
    assert figures["sample.heldout.stops"]["n"] == 15
    assert 0 < figures["sample.tokens"]["value"] <= 10
    assert presented(chain.answers)["samples"][0]["rows"][0]["greedy"]


class Killed(BaseException):
    """What a kill looks like from inside."""


def test_a_killed_sampling_goes_on_with_the_same_answers(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    generate = Engine.generate

    def dying(self: Engine, requests: Any, progress: Any = None) -> Any:
        calls.append(len(requests))
        if len(calls) == 2:
            raise Killed
        return generate(self, requests, progress)

    monkeypatch.setattr(Engine, "generate", dying)
    with pytest.raises(Killed):
        chain.sample(Workspace.at(tmp_path / "workspace"))
    again = chain.sample(Workspace.at(tmp_path / "workspace"))
    # Two chunks and one of held-out questions; the first chunk was not sampled a second time.
    assert len(calls) == 4 and calls[0] > calls[1] == calls[2]
    for name in ("train.jsonl", "heldout.jsonl"):
        assert (again.path / name).read_bytes() == (chain.answers.path / name).read_bytes()
    assert again.content == chain.answers.content


def test_a_base_model_has_no_chat_format(
    chain: Chain, tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    base = tmp_path / "base"
    tokenizer = Tokenizer.load(chain.model.path)
    model = Transformer(TransformerConfig(tokenizer.vocab_size, 32, 2, 2, 1, 16, 48, 128))
    tokenizer.save(tmp_path / "tokenizer")
    save_model(base, model, tmp_path / "tokenizer")
    with pytest.raises(GristmillError, match="no chat format"):
        align_sample.run(
            SAMPLE,
            {"model": seal(base, "model", "train.lm"), "chats": chain.chats},
            chain.workspace,
        )


def rank(chain: Chain, tmp_path: Path, **given: Any) -> Artifact:
    inputs = {"answers": chain.answers}
    if given.pop("reward", False):
        inputs["reward"] = chain.reward
    return align_rank.run(RankConfig(**given), inputs, Workspace.at(tmp_path / "ranked"), seed=1)


def length_rule(tmp_path: Path) -> str:
    file = tmp_path / "mine.py"
    file.write_text("def length(answer, chat):\n    return len(answer.content)\n", encoding="utf-8")
    return f"{file}:length"


def test_preferences_by_a_rule_of_ones_own(chain: Chain, tmp_path: Path) -> None:
    artifact = rank(chain, tmp_path, rule=length_rule(tmp_path), margin=0.5)
    train, rejects = read_preferences(artifact.path / "train.jsonl")
    heldout, _ = read_preferences(artifact.path / "heldout.jsonl")
    assert not rejects and train and heldout
    assert not {p.group for p in train} & {p.group for p in heldout}
    for p in train:
        assert p.source == "rule" and len(p.chosen.content) > len(p.rejected.content)
    assert {p.baseline for p in train} >= {None, "rejected"}
    scored, _ = read_answers(artifact.path / "scored" / "train.jsonl")
    assert all(a.score == len(a.content) for one in scored for a in one.answers)
    shown = presented(artifact)
    assert shown["figures"]["preferences.pairs"]["value"] == sum(p.baseline is None for p in train)
    assert shown["figures"]["preferences.ties"]["value"] >= 0
    assert shown["charts"][0]["series"][0]["name"] == "greedy"
    assert shown["samples"][0]["rows"]


def test_an_untrained_model_gives_the_gold_rule_nothing_to_rank(
    chain: Chain, tmp_path: Path
) -> None:
    with pytest.raises(GristmillError, match="no preference came out"):
        rank(chain, tmp_path, margin=0.99)


def test_noise_turns_training_labels_round_alone(chain: Chain, tmp_path: Path) -> None:
    artifact = rank(chain, tmp_path, rule=length_rule(tmp_path), noise=0.3, margin=0.5)
    counts = artifact.manifest.counts
    assert counts["train_flipped"] > 0 and "heldout_flipped" not in counts
    heldout, _ = read_preferences(artifact.path / "heldout.jsonl")
    assert all(len(p.chosen.content) > len(p.rejected.content) for p in heldout)


def test_preferences_by_a_reward_model(chain: Chain, tmp_path: Path) -> None:
    artifact = rank(chain, tmp_path, reward=True, margin=0.0)
    train, _ = read_preferences(artifact.path / "train.jsonl")
    assert {p.source for p in train} == {"reward"}
    chat_format = ChatFormat.load(chain.reward.path, Tokenizer.load(chain.reward.path))
    model = RewardModel.load(chain.reward.path)
    for p in train[:10]:
        head = chat_format.prompt(p.messages)
        ends = [
            head + chat_format.answer(a.content, stopped=a.stopped) for a in (p.chosen, p.rejected)
        ]
        better, worse = model.raw(ends)
        assert better > worse
        assert p.chosen.score == pytest.approx(better, abs=1e-4)
    with pytest.raises(GristmillError, match="two rankers"):
        rank(chain, tmp_path, reward=True, rule=length_rule(tmp_path))


def test_preferences_by_hand(chain: Chain, tmp_path: Path) -> None:
    answers, _ = read_answers(chain.answers.path / "train.jsonl")
    heldout, _ = read_answers(chain.answers.path / "heldout.jsonl")
    lines = [
        {"id": answers[0].id, "ranking": [2, 1, 0]},
        {"id": heldout[0].id, "chosen": 1, "rejected": 2},
        {"id": "nobody", "ranking": [0, 1]},
        {"id": heldout[1].id, "ranking": [0, 9]},
    ]
    file = tmp_path / "hand.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    artifact = rank(chain, tmp_path, by_hand=(str(file),))
    train, _ = read_preferences(artifact.path / "train.jsonl")
    assert [(p.id, p.source) for p in train] == [
        (f"{answers[0].id}-2-1", "hand"),
        (f"{answers[0].id}-2-0", "hand"),
        (f"{answers[0].id}-1-0", "hand"),
    ]
    assert len(read_preferences(artifact.path / "heldout.jsonl")[0]) == 1
    rejected = (artifact.path / "rejects" / "by_hand.jsonl").read_text(encoding="utf-8")
    reasons = {
        json.loads(line)["where"]: json.loads(line)["reason"]
        for line in rejected.split("\n")
        if line
    }
    assert set(reasons) == {"hand.jsonl:3", "hand.jsonl:4"}
    assert "number of no answer" in reasons["hand.jsonl:4"]


def test_preferences_of_ones_own_need_no_answers(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    good = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
    same = {"prompt": "Why?", "chosen": "No.", "rejected": "No."}
    file.write_text("\n".join(map(json.dumps, [good, same, {"prompt": "?"}])), encoding="utf-8")
    made = align_rank.run(RankConfig(files=(str(file),)), {}, Workspace.at(tmp_path / "w"))
    found, _ = read_preferences(made.path / "train.jsonl")
    assert [(p.messages[0].content, p.chosen.content) for p in found] == [("Why?", "Because.")]
    assert made.manifest.counts["own"] == 1 and made.manifest.counts["own_rejected"] == 2
    assert len((made.path / "rejects" / "files.jsonl").read_text().splitlines()) == 2
    with pytest.raises(GristmillError, match="nothing to rank"):
        align_rank.run(RankConfig(), {}, Workspace.at(tmp_path / "w"))
