"""The demo recipe at test size: complete, cached, exact after kills, clear on bad input."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

PROMISED = """
crawl.forbidden_fetched extract.f1 language.precision language.recall dedup.exact.precision
dedup.exact.recall dedup.near.precision dedup.near.recall personal_data.precision
personal_data.recall boilerplate.precision boilerplate.recall spam.precision spam.recall
adult.precision adult.recall quality.auc domains.accuracy base.bits_per_byte
unigram.bits_per_byte ngram5.bits_per_byte choices.accuracy choices.chance seconds.total
sft.stops sft.answers.seen sft.answers.unseen sft.invented.unseen reward.accuracy
dpo.margin.before dpo.margin.after ppo.reward.before ppo.reward.after ppo.kl
best_of_n.reward.1 best_of_n.reward.2 best_of_n.reward.4 best_of_n.reward.8 best_of_n.reward.16
alignment.sft.gold alignment.dpo.win_rate alignment.ppo.kl alignment.ppo_direct.proxy
alignment.chosen.bits_per_byte alignment.best_of_n.n_16.gold alignment.base.asks_on
likelihood.accuracy.base likelihood.accuracy.sft letter.accuracy.base letter.accuracy.sft
generation.accuracy.base generation.accuracy.sft contamination.base.p contamination.sft.p
judge.win_rate.base judge.win_rate.dpo judge.win_rate.ppo judge.agreement judge.consistency
index.bytes_per_token
""".split()


def ran(result: dict[str, Any]) -> list[str]:
    return [stage["node"] for stage in result["stages"] if not stage["cached"]]


def contents_of(result: dict[str, Any]) -> dict[str, str]:
    """Node name to content hash, of all but the report, which holds times."""
    return {s["node"]: s["content"] for s in result["stages"] if s["node"] != "report"}


def artifact(result: dict[str, Any], node: str) -> Path:
    return Path(next(s["artifact"] for s in result["stages"] if s["node"] == node))


def test_every_promised_figure_is_there(finished: Any) -> None:
    figures = json.loads((finished.recipe.workspace / "figures.json").read_text())
    assert [name for name in PROMISED if name not in figures] == []
    assert all(isinstance(entry["value"], (int, float)) for entry in figures.values())
    assert figures["crawl.forbidden_fetched"]["value"] == 0
    assert figures["extract.f1"]["value"] > 0.9
    assert figures["base.bits_per_byte"]["n"] > 0
    stages = [stage for stage in finished.result["stages"] if stage["node"] != "report"]
    recorded = [json.loads((Path(s["artifact"]) / "manifest.json").read_text()) for s in stages]
    total = sum(manifest["seconds"] for manifest in recorded)
    assert figures["seconds.total"]["value"] == pytest.approx(total, abs=0.01)


def test_the_report_is_complete(finished: Any) -> None:
    page = (finished.recipe.workspace / "report.html").read_text(encoding="utf-8")
    for expected in ("Tokenizer", "Training", "Evaluation", "Sample texts", "Lineage",
                     "CC BY-SA", "Why documents were dropped", "Methods of alignment side by side",
                     "The same questions, answered by each model"):  # fmt: skip
        assert expected in page, expected
    assert page.count("<svg") >= 3


def test_a_second_run_takes_everything_from_the_cache(finished: Any) -> None:
    before = json.loads((finished.recipe.workspace / "figures.json").read_text())
    again = finished.recipe.run()
    assert ran(again) == ["report"]
    assert json.loads((finished.recipe.workspace / "figures.json").read_text()) == before


def test_a_changed_value_in_the_middle_runs_exactly_what_depends_on_it(
    finished: Any, make_recipe: Callable[[Path], Any], tmp_path: Path
) -> None:
    shutil.copytree(finished.recipe.workspace, tmp_path / "w")
    result = make_recipe(tmp_path / "w").run("--data.quality.keep_share", "0.7")
    assert ran(result) == [
        "data.quality", "data.domains", "data.mix", "data.inspect", "tokenizer.train",
        "tokenizer.encode", "data.index", "train.lm", "evaluate.perplexity", "score", "generate",
        "align.synthesize", "train.sft", "evaluate.tasks", "evaluate.contamination",
        "align.sample", "align.rank", "train.reward", "train.ppo", "train.dpo", "align.best-of-n",
        "train.reward@direct", "train.sft@chosen", "train.ppo@ppo_direct", "study.alignment",
        "evaluate.judge", "report",
    ]  # fmt: skip


def test_a_changed_strength_runs_its_method_and_what_compares_it(
    finished: Any, make_recipe: Callable[[Path], Any], tmp_path: Path
) -> None:
    shutil.copytree(finished.recipe.workspace, tmp_path / "w")
    result = make_recipe(tmp_path / "w").run("--train.dpo.beta", "0.5")
    assert ran(result) == ["train.dpo", "study.alignment", "evaluate.judge", "report"]


def test_the_assistant_loads_in_transformers_and_answers_the_same(finished: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gristmill.infer.engine import Engine
    from gristmill.infer.generator import Request, Sampling
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.chat import ChatFormat, Message
    from gristmill.tokenizer.tokenizer import Tokenizer

    folder = artifact(finished.result, "train.dpo")
    chat = ChatFormat.load(folder, Tokenizer.load(folder))
    prompt = chat.prompt([Message("user", "What is Troy?")])
    auto = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "What is Troy?"}]
    rendered = auto.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert list(rendered) == prompt
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert set(theirs.generation_config.eos_token_id) == set(chat.stop_ids)
    ours = load_model(folder)
    ids = torch.tensor([prompt])
    with torch.no_grad():
        assert (ours.head(ours(ids)) - theirs(ids).logits).abs().max() < 1e-4
        generated = theirs.generate(ids, max_new_tokens=12, do_sample=False)[0, len(prompt) :]
    [mine] = Engine(ours).generate([Request(prompt, Sampling(12, 0.0, stop_ids=chat.stop_ids))])
    assert mine.tokens == generated.tolist()


def test_exports_load_in_tokenizers_and_transformers(finished: Any) -> None:
    import torch
    from tokenizers import Tokenizer as Theirs
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gristmill.model.weights import load_model
    from gristmill.tokenizer.tokenizer import Tokenizer

    folder = artifact(finished.result, "train.lm")
    ours, theirs = Tokenizer.load(folder), Theirs.from_file(str(folder / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(folder)
    texts = ["The mouse ate the cheese.", " naïve\u00a0café 123456 \U0001f600\n\n\tend ", "x" * 500]
    for text in texts:
        assert ours.encode(text) == theirs.encode(text).ids == auto(text)["input_ids"]
    ids = torch.tensor([ours.encode(texts[0])])
    their_model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model = load_model(folder).eval()
    with torch.no_grad():
        expected = their_model(ids).logits
        found = model.head(model(ids))
    assert (found - expected).abs().max() < 1e-4


def test_a_sentence_of_a_training_page_is_traced_to_its_warc_record(finished: Any) -> None:
    import pyarrow.parquet as pq

    from gristmill.data.warc.reader import read_record

    workspace = finished.recipe.workspace
    pages = pq.read_table(artifact(finished.result, "data.mix") / "train").to_pylist()
    page = next(row for row in pages if 400 < len(row["text"]) < 900 and "\n" not in row["text"])
    sentence = page["text"][: page["text"].index(". ", 60) + 1]

    def trace(text: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "gristmill", "trace", text, "--json"]
        done = subprocess.run(
            [*command, "--workspace", str(workspace)], env=finished.recipe.environment,
            capture_output=True, encoding="utf-8", check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    found = trace(sentence)
    (span,) = [s for s in found["spans"] if s["end"] - s["start"] == len(sentence)]
    documents = {document["url"]: document for document in span["documents"]}
    assert page["url"] in documents and "not causes" in found["note"]
    told = documents[page["url"]]
    record = read_record(workspace / told["warc"], told["offset"])
    assert (record.url, record.record_id) == (page["url"], told["record_id"])
    invented = trace("Seven violet accountants juggled the parliament of marmalade.")
    assert not invented["spans"]


def test_kill_at_20_random_points_changes_nothing(
    finished: Any, make_recipe: Callable[[Path], Any], tmp_path: Path
) -> None:
    """Crawl fingerprint, every later artifact and the model equal the undisturbed run's."""
    chance = random.Random(3)
    recipe = make_recipe(tmp_path / "w0")
    recipe.environment["GRISTMILL_TEST"] = str(tmp_path)
    kills = rounds = 0
    while kills < 20:
        process = recipe.start()
        try:
            process.communicate(timeout=chance.uniform(0.6, 8.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0
        assert contents_of(recipe.run()) == contents_of(finished.result)
        rounds += 1
        recipe = make_recipe(tmp_path / f"w{rounds}")
        recipe.environment["GRISTMILL_TEST"] = str(tmp_path)
    assert contents_of(recipe.run()) == contents_of(finished.result)
    assert _orphans(str(tmp_path)) == []


def _orphans(mark: str) -> list[str]:
    """Command lines of processes of ours that outlived their parent for 100 seconds."""
    for _ in range(200):
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("GRISTMILL_TEST") == mark:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        if not found:
            return []
        time.sleep(0.5)
    return found


def test_ctrl_c_exits_75_and_says_how_to_go_on(
    make_recipe: Callable[[Path], Any], tmp_path: Path
) -> None:
    process = make_recipe(tmp_path / "w").start()
    while not list(tmp_path.glob("w/unfinished/*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 75, err
    assert "Traceback" not in err and "again" in err


def test_one_flipped_bit_is_named_and_mended(
    finished: Any, make_recipe: Callable[[Path], Any], tmp_path: Path
) -> None:
    shutil.copytree(finished.recipe.workspace, tmp_path / "w")
    recipe = make_recipe(tmp_path / "w")
    folder = tmp_path / "w" / "artifacts" / artifact(finished.result, "tokenizer.encode").name
    victim = next(iter(sorted((folder / "train").glob("shard-*.bin"))))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    victim.write_bytes(data)
    err = recipe.run(expect=2)
    assert len(err.strip().splitlines()) == 1
    assert "damaged artifact" in err and victim.name in err and str(folder) in err
    shutil.rmtree(folder)
    assert set(ran(recipe.run())) == {"tokenizer.encode", "report"}


def test_a_port_in_use_is_named(make_recipe: Callable[[Path], Any], tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        recipe = make_recipe(tmp_path / "w")
        err = recipe.run("--data.crawl.web_port", port, "--until", "data.crawl", expect=2)
    assert err.startswith(f"gristmill: 127.0.0.1:{port}: the port cannot be served on")
    assert len(err.strip().splitlines()) == 1


DISK = """
set -e
mkdir -p {w} && mount -t tmpfs -o size={small} tmpfs {w}
set +e
{run} > {log}.1 2>&1; echo first $?
set -e
mount -o remount,size=400m {w}
{run} > {log}.2 2>&1; echo second $?
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a small file system is mounted on Linux only")
@pytest.mark.parametrize("small", ["100k", "1m", "6m"])
def test_a_full_disk_exits_75_and_the_next_run_goes_on(
    small: str, make_recipe: Callable[[Path], Any], tmp_path: Path
) -> None:
    import shlex

    can = subprocess.run(["unshare", "-rm", "true"], capture_output=True)
    if can.returncode != 0:
        pytest.skip("this system lets nobody mount a small file system for a test")
    recipe = make_recipe(tmp_path / "disk" / "w")
    command = recipe.command("--json", "--until", "data.mix")
    script = DISK.format(
        w=shlex.quote(str(tmp_path / "disk")), small=small, run=shlex.join(command),
        log=shlex.quote(str(tmp_path / "log")),
    )  # fmt: skip
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        env=recipe.environment,
    )
    first = (tmp_path / "log.1").read_text()
    assert done.stdout == "first 75\nsecond 0\n", done.stdout + done.stderr + first[-2000:]
    assert "disk is full" in first and "Traceback" not in first
