import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gristmill.cli.main import main
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import mixture_schema
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model
from gristmill.stages.evaluate_contamination import ContaminationConfig, evaluate_contamination
from gristmill.stages.evaluate_perplexity import PerplexityConfig, evaluate_perplexity
from gristmill.stages.evaluate_tasks import TasksConfig, evaluate_tasks
from gristmill.stages.generate import GenerateConfig, generate
from gristmill.stages.recipe import check_recipe
from gristmill.stages.score import ScoreConfig, score
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.corpus import encode_mixture
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

WORDS = ["mouse", "cheese", "river", "city", "king", "book", "water", "plant", "war", "song"]


def row(number: int, rng: random.Random) -> dict[str, object]:
    text = " ".join(rng.choices(WORDS, k=rng.randint(5, 60))) + "."
    return {
        "id": f"{number:016x}",
        "url": f"https://a.example/{number}",
        "host": "a.example",
        "domain": f"topic {number % 4}",
        "quality": None,
        "title": f"Title {number}",
        "description": f"{rng.choice(WORDS)} number {number}",
        "topic": f"topic {number % 4}",
        "group": str(number),
        "repeats": 2 if number == 1 else 1,
        "anneal": number % 5 == 0,
        "text": text,
    }


class Chain:
    """A mixture, its tokens and two untrained models."""

    def __init__(self, folder: Path, seal: Callable[[Path, str, str], Artifact]):
        self.seal = seal
        rng = random.Random(0)
        rows = [row(number, rng) for number in range(80)]
        for split, part in (("train", rows[:60]), ("heldout", rows[60:])):
            (folder / "mixture" / split).mkdir(parents=True)
            table = pa.Table.from_pylist(part, schema=mixture_schema())
            pq.write_table(table, folder / "mixture" / split / "part-00000.parquet")
        self.mixture = seal(folder / "mixture", "mixture", "data.mix")
        tokenizer = train_tokenizer([str(r["text"]) for r in rows], 300)
        tokenizer.save(folder / "tokenizer")
        encode_mixture(folder / "mixture", tokenizer, folder / "tokens", workers=1)
        tokenizer.save(folder / "tokens")
        self.tokens = seal(folder / "tokens", "tokens", "tokenizer.encode")
        self.model = self.build(folder, "model", "train.lm", 0)
        self.other = self.build(folder, "other", "train.sft", 1)
        self.workspace = Workspace.at(folder / "workspace")

    def build(self, folder: Path, name: str, stage: str, seed: int) -> Artifact:
        tokenizer = Tokenizer.load(folder / "tokenizer")
        config = TransformerConfig(tokenizer.vocab_size, 32, 2, 2, 1, 16, 48, 64)
        model = Transformer(config)
        model.init_weights(seed)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(seed)
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        save_model(folder / name, model, folder / "tokenizer")
        return self.seal(folder / name, "model", stage)


@pytest.fixture(scope="module")
def chain(
    tmp_path_factory: pytest.TempPathFactory, seal: Callable[[Path, str, str], Artifact]
) -> Chain:
    return Chain(tmp_path_factory.mktemp("chain"), seal)


def presented(artifact: Artifact) -> dict[str, dict[str, dict[str, float]]]:
    return json.loads((artifact.path / "presentation.json").read_text(encoding="utf-8"))


def test_perplexity_of_models_beside_ngrams(chain: Chain) -> None:
    artifact = evaluate_perplexity.run(
        PerplexityConfig(resamples=100),
        # A recipe offers every model to the slot of many: the base must not be scored twice.
        {"model": chain.model, "tokens": chain.tokens, "others": [chain.model, chain.other]},
        chain.workspace,
    )
    shown = presented(artifact)
    figures = shown["figures"]
    for name in ("base", "unigram", "ngram5", "train.sft"):
        figure = figures[f"{name}.bits_per_byte"]
        assert 0 < figure["low"] < figure["value"] < figure["high"]
        assert figure["n"] == 20
        assert figures[f"{name}.bits_per_byte_with_end"]["value"] > figure["value"]
    # Random weights know nothing; words drawn at random are known from counting.
    assert figures["base.bits_per_byte"]["value"] > figures["unigram.bits_per_byte"]["value"]
    assert figures["ngram5.bits_per_byte"]["value"] < figures["unigram.bits_per_byte"]["value"]
    assert figures["base.minus_ngram5"]["low"] > 0
    _, table = shown["tables"]
    assert table["columns"] == [
        "domain", "documents", "bytes", "unigram", "5-gram", "base", "train.sft"
    ]  # fmt: skip
    assert [r[0] for r in table["rows"]][-1] == "all"
    assert len(table["rows"]) == 5
    results = artifact.read_json("results.json")
    total = sum(results["bits"]["base"]["text"]) / sum(d["bytes"] for d in results["documents"])
    assert total == pytest.approx(figures["base.bits_per_byte"]["value"], rel=1e-4)


def test_perplexity_refuses_another_tokenizer(chain: Chain, tmp_path: Path) -> None:
    train_tokenizer(["other text"] * 9, 276).save(tmp_path / "tokenizer")
    other = chain.build(tmp_path, "model", "train.lm", 0)
    with pytest.raises(GristmillError, match="another tokenizer"):
        evaluate_perplexity.run(
            PerplexityConfig(), {"model": other, "tokens": chain.tokens}, chain.workspace
        )


def test_tasks_from_the_mixture_and_from_a_file(chain: Chain, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "?", "choices": ["a", "b"], "answer": 0}\nnonsense\n')
    artifact = evaluate_tasks.run(
        TasksConfig(questions=50, tasks=(str(file),)),
        {"model": chain.model, "mixture": chain.mixture},
        chain.workspace,
    )
    shown = presented(artifact)
    figures = shown["figures"]
    assert figures["choices.accuracy"]["n"] == 50
    assert figures["choices.accuracy.heldout"]["n"] == 20
    assert figures["choices.accuracy.train"]["n"] == 30
    assert figures["choices.chance"]["value"] == 0.25
    assert figures["tasks.mine.accuracy"]["n"] == 1
    assert artifact.manifest.counts["descriptions"] == 50
    assert "30 come from articles that training has read" in shown["notes"][0]
    assert [len(table["rows"]) for table in shown["tables"][:3]] == [1, 3, 1]
    (reject,) = (artifact.path / "rejects" / "mine.jsonl").read_text().splitlines()
    assert json.loads(reject)["where"] == "mine.jsonl:2"
    assert artifact.manifest.counts["mine.rejected"] == 1


def test_only_the_models_that_are_named_are_asked(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.at(tmp_path / "w")
    for model in (chain.model, chain.other):
        folder = workspace.artifacts_folder / model.name
        shutil.copytree(model.path, folder)
        workspace.name_node(model.stage, Artifact.open(folder))
    place = ["--workspace", str(workspace.path), "--dry-run", "--json"]
    for more, count in ([], 0), (["--others", "train.sft"], 1):
        assert main(["evaluate", "tasks", "--model", "train.lm", *more, *place]) == 0
        assert len(json.loads(capsys.readouterr().out)["inputs"]["others"]) == count


def test_a_file_of_questions_is_all_that_is_asked_unless_a_mixture_is_named(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.at(tmp_path / "w")
    for made in (chain.model, chain.mixture):
        folder = workspace.artifacts_folder / made.name
        shutil.copytree(made.path, folder)
        workspace.name_node(made.stage, Artifact.open(folder))
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "?", "choices": ["a", "b"], "answer": 0}\n')
    given = ["--tasks", str(file)]
    place = ["--workspace", str(workspace.path), "--dry-run", "--json"]
    for more, count in ([], 1), (given, 0), ([*given, "--mixture", chain.mixture.stage], 1):
        assert main(["evaluate", "tasks", "--model", "train.lm", *more, *place]) == 0
        assert len(json.loads(capsys.readouterr().out)["inputs"]["mixture"]) == count
    # The same in a recipe.
    before = {"data": {"mix": {"inputs": {"documents": str(chain.mixture.path)}}}}
    for tasks, inputs, wired in (
        ([], {}, ("data.mix",)),
        ([str(file)], {}, ()),
        ([str(file)], {"mixture": "data.mix"}, ("data.mix",)),
    ):
        block = {"tasks": tasks, "inputs": {"model": str(chain.model.path), **inputs}}
        recipe = check_recipe({**before, "evaluate": {"tasks": block}}, "mine")
        assert recipe.node("evaluate.tasks").wires["mixture"] == wired


def test_tasks_without_topics_say_so_and_go_on(chain: Chain) -> None:
    ignored = tuple(f"topic {i}" for i in range(4))
    artifact = evaluate_tasks.run(
        TasksConfig(ignore_topics=ignored),
        {"model": chain.model, "mixture": chain.mixture},
        chain.workspace,
    )
    assert "No description questions" in presented(artifact)["notes"][0]
    with pytest.raises(GristmillError, match="no questions"):
        evaluate_tasks.run(TasksConfig(), {"model": chain.model}, chain.workspace)


def test_scores_pairs_and_sentences(chain: Chain) -> None:
    config = ScoreConfig(sentences=("The mouse ate.", "Ate mouse the.", "Alone."))
    artifact = score.run(config, {"model": chain.model}, chain.workspace)
    shown = presented(artifact)
    assert shown["figures"]["score.accuracy"]["n"] == 21
    assert shown["figures"]["score.accuracy.own"]["n"] == 1
    assert shown["tables"][1]["rows"][0][0] == "Alone."
    results = artifact.read_json("results.json")
    assert len(results["sentences"]) == 43
    assert all(s["log_probability"] < 0 for s in results["sentences"])
    with pytest.raises(GristmillError, match="nothing to score"):
        score.run(ScoreConfig(examples=False), {"model": chain.model}, chain.workspace)


def test_completions_depend_on_the_prompt_not_on_its_neighbours(chain: Chain) -> None:
    def lines(*prompts: str) -> dict[tuple[str, int], dict[str, object]]:
        config = GenerateConfig(prompts=prompts, samples=2, max_tokens=9, temperature=1.0)
        artifact = generate.run(config, {"model": chain.model}, chain.workspace, seed=4)
        text = (artifact.path / "completions.jsonl").read_text(encoding="utf-8")
        records = [json.loads(line) for line in text.splitlines()]
        assert presented(artifact)["samples"][0]["rows"][0]["prompt"] == prompts[0]
        return {(r["prompt"], i % 2): r for i, r in enumerate(records)}

    many, few = lines("The mouse", "", "A king"), lines("A king")
    assert few[("A king", 0)] == many[("A king", 0)]
    assert few[("A king", 0)]["tokens"] != few[("A king", 1)]["tokens"]
    assert many[("", 0)]["finish"] in ("stop", "length")
    with pytest.raises(GristmillError, match="no prompts"):
        generate.run(GenerateConfig(prompts=()), {"model": chain.model}, chain.workspace)


def test_perplexity_on_a_mixtures_text_is_that_of_its_tokens(chain: Chain) -> None:
    config = PerplexityConfig(resamples=100)
    given = {"model": chain.model, "tokens": chain.tokens}
    mixtures = {"text": chain.mixture, "trained": [chain.mixture]}
    alone = evaluate_perplexity.run(config, given, chain.workspace)
    shared = evaluate_perplexity.run(config, {**given, **mixtures}, chain.workspace)
    assert presented(shared)["figures"] == presented(alone)["figures"]
    assert shared.manifest.counts["left_out"] == 0
    with pytest.raises(GristmillError, match="not 'train'"):
        evaluate_perplexity.run(
            PerplexityConfig(split="train"), {**given, **mixtures}, chain.workspace
        )


def test_tasks_three_ways_for_two_models(chain: Chain) -> None:
    # No chat format in either folder: both read text. The base is offered twice, as recipes do.
    artifact = evaluate_tasks.run(
        TasksConfig(questions=30, asked=12, shots=2, rotations=2, max_tokens=4),
        {"model": chain.model, "mixture": chain.mixture, "others": [chain.model, chain.other]},
        chain.workspace,
    )
    shown = presented(artifact)
    figures = shown["figures"]
    for name in ("base", "sft"):
        for way in ("likelihood", "letter", "generation"):
            assert figures[f"{way}.accuracy.{name}"]["n"] == 12
        assert 0 <= figures[f"generation.unreadable.{name}"]["value"] <= 1
    # Two questions are shots; all others are scored by likelihood, twelve in every way.
    assert figures["choices.accuracy"]["n"] == 28
    titles = [table["title"] for table in shown["tables"]]
    assert titles == [
        "Ways of asking: descriptions", "Multiple choice: descriptions",
        "Order of the choices, by letter: descriptions", "By generation: descriptions",
        "Differences: descriptions",
    ]  # fmt: skip
    assert [row[0] for row in shown["tables"][0]["rows"]] == ["base (text)", "sft (text)"]
    assert [row[0] for row in shown["tables"][4]["rows"]] == ["sft minus base"] * 3
    results = artifact.read_json("results.json")["tasks"]["descriptions"]
    assert results["version"] == "descriptions-1"
    assert len(results["questions"]) == 28 and len(results["asked"]) == 12
    rotated = results["letter"]["sft"]
    assert len(rotated) == 12 and all(len(each) == 2 for each in rotated)
    named = TasksConfig(questions=5, names=("one",), ways=("letter",))
    given = {"model": chain.model, "mixture": chain.mixture, "others": [chain.other]}
    with pytest.raises(GristmillError, match="1 names for 2 models"):
        evaluate_tasks.run(named, given, chain.workspace)
    with pytest.raises(GristmillError, match="no chat format"):
        evaluate_tasks.run(TasksConfig(questions=5, ask="chat"), given, chain.workspace)


def test_contamination_stands_beside_the_score(chain: Chain, tmp_path: Path) -> None:
    given = {"model": chain.model, "others": [chain.other]}
    tasks = evaluate_tasks.run(
        TasksConfig(questions=40, ways=("likelihood",)),
        {**given, "mixture": chain.mixture},
        chain.workspace,
    )
    # A file whose examples, but the last, stand in the training text.
    rows = pq.read_table(chain.mixture.path / "train").to_pylist()
    texts = [" ".join(w[:13]) for r in rows if len(w := r["text"].split()) > 13][:20]
    file = tmp_path / "leaked.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, "a b c"]))
    artifact = evaluate_contamination.run(
        ContaminationConfig(sets=(str(file),), orders=4, shard=2, context=64),
        {**given, "tasks": tasks, "mixture": [chain.mixture]},
        chain.workspace,
    )
    shown = presented(artifact)
    figures = shown["figures"]
    (table,) = shown["tables"]
    assert table["columns"] == [
        "model", "set", "accuracy", "order known", "p", "p by rank", "shards", "in training text"
    ]  # fmt: skip
    assert [row[:2] for row in table["rows"]] == [
        ["base", "descriptions"], ["base", "leaked"],
        ["sft", "descriptions"], ["sft", "leaked"],
    ]  # fmt: skip
    # Untrained models know no order, and have no score on a file that was never a task.
    assert {row[3] for row in table["rows"]} == {"no sign"}
    accuracy = presented(tasks)["figures"]["likelihood.accuracy.sft"]["value"]
    assert table["rows"][2][2]["figure"]["value"] == accuracy
    assert table["rows"][3][2] is None
    for name in ("base", "sft"):
        each = [figures[f"contamination.{name}.{s}.p"]["value"] for s in ("descriptions", "leaked")]
        assert figures[f"contamination.{name}.p"]["value"] == pytest.approx(min(1, 2 * min(each)))
    assert figures["contamination.overlap.leaked"]["value"] == len(texts) / (len(texts) + 1)
    assert figures["contamination.overlap.descriptions"]["value"] == 0
    assert any("1 of" in note and "fewer than 8 words" in note for note in shown["notes"])
    with pytest.raises(GristmillError, match="no test set"):
        evaluate_contamination.run(ContaminationConfig(), given, chain.workspace)


def test_perplexity_lies_between_its_bounds(chain: Chain) -> None:
    # A context shorter than most documents, so that windows differ.
    artifact = evaluate_perplexity.run(
        PerplexityConfig(resamples=100, context=16),
        {"model": chain.model, "tokens": chain.tokens, "others": [chain.other]},
        chain.workspace,
    )
    shown = presented(artifact)
    figures, table = shown["figures"], shown["tables"][0]
    assert [row[0] for row in table["rows"]] == [
        "uniform guessing (bound)", "best without context", "unigram", "5-gram",
        "base, disjoint", "base, strided", "train.sft, disjoint", "train.sft, strided",
        "certainty (bound)",
    ]  # fmt: skip
    vocabulary = Tokenizer.load(chain.tokens.path).vocab_size
    assert table["rows"][0][3] == pytest.approx(vocabulary)
    assert table["rows"][-1][1:] == [0, 0, 1]
    # Its own frequencies are the best that counting without context could have known.
    assert table["rows"][1][2] < table["rows"][2][2]["figure"]["value"]
    assert figures["unigram.entropy"]["value"] == table["rows"][1][2]
    assert artifact.manifest.counts["base.long_documents"] > 5
    apart = figures["base.bits_per_byte_disjoint"]["value"] - figures["base.bits_per_byte"]["value"]
    assert figures["base.disjoint_minus_strided"]["value"] == pytest.approx(apart)
    assert apart != 0
    for name in ("base", "unigram", "ngram5"):
        figure = figures[f"{name}.token_perplexity"]
        assert 1 < figure["low"] < figure["value"] < figure["high"]
