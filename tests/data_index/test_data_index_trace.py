"""From a text back to its page, through real stages: crawl files, documents, mixture, tokens."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.cli.main import main
from gristmill.core.errors import GristmillError
from gristmill.data.spans import Chance, TracedText, choose, measure_chance, text_spans
from gristmill.data.warc.reader import read_record
from gristmill.data.warc.writer import record_bytes
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.data_index import data_index
from gristmill.stages.data_mix import MixConfig, data_mix
from gristmill.stages.stage import Inputs, Output, StageConfig, stage
from gristmill.stages.tokenizer_encode import TokenizerEncodeConfig, tokenizer_encode
from gristmill.stages.tokenizer_train import TokenizerTrainConfig, tokenizer_train
from gristmill.stages.tracing import NO_FINDING, NOTE, Tracer, trace_text
from gristmill.stages.workspace import Workspace

COMMON = "Every page of this site ends with these very words"
SPECIAL = "Élan, 1984 moulins & <|endoftext|> in Zürich"


def sentence(rng: random.Random, words: list[str]) -> str:
    drawn = " ".join(rng.choices(words, k=rng.randint(9, 14)))
    return f"{drawn[0].upper()}{drawn[1:]}."


def pages() -> dict[str, list[str]]:
    """Sentences by URL. Page 3 says something that no other says, and page 4 and 5 share one."""
    rng = random.Random(5)
    letters = "abcdefghiklmnoprstuvw"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(400)]
    found = {}
    for number in range(40):
        sentences = [sentence(rng, words) for _ in range(8)]
        found[f"http://site{number % 7}.example/page/{number}"] = sentences
    urls = list(found)
    found[urls[3]][2] = f"{SPECIAL} stands here alone, under the old mill of the miller."
    found[urls[5]][4] = found[urls[4]][4]
    # Another beginning of what is common.
    found[urls[22]][1] = f"Hardly any {COMMON.partition(' ')[2]}, says one."
    for sentences in found.values():
        sentences.append(f"{COMMON}.")
    return found


class NoConfig(StageConfig):
    """Nothing to choose."""


@stage("data crawl", version=1, kind="pages", config=NoConfig, inputs={}, summary="", example="")
def write_pages(config: NoConfig, inputs: Inputs, output: Output) -> None:
    rows, offset = [], 0
    (output.path / "warc").mkdir()
    with open(output.path / "warc" / "a.warc.gz", "wb") as file:
        for url, sentences in sorted(pages().items()):
            text = " ".join(sentences).replace("&", "&amp;").replace("<", "&lt;")
            html = f"<html><head><title>Page {url[-2:]}</title></head><body><p>{text}</p></body>"
            block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
            member = gzip.compress(
                record_bytes(
                    "response", block + html.encode(), date="2026-01-02T03:04:05Z", target_uri=url
                )
            )
            file.write(member)
            rows.append(
                {
                    "url": url, "status": 200, "content_type": "text/html", "digest": url,
                    "file": "a.warc.gz", "offset": offset, "length": len(member),
                    "fetched_at": "2026-01-02T03:04:05Z",
                }
            )  # fmt: skip
            offset += len(member)
    pq.write_table(pa.Table.from_pylist(rows), output.path / "index.parquet")
    output.volatile.add("warc/")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace.at(tmp_path_factory.mktemp("trace") / "w")
    crawled = write_pages.run(NoConfig(), {}, workspace)
    documents = data_extract.run(ExtractConfig(part_pages=16), {"pages": crawled}, workspace)
    mixture = data_mix.run(
        MixConfig(heldout_hosts=("site6.example",), heldout_share=0.0, leak_share=1.0),
        {"documents": documents}, workspace,
    )  # fmt: skip
    tokenizer = tokenizer_train.run(
        TokenizerTrainConfig(vocab_size=700), {"mixture": mixture}, workspace
    )
    tokens = tokenizer_encode.run(
        TokenizerEncodeConfig(), {"mixture": mixture, "tokenizer": tokenizer}, workspace
    )
    workspace.name_node("tokenizer.encode", tokens)
    return workspace


def url_of(number: int) -> str:
    return f"http://site{number % 7}.example/page/{number}"


def test_every_sentence_of_a_page_is_found_whole_with_its_record(made: Workspace) -> None:
    tracer = Tracer.open(made)
    for url, sentences in list(pages().items())[:14]:
        held_out = url.startswith("http://site6.")
        for text in sentences[:-1]:
            told = tracer.trace(text)
            if held_out:
                assert told["spans"] == [] and told["note"] == NO_FINDING, text
                continue
            (span,) = told["spans"]
            assert text[span["start"] : span["end"]] == text
            (document,) = [one for one in span["documents"] if one["url"] == url]
            assert document["title"] and text in document["excerpt"]
            low, high = document["match"]
            assert document["excerpt"][low:high] == text
            record = read_record(made.path / document["warc"], document["offset"])
            assert record.url == url and record.record_id == document["record_id"]
            assert text.split()[-1].encode() in record.http().body
            assert told["note"] == NOTE


def test_what_two_pages_share_is_counted_and_both_are_named(made: Workspace) -> None:
    shared = pages()[url_of(4)][4]
    (span,) = trace_text(made.path, shared)["spans"]
    assert span["count"] == 2 and not span["at_least"]
    assert {one["url"] for one in span["documents"]} == {url_of(4), url_of(5)}
    (span,) = trace_text(made.path, COMMON)["spans"]
    assert span["count"] == 35 and len(span["documents"]) == 5


@pytest.mark.parametrize("lead", ["", " ", "\n\n", "As you said: ", "x", "“"])
@pytest.mark.parametrize("tail", ["", ".", "!?", " and so on", "s", "\n"])
def test_a_sentence_is_found_whatever_stands_around_it(
    made: Workspace, lead: str, tail: str
) -> None:
    sentence = pages()[url_of(3)][2].removesuffix(".")
    text = lead + sentence + tail
    (span,) = trace_text(made.path, text)["spans"]
    found = text[span["start"] : span["end"]]
    # Glued to a letter, the first or last word is another word.
    expected = sentence if lead != "x" else sentence.partition(" ")[2]
    expected = expected if tail != "s" else expected.rpartition(" ")[0]
    assert found.removesuffix(".") == expected
    assert span["documents"][0]["url"] == url_of(3)


def test_text_is_never_a_special_token(made: Workspace) -> None:
    told = trace_text(made.path, f"{SPECIAL} stands here alone")
    assert [s["documents"][0]["url"] for s in told["spans"]] == [url_of(3)]
    assert trace_text(made.path, "<|endoftext|>")["text"] == "<|endoftext|>"


@pytest.mark.parametrize(
    "text", ["é", "ü🙂", "\u4e2d\u6587 \u4e2d", "\udc80", "\x00\x1b[31m", "ÉlanÉlan "]
)
def test_strange_text_is_traced_by_whole_characters(made: Workspace, text: str) -> None:
    tracer = Tracer.open(made)
    told = tracer.trace(text * 3, min_tokens=1)
    for span in told["spans"]:
        assert told["text"][span["start"] : span["end"]].strip()


def test_findings_do_not_overlap_and_an_invented_sentence_has_none(made: Workspace) -> None:
    first, second = pages()[url_of(1)][0], pages()[url_of(2)][3]
    text = f"{first} Something nobody wrote, quite. {second}"
    spans = trace_text(made.path, text)["spans"]
    assert [text[s["start"] : s["end"]] for s in spans] == [first, second]
    words = [word for sentences in pages().values() for s in sentences for word in s.split()]
    rng = random.Random(1)
    for _ in range(20):
        told = trace_text(made.path, " ".join(rng.choices(words, k=20)))
        assert told["spans"] == [] and told["longest"]["tokens"] < 20
    assert trace_text(made.path, "")["longest"] is None


def test_the_rule_is_the_bits_or_the_least_tokens_that_are_asked_for(made: Workspace) -> None:
    tracer = Tracer.open(made)
    text = pages()[url_of(1)][0]
    half = " ".join(text.split()[:3])
    traced = TracedText.of(tracer.index, tracer.tokenizer, f"Nothing. {half}? Nothing.")
    spans = text_spans(tracer.index, tracer.tokenizer, traced)
    bits = max(span.bits for span in spans)
    assert choose(spans, traced, bits + 1) == []
    assert [s.bits for s in choose(spans, traced, bits)] == [bits]
    assert len(choose(spans, traced, 1e9, min_tokens=2)) >= 1
    assert choose(spans, traced, 0.0, min_tokens=50) == []
    chance = measure_chance(tracer.index, None)
    assert chance == Chance(round(chance.bits, 1), 0, 0) and chance.bits > 4 * 11


def test_a_lineage_that_is_gone_leaves_the_address(made: Workspace, tmp_path: Path) -> None:
    bare = Workspace.at(tmp_path / "w")
    tokens = made.nodes()["tokenizer.encode"]
    shutil.copytree(tokens.path, bare.artifacts_folder / tokens.name)
    bare.name_node("tokenizer.encode", tokens)
    text = pages()[url_of(1)][0]
    (document,) = trace_text(bare.path, text)["spans"][0]["documents"]
    assert document["url"] == url_of(1) and text in document["excerpt"]
    assert document["warc"] is None and document["title"] is None


def test_the_command_makes_the_index_once_and_names_the_page(
    made: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    workspace = tmp_path / "w"
    shutil.copytree(made.path, workspace)
    for path in [*workspace.glob("artifacts/data.index-*")]:
        shutil.rmtree(path)
    text = pages()[url_of(8)][0]
    assert main(["trace", text, "--workspace", str(workspace)]) == 0
    said = capsys.readouterr()
    assert "no index yet" in said.err
    assert f"[{text}][1]" in " ".join(said.out.split()) and url_of(8) in said.out
    assert "a.warc.gz:" in said.out and "Matches, not causes" in " ".join(said.out.split())
    path = tmp_path / "answer.txt"
    path.write_text(f"He said: {text}", encoding="utf-8")
    assert main(["trace", "--file", str(path), "--workspace", str(workspace), "--json"]) == 0
    said = capsys.readouterr()
    assert "no index yet" not in said.err
    told = json.loads(said.out)
    assert told["spans"][0]["documents"][0]["url"] == url_of(8)
    assert Workspace.at(workspace).nodes()["data.index"].stage == data_index.name


def test_a_workspace_without_tokens_and_a_long_text_are_refused(
    made: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(GristmillError, match="no token shards"):
        trace_text(tmp_path, "text")
    with pytest.raises(GristmillError, match="characters"):
        trace_text(made.path, "a" * 200_001)
