"""Documents that a generator writes: seeds, a model here and one over HTTP, resume, mixture."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from aiohttp import web

from gristmill.align.seeds import choose_seeds
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError, Retryable
from gristmill.core.progress import Progress
from gristmill.core.records import mixture_schema
from gristmill.data.documents import DocumentSet
from gristmill.infer.text import LocalText, TextAnswer, TextRequest
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model
from gristmill.stages.align_synthesize import SynthesizeConfig, align_synthesize
from gristmill.stages.data_dedup import DedupConfig, data_dedup
from gristmill.stages.recipe import check_recipe
from gristmill.stages.stage import config_identity
from gristmill.stages.synthesized_documents import DocumentsConfig
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.training import train_tokenizer

Seal = Callable[[Path, str, str], Artifact]
NOUNS = "river city king song tree engine planet letter bridge harbour colour number".split()
VERBS = "crosses names builds sees keeps leaves holds moves opens draws".split()
REFUSES, CUTS, COPIES, FAILS = 3, 5, 7, 11
TWINS = (1, 22)
"""Numbers of the seeds that the server treats so; of the twins it writes the same."""


def prose(r: random.Random, sentences: int) -> str:
    return " ".join(
        f"The {r.choice(NOUNS)} {r.choice(VERBS)} a {r.choice(NOUNS)} of {r.randrange(999)} "
        f"{r.choice(NOUNS)}s."
        for _ in range(sentences)
    )


def mixture(folder: Path, seal: Seal, **changed: dict[str, Any]) -> Artifact:
    """24 training documents and 6 held out; `changed`: columns by the id of a document."""
    r = random.Random(2)
    rows = [
        {
            "id": f"seed{number:02d}", "url": f"https://a.example/{number}", "host": "a.example",
            "domain": "Things", "group": f"group{number}", "repeats": 1, "anneal": False,
            "text": f"Number {number} is here. {prose(r, 12)}",
        }
        for number in range(30)
    ]  # fmt: skip
    for row in rows:
        row.update(changed.get(str(row["id"]), {}))
    for split, part in (("train", rows[:24]), ("heldout", rows[24:])):
        for number, start in enumerate(range(0, len(part), 10)):
            table = pa.Table.from_pylist(part[start : start + 10], schema=mixture_schema())
            path = folder / split / f"part-{number:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
    return seal(folder, "mixture", "data.mix")


class Writer:
    """An endpoint that writes about each seed in words of its own, or as the numbers above say."""

    def __init__(self, serve_app: Callable[[web.Application], int]) -> None:
        self.asked: list[str] = []
        self.in_the_air = self.most_in_the_air = 0
        self.broken_after: int | None = None
        self.held_after: int | None = None
        """Whoever asks after so many waits until this changes."""
        self.meets = False
        """Whether the first waits for another to ask beside it."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._write)
        self.url = f"http://127.0.0.1:{serve_app(app)}/v1"

    async def _write(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.broken_after is not None and len(self.asked) >= self.broken_after:
            return web.Response(status=503)
        prompt = body["messages"][-1]["content"]
        passage = prompt.partition("Text:\n")[2]
        number = int(passage.split()[1])
        self.asked.append(prompt)
        self.in_the_air += 1
        self.most_in_the_air = max(self.most_in_the_air, self.in_the_air)
        while self.held_after is not None and len(self.asked) > self.held_after:
            await asyncio.sleep(0.005)
        while self.meets and self.most_in_the_air < 2:
            await asyncio.sleep(0.005)
        self.in_the_air -= 1
        if number == FAILS:
            return web.json_response({"error": {"message": "too rude"}}, status=400)
        r = random.Random(0 if number in TWINS else body["seed"])
        said = " ".join(f"word{r.randrange(5000)}" for _ in range(50))
        said = {
            REFUSES: "I'm sorry, but I cannot write about this.",
            COPIES: passage,
        }.get(number, f"Here is the text:\n\n{said}.")
        choice = {
            "message": {"content": said},
            "finish_reason": "length" if number == CUTS else "stop",
        }
        usage = {"prompt_tokens": 100, "completion_tokens": 60}
        return web.json_response({"choices": [choice], "usage": usage})


@pytest.fixture
def writer(serve_app: Callable[[web.Application], int]) -> Writer:
    return Writer(serve_app)


def asking(url: str, **more: Any) -> SynthesizeConfig:
    settings = {
        "endpoint": url, "endpoint_model": "scribe", "retries": 0, "failed_share": 0.2,
        "seeds_per_part": 10, "concurrency": 3,
    }  # fmt: skip
    return SynthesizeConfig(kind="documents", documents=DocumentsConfig(**{**settings, **more}))


def table(artifact: Artifact, folder: str) -> list[dict[str, Any]]:
    parts = sorted((artifact.path / folder).glob("part-*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def rejects(artifact: Artifact) -> list[dict[str, Any]]:
    text = artifact.file("rejects/synthetic.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_an_endpoint_writes_documents_of_known_origin(
    writer: Writer, tmp_path: Path, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIBE_KEY", "sk-secret-2")
    config = asking(writer.url, endpoint_key="SCRIBE_KEY", price_in=1.0, price_out=10.0)
    source = mixture(tmp_path / "mixture", seal)
    workspace = Workspace.at(tmp_path / "ws")
    writer.meets = True
    made = align_synthesize.run(config, {"mixture": source}, workspace, seed=1)
    assert made.kind == "documents"
    # One is refused with an error, one refuses, one is cut, one copies, one is a twin.
    assert made.manifest.counts == {
        "seeds": 24, "texts": 24, "documents": 19, "rejected": 5, "words": 950,
    }  # fmt: skip
    assert {one["where"]: one["reason"] for one in rejects(made)} == {
        f"synthetic://rephrase/seed{number:02d}/0": reason
        for number, reason in (
            (REFUSES, "a refusal"),
            (CUTS, "cut at the limit of tokens"),
            (COPIES, "a near-duplicate of its seed"),
            (FAILS, "no answer"),
            (TWINS[1], "a near-duplicate of another synthetic text"),
        )
    }
    documents, how = table(made, "documents"), table(made, "synthetic")
    assert [one["id"] for one in documents] == [one["id"] for one in how]
    assert len({one["seed"] for one in how}) == 19
    assert not {one["seed"] for one in how} & {f"seed{n}" for n in range(24, 30)}
    for document, made_how in zip(documents, how, strict=True):
        assert document["domain"] == "synthetic" and document["source"] == "synthetic:scribe"
        assert dict(document["attributes"])["seed"] == made_how["seed"]
        assert not document["text"].startswith("Here is")
        assert made_how["generator"] == "scribe" and made_how["made_by"] == writer.url
        assert made_how["seed_group"] == f"group{int(made_how['seed'][4:])}"
        assert (made_how["style"], made_how["temperature"]) == ("rephrase", 0.7)
        assert (made_how["tokens_in"], made_how["tokens_out"]) == (100, 60)
        assert made_how["copied"] == 0 and made_how["run"] < 8
    assert len({one["sampling_seed"] for one in how}) == 19
    assert 1 < writer.most_in_the_air <= 3
    shown = made.read_json("presentation.json")
    answered = 23
    assert shown["figures"]["synthetic.cost"]["value"] == pytest.approx(answered * 700 / 1e6)
    assert shown["figures"]["synthetic.kept"]["value"] == pytest.approx(19 / 24)
    everything = [p.read_bytes() for p in (tmp_path / "ws").rglob("*") if p.is_file()]
    assert not any(b"sk-secret-2" in data for data in everything)
    # More at once is the same artifact.
    again = asking(writer.url, concurrency=8)
    assert align_synthesize.run(again, {"mixture": source}, workspace, seed=1).path == made.path


def test_what_was_paid_for_is_not_asked_again(writer: Writer, tmp_path: Path, seal: Seal) -> None:
    source = mixture(tmp_path / "mixture", seal)
    config = asking(writer.url, styles=("rephrase", "textbook"), per_passage=2, failed_share=0.15)
    whole = align_synthesize.run(config, {"mixture": source}, Workspace.at(tmp_path / "whole"))
    asked, writer.asked = sorted(writer.asked), []
    assert len(asked) == 48
    # It breaks twice: within the first part of 16 texts, and within the second.
    workspace = Workspace.at(tmp_path / "broken")
    for broken_after in (7, 26):
        writer.broken_after = broken_after
        with pytest.raises(Retryable, match="goes on from here"):
            align_synthesize.run(config, {"mixture": source}, workspace)
        assert len(writer.asked) == broken_after
    writer.broken_after = None
    resumed = align_synthesize.run(config, {"mixture": source}, workspace)
    # Only the two that the endpoint refuses, which cost nothing, may come twice.
    twice = [one for one in set(writer.asked) if writer.asked.count(one) > 1]
    assert sorted(set(writer.asked)) == asked
    assert all(f"Number {FAILS} " in one for one in twice)
    assert resumed.content == whole.content
    assert resumed.manifest.counts == whole.manifest.counts
    assert resumed.read_json("presentation.json") == whole.read_json("presentation.json")


def test_kill_9_and_the_command_line(writer: Writer, tmp_path: Path, seal: Seal) -> None:
    source = mixture(tmp_path / "mixture", seal)
    command = [
        sys.executable, "-m", "gristmill", "align", "synthesize", "--kind", "documents",
        "--mixture", str(source.path), "--workspace", str(tmp_path / "ws"), "--json",
        "--documents.endpoint", writer.url, "--documents.endpoint_model", "scribe",
        "--documents.failed_share", "0.2", "--documents.seeds_per_part", "10",
        "--documents.concurrency", "1", "--documents.licence", "cc-by-4.0",
    ]  # fmt: skip
    writer.held_after = 17  # so that it cannot end before it is killed
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while first.poll() is None and len(writer.asked) < 13:
        time.sleep(0.001)
    first.kill()
    first.wait()
    writer.held_after = None
    assert 13 <= len(writer.asked) <= 18
    again = subprocess.run(command, capture_output=True, check=True)
    made = Artifact.open(Path(json.loads(again.stdout)["path"]))
    # One request was in the air when the first was killed; the one that is refused is free.
    assert len(writer.asked) <= 24 + 2
    documents = table(made, "documents")
    assert len(documents) == len({one["id"] for one in documents}) == 19
    assert {one["licence"] for one in documents} == {"CC-BY-4.0"}


def small_model(folder: Path, seal: Seal, texts: Sequence[str]) -> Artifact:
    """A base model that has learnt the texts a little."""
    tokenizer = train_tokenizer(list(texts), 400)
    tokenizer.save(folder / "tokenizer")
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(tokenizer.vocab_size, 48, 2, 2, 1, 24, 96, 256))
    model.init_weights(0)
    tokens = [t for text in texts for t in [tokenizer.eot_id, *tokenizer.encode(text)]]
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    r = random.Random(0)
    for _ in range(60):
        starts = [r.randrange(len(tokens) - 65) for _ in range(8)]
        batch_BT = torch.tensor([tokens[s : s + 65] for s in starts])
        logits_BTV = model.head(model(batch_BT[:, :-1]))
        loss = torch.nn.functional.cross_entropy(
            logits_BTV.flatten(0, 1), batch_BT[:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_model(folder / "model", model, folder / "tokenizer")
    return seal(folder / "model", "model", "train.lm")


def test_a_model_of_ours_goes_on_from_seeds_and_from_a_kill(
    tmp_path: Path, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = mixture(tmp_path / "mixture", seal)
    texts = [row["text"] for row in table(source, "train")]
    model = small_model(tmp_path, seal, texts)
    config = SynthesizeConfig(
        kind="documents",
        documents=DocumentsConfig(
            styles=("continue",), cut="trim", max_tokens=60, min_words=10, seed_characters=300,
            passages=2, seeds_per_part=10, max_rows=2, domain="made-by-{style}", seeds=15,
        ),
    )  # fmt: skip
    inputs = {"mixture": source, "generator": model}
    whole = align_synthesize.run(config, inputs, Workspace.at(tmp_path / "whole"))
    documents, how = table(whole, "documents"), table(whole, "synthetic")
    assert len(documents) > 5 and {one["domain"] for one in documents} == {"made-by-continue"}
    assert all(one["made_by"] == model.content for one in how)
    assert all(one["text"].rstrip('"').endswith((".", "!", "?")) for one in documents)
    assert whole.manifest.counts["seeds"] == 15 and whole.manifest.counts["texts"] == 30
    # Killed in the second of its rounds of 8, in the first of two parts.
    rounds: list[int] = []
    answer = LocalText.answer

    def dying(
        self: LocalText, requests: Sequence[TextRequest], progress: Progress | None = None
    ) -> list[TextAnswer]:
        rounds.append(len(requests))
        if len(rounds) == 2:
            raise KeyboardInterrupt
        return answer(self, requests, progress)

    monkeypatch.setattr(LocalText, "answer", dying)
    workspace = Workspace.at(tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        align_synthesize.run(config, inputs, workspace)
    resumed = align_synthesize.run(config, inputs, workspace)
    assert rounds == [8, 8, 8, 8, 6]
    assert resumed.content == whole.content


def echo_backwards() -> Any:
    """A generator of a user's own: the words of the passage, backwards."""

    class Backwards:
        def answer(
            self, requests: Sequence[TextRequest], progress: Progress | None = None
        ) -> list[TextAnswer]:
            texts = [r.messages[-1].content.partition("Text:\n")[2] for r in requests]
            return [TextAnswer(" ".join(text.split()[::-1]), "stop") for text in texts]

    return Backwards()


def test_a_function_generates_and_dedup_and_chains_take_the_documents(
    tmp_path: Path, seal: Seal
) -> None:
    source = mixture(tmp_path / "mixture", seal)
    config = SynthesizeConfig(
        kind="documents", documents=DocumentsConfig(function=f"{__file__}:echo_backwards")
    )
    workspace = Workspace.at(tmp_path / "ws")
    made = align_synthesize.run(config, {"mixture": source}, workspace)
    assert made.manifest.counts["documents"] == 24
    layer = data_dedup.run(DedupConfig(), {"documents": made}, workspace)
    kept = DocumentSet.open(layer)
    assert sum(len(t) for _, t in kept.tables(["text", "domain"])) == 24


def test_a_held_out_document_is_no_seed(tmp_path: Path, seal: Seal) -> None:
    def seeds(name: str, **changed: dict[str, Any]) -> list[str]:
        source = mixture(tmp_path / name, seal, **changed)
        return [one.id for one in choose_seeds(source.path, most=None, min_words=10, seed=0)]

    assert seeds("fine") == [f"seed{number:02d}" for number in range(24)]
    with pytest.raises(GristmillError, match="held-out document or group seed01"):
        seeds("same", seed29={"id": "seed01"})
    with pytest.raises(GristmillError, match="held-out document or group group2"):
        seeds("copy", seed29={"group": "group2"})
    found = seeds(
        "unfit",
        seed03={"repeats": 0},
        seed04={"url": "synthetic://rephrase/seed01/0"},
        seed05={"text": "Too short."},
    )
    assert found == [f"seed{number:02d}" for number in range(24) if number not in (3, 4, 5)]


def test_some_seeds_are_the_same_ones_each_time(tmp_path: Path, seal: Seal) -> None:
    source = mixture(tmp_path / "mixture", seal)
    few, more = (
        [one.id for one in choose_seeds(source.path, most=most, min_words=10, seed=4)]
        for most in (5, 12)
    )
    assert len(few) == 5 and set(few) < set(more) and more == sorted(more)
    other = [one.id for one in choose_seeds(source.path, most=5, min_words=10, seed=5)]
    assert other != few


def test_what_is_missing_is_told(tmp_path: Path, seal: Seal) -> None:
    source = mixture(tmp_path / "mixture", seal)
    workspace = Workspace.at(tmp_path / "ws")
    documents = SynthesizeConfig(kind="documents")
    with pytest.raises(GristmillError, match="no generator"):
        align_synthesize.run(documents, {"mixture": source}, workspace)
    with pytest.raises(GristmillError, match="no seed documents"):
        align_synthesize.run(documents, {}, workspace)
    with pytest.raises(ValueError, match="is for --kind documents"):
        SynthesizeConfig(documents=DocumentsConfig(seeds=3))
    (tmp_path / "model").mkdir()
    model = seal(tmp_path / "model", "model", "train.lm")
    with pytest.raises(GristmillError, match="without a generator"):
        align_synthesize.run(SynthesizeConfig(), {"mixture": source, "generator": model}, workspace)
    with pytest.raises(GristmillError, match="2 generators at once"):
        align_synthesize.run(
            asking("http://127.0.0.1:1/v1"), {"mixture": source, "generator": model}, workspace
        )
    short = DocumentsConfig(function=f"{__file__}:echo_backwards", min_words=5000)
    with pytest.raises(GristmillError, match="none of 24 texts was kept; 24 for this reason: too"):
        align_synthesize.run(
            SynthesizeConfig(kind="documents", documents=short), {"mixture": source}, workspace
        )


def test_chats_are_what_they_were_and_how_work_is_done_is_no_part_of_documents() -> None:
    identity, _ = config_identity(SynthesizeConfig())
    assert "kind" not in identity and "documents" not in identity
    plain = config_identity(SynthesizeConfig(kind="documents"))
    busy = SynthesizeConfig(kind="documents", documents=DocumentsConfig(concurrency=3, retries=1))
    assert config_identity(busy) == plain
    other = SynthesizeConfig(kind="documents", documents=DocumentsConfig(min_words=3))
    assert config_identity(other) != plain


def test_a_recipe_wires_documents_to_what_takes_documents(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    settings = {
        "data": {"import": {"path": str(tmp_path / "own")}, "mix": {}},
        "align": {"synthesize": {"kind": "documents"}, "synthesize@chats": {}},
        "data.dedup": {},
        "train": {"sft": {"inputs": {"model": str(tmp_path / "own")}}},
    }
    recipe = check_recipe(settings, "test")
    assert recipe.node("data.dedup").wires["documents"] == ("align.synthesize",)
    assert recipe.node("train.sft").wires["chats"] == ("align.synthesize@chats",)
    assert recipe.node("align.synthesize").wires == {"mixture": ("data.mix",), "generator": ()}
