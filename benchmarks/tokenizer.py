"""Training and encoding beside tokenizers, rustbpe, gigabpe, tiktoken and gigatoken.

    make bench-tokenizer                      # about ten minutes
    python benchmarks/tokenizer.py --quick    # a tenth of the text

The corpus is real text: film reviews (../shared), Python sources, software help in six languages
and encyclopaedia summaries in two. All of it is trained on; half of it is encoded once, by a
process that has seen none of it, with cl100k's ranks as tiktoken's users have them. Each task is
a process of its own on one thread; seconds are CPU seconds of the work, memory is what it adds to
a process that holds the documents. Ours and each peer in turn, medians.

The last line is JSON: {"train": {"ratio": over tokenizers, "ratio_rustbpe": ..,
"ratio_gigabpe": .. (GPT-2's pattern, the only one it has), "memory_rustbpe": ours over its, ..},
"encode": {"ratio": over tiktoken, "ratio_gigatoken": .., "differences": ids that differ, ..}}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from beside import Peer, finish, peak_memory, ratio
from corpora import mixed

from gristmill.data.wheel import Wheel, fetch, open_wheel_file

HERE = Path(__file__).resolve()
PEER_SCRIPT = HERE.parent / "peers" / "tokenizer_peer.py"
VOCABULARY = 32_768
TEXT_BYTES = 98_000_000

# Carries the ranks of OpenAI's cl100k as a file.
CL100K = Wheel(
    name="litellm",
    version="1.109.1",
    sha256="1c8b4dd671fa0cd0850aa751678704ff77e595fb1e6085b2dc3be39ee19bdaaf",
    licence="MIT",
)
CL100K_MEMBER = "litellm/litellm_core_utils/tokenizers/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"


def main() -> None:
    """Measures, prints a table, and the JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the text, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        _ours(*arguments.ours)
        return
    peer = Peer("tokenizer")
    rounds = 1 if arguments.quick else arguments.rounds
    size = TEXT_BYTES // 10 if arguments.quick else TEXT_BYTES
    documents, kinds = mixed(size)
    print(f"{sum(kinds.values()):,} bytes: " + ", ".join(f"{k} {v:,}" for k, v in kinds.items()))
    names = ("tokenizers", "rustbpe", "gigabpe", "tiktoken", "gigatoken")
    print(", ".join(f"{name} {version}" for name, version in peer.versions(*names).items()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train, unseen = folder / "train.jsonl", folder / "unseen.jsonl"
        _write(train, documents)
        _write(unseen, documents[1::2])
        ranks = folder / "cl100k_base.tiktoken"
        ranks.write_bytes(open_wheel_file(fetch(CL100K), CL100K_MEMBER).read())
        trained = _measure_training(peer, folder, train, rounds)
        encoded = _measure_encoding(peer, folder, unseen, ranks, rounds)
    finish({"train": trained, "encode": encoded, "bytes": sum(kinds.values())})


def _measure_training(peer: Peer, folder: Path, text: Path, rounds: int) -> dict[str, Any]:
    from gristmill.tokenizer.patterns import REGEXES

    runs: dict[str, list[dict[str, Any]]] = {}
    ours, out = folder / "ours.tokens", folder / "peer.tokens"
    same = 0
    for _ in range(rounds):
        for pattern, names in (("gpt4", ("tokenizers", "rustbpe")), ("gpt2", ("gigabpe",))):
            runs.setdefault(f"ours {pattern}", []).append(
                _run_ours("train", text, str(VOCABULARY), pattern, ours)
            )
            for name in names:
                found = peer.run(
                    PEER_SCRIPT, "train", name, text, str(VOCABULARY), REGEXES[pattern], out,
                    timeout=1800, environment=_ONE_THREAD,
                )  # fmt: skip
                runs.setdefault(name, []).append(found)
                if name == "rustbpe":
                    pairs = zip(_lines(ours), _lines(out), strict=False)
                    same = next((i for i, (a, b) in enumerate(pairs) if a != b), len(_lines(out)))
    _table("training", runs, "s")
    memory = {name: statistics.median(r["memory"] for r in found) for name, found in runs.items()}
    seconds = {name: [r["seconds"] for r in found] for name, found in runs.items()}
    return {
        "ratio": round(ratio(seconds["tokenizers"], seconds["ours gpt4"]), 2),
        "ratio_rustbpe": round(ratio(seconds["rustbpe"], seconds["ours gpt4"]), 2),
        "ratio_gigabpe": round(ratio(seconds["gigabpe"], seconds["ours gpt2"]), 2),
        "memory_rustbpe": round(memory["ours gpt4"] / memory["rustbpe"], 2),
        "same_as_rustbpe": same,
        "seconds": round(statistics.median(seconds["ours gpt4"]), 2),
    }


def _measure_encoding(
    peer: Peer, folder: Path, text: Path, ranks: Path, rounds: int
) -> dict[str, Any]:
    from gristmill.tokenizer.patterns import REGEXES

    runs: dict[str, list[dict[str, Any]]] = {}
    ours, out = folder / "ours.ids", folder / "peer.ids"
    differences = 0
    for _ in range(rounds):
        for name in ("tiktoken", "gigatoken"):
            runs.setdefault("ours", []).append(_run_ours("encode", text, ranks, "gpt4", ours))
            found = peer.run(
                PEER_SCRIPT, "encode", name, text, ranks, REGEXES["gpt4"], out,
                environment=_ONE_THREAD,
            )  # fmt: skip
            runs.setdefault(name, []).append(found)
            if name == "tiktoken":
                a, b = (np.fromfile(file, dtype="<u4") for file in (ours, out))
                length = min(a.size, b.size)
                differences = int((a[:length] != b[:length]).sum()) + abs(a.size - b.size)
    _table("encoding", runs, "s")
    seconds = {name: [r["seconds"] for r in found] for name, found in runs.items()}
    return {
        "ratio": round(ratio(seconds["tiktoken"], seconds["ours"]), 2),
        "ratio_gigatoken": round(ratio(seconds["gigatoken"], seconds["ours"]), 2),
        "differences": differences,
        "ids": int(np.fromfile(ours, dtype="<u4").size),
        "mb_per_second": round(_text_bytes(text) / 1e6 / statistics.median(seconds["ours"]), 1),
    }


_ONE_THREAD = {
    "RAYON_NUM_THREADS": "1",
    "RAYON_RS_NUM_CPUS": "1",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def _run_ours(task: str, text: Path, source: str | Path, pattern: str, out: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, HERE, "--ours", task, text, str(source), pattern, out],
        capture_output=True, text=True, env={**os.environ, **_ONE_THREAD}, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _ours(task: str, text: str, source: str, pattern: str, out: str) -> None:
    """One task of ours in this process; compiled kernels are warmed up on other text first."""
    import psutil

    from gristmill.tokenizer.tiktoken_file import read_tiktoken
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.tokenizer.training import train_tokenizer

    with Path(text).open(encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    train_tokenizer(["some words, to warm up 12 times"], 300, pattern=pattern).encode_batch(["a b"])
    before = psutil.Process().memory_info().rss
    if task == "train":
        start = time.process_time()
        # No peer caps a token's length; rustbpe's tokens are to come out, all in its order.
        made = train_tokenizer(
            texts, int(source), pattern=pattern, special_tokens=(), max_token_length=None
        )
        seconds = time.process_time() - start
        tokens = "\n".join(token.hex() for token in made.vocabulary.tokens)
        Path(out).write_text(tokens, encoding="ascii")
    else:
        tokenizer = Tokenizer(read_tiktoken(Path(source), pattern))
        # Enough that the compiled encoder is built and loaded; of words that fill one slot.
        tokenizer.encode_batch(["warm " * 50_000])
        start = time.process_time()
        found = tokenizer.encode_batch(texts)
        seconds = time.process_time() - start
        np.concatenate(found).astype("<u4").tofile(out)
    print(json.dumps({"seconds": seconds, "memory": peak_memory() - before}))


def _table(title: str, runs: dict[str, list[dict[str, Any]]], unit: str) -> None:
    print(f"\n{title:<14}{'CPU ' + unit:>10}{'memory, MB':>12}")
    for name, found in runs.items():
        seconds = statistics.median(r["seconds"] for r in found)
        memory = statistics.median(r["memory"] for r in found)
        print(f"{name:<14}{seconds:>10.2f}{memory / 1e6:>12.0f}")


def _write(file: Path, documents: list[bytes]) -> None:
    with file.open("w", encoding="utf-8") as lines:
        for document in documents:
            lines.write(json.dumps(document.decode()) + "\n")


def _text_bytes(file: Path) -> int:
    with file.open(encoding="utf-8") as lines:
        return sum(len(json.loads(line).encode()) for line in lines)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="ascii").split("\n")


if __name__ == "__main__":
    main()
