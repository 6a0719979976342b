"""Training and encoding beside tokenizers, rustbpe, gigabpe, tiktoken and gigatoken.

    make bench-tokenizer                      # about ten minutes
    python benchmarks/tokenizer.py --quick    # a tenth of the text (shards: a fifth)

The corpus is real text: film reviews (../shared), Python sources, software help in six languages
and encyclopaedia summaries in two. All of it is trained on; half of it (with --quick all) is
encoded once, by a process that has seen none of it, with cl100k's ranks as tiktoken's users have
them. Each task is a process of its own on one thread; seconds are CPU seconds of the work, memory
is what it adds to a process that holds the documents. Ours and each peer in turn, medians.

Shards: `tokenizer encode` of the whole corpus, from Parquet as `data mix` writes it to shards and
document index, with two workers, beside two threads that only encode: the encoder's `encode_batch`
on the same two parts, as Python strings in memory. Every thread begins with nothing seen, on either
side. They are measured in turn, each first as often as last, both on two workers, then both on one.
What else runs on the machine only adds to the work: the least of many turns counts, by wall-clock,
which means something on two cores that are free, and by CPU seconds; medians stand beside them.

Worst: what a byte of text without end costs, in ordinary text's bytes, and how much longer twice as
much of it takes.

The last line is JSON: {"train": {"ratio": over tokenizers, "ratio_rustbpe": ..,
"ratio_gigabpe": .. (GPT-2's pattern, the only one it has), "memory_rustbpe": ours over its, ..},
"encode": {"ratio": over tiktoken, "ratio_gigatoken": .., "differences": ids that differ, ..},
"shards": {"ratio": of the encoder's speed, two workers, by wall-clock, "ratio_cpu": by CPU seconds,
"ratio_cpu_median": .., "one_worker_cpu": .., and without --quick "ratio_cpu_joined": over the
encoder on the same bytes as an Arrow column holds them, "one_worker_cpu_joined": ..,
"ratio_cpu_zstd": where the Parquet is compressed with zstd, not with lz4 as by `data mix`},
"worst": {case: {"bytes": .., "twice": ..}}}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from beside import Peer, finish, ratio
from corpora import mixed

from gristmill.data.wheel import Wheel, fetch, open_wheel_file

OUR_SCRIPT = Path(__file__).resolve().with_name("tokenizer_ours.py")
PEER_SCRIPT = OUR_SCRIPT.parent / "peers" / "tokenizer_peer.py"
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
    parser.add_argument("--quick", action="store_true", help="less text, fewer rounds")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    peer = Peer("tokenizer")
    rounds = 1 if arguments.quick else arguments.rounds
    # A second's work is measured more often than half a minute's.
    training, encoding = (2, 3) if arguments.quick else (rounds, rounds)
    # Of a tenth of the text, what shards cost beside encoding is mostly beginning and ending.
    size = TEXT_BYTES // 5 if arguments.quick else TEXT_BYTES
    documents, kinds = mixed(size)
    print(f"{sum(kinds.values()):,} bytes: " + ", ".join(f"{k} {v:,}" for k, v in kinds.items()))
    names = ("tokenizers", "rustbpe", "gigabpe", "tiktoken", "gigatoken")
    print(", ".join(f"{name} {version}" for name, version in peer.versions(*names).items()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        whole, train, unseen = (folder / f"{name}.jsonl" for name in ("whole", "train", "unseen"))
        _write(whole, documents)
        _write(train, documents[1::2] if arguments.quick else documents)
        _write(unseen, documents[1::2])
        ranks = folder / "cl100k_base.tiktoken"
        ranks.write_bytes(open_wheel_file(fetch(CL100K), CL100K_MEMBER).read())
        result = {
            "train": _measure_training(peer, folder, train, rounds, training),
            "encode": _measure_encoding(peer, folder, unseen, ranks, rounds, encoding),
            "shards": _measure_shards(folder, whole, ranks, arguments.quick),
            "worst": _run_ours("worst", unseen, ranks, "gpt4", folder),
        }
    for name, case in result["worst"].items():
        print(f"worst: {name:<24}{case['bytes']:>8} bytes{case['twice']:>8} for twice as much")
    finish({**result, "bytes": sum(kinds.values())})


def _measure_training(
    peer: Peer, folder: Path, text: Path, rounds: int, short: int
) -> dict[str, Any]:
    from gristmill.tokenizer.patterns import REGEXES

    runs: dict[str, list[dict[str, Any]]] = {}
    ours, out = folder / "ours.tokens", folder / "peer.tokens"
    same = 0
    for number in range(max(rounds, short)):
        for pattern, names in (("gpt4", ("rustbpe", "tokenizers")), ("gpt2", ("gigabpe",))):
            wanted = [name for name in names if number < rounds or name == "rustbpe"]
            if wanted:
                runs.setdefault(f"ours {pattern}", []).append(
                    _run_ours("train", text, str(VOCABULARY), pattern, ours)
                )
            for name in wanted:
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
    peer: Peer, folder: Path, text: Path, ranks: Path, rounds: int, short: int
) -> dict[str, Any]:
    from gristmill.tokenizer.patterns import REGEXES

    runs: dict[str, list[dict[str, Any]]] = {}
    ours, out = folder / "ours.ids", folder / "peer.ids"
    differences = 0
    for number in range(max(rounds, short)):
        for name in ("tiktoken", "gigatoken") if number < rounds else ("tiktoken",):
            if name == "tiktoken" or rounds > 1:
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


def _measure_shards(folder: Path, text: Path, ranks: Path, quick: bool) -> dict[str, Any]:
    ours, others = "tokenizer encode", ("column", "tokenizer encode of zstd")
    names = ("texts", ours, *(() if quick else others))
    turns = 6 if quick else 9
    runs = _run_ours("shards", text, ranks, "gpt4", folder / "shards", str(turns), ",".join(names))
    cpu, wall = runs["cpu"], runs["wall"]
    print(f"\n{f'shards, {turns} turns':<28}{'CPU s':>10}{'median':>10}{'wall s':>10}")
    for name, found in cpu.items():
        median = statistics.median(found)
        print(f"{name:<28}{min(found):>10.3f}{median:>10.3f}{min(wall[name]):>10.3f}")

    def speed(
        workers: int, seconds: dict[str, list[float]], of: str = "texts", by: str = ours
    ) -> float:
        return round(min(seconds[f"{of}, {workers}"]) / min(seconds[f"{by}, {workers}"]), 2)

    found = {
        "ratio": speed(2, wall),
        "ratio_cpu": speed(2, cpu),
        "ratio_cpu_median": round(ratio(cpu["texts, 2"], cpu[f"{ours}, 2"]), 2),
        "one_worker_cpu": speed(1, cpu),
    }
    if not quick:
        found["ratio_cpu_joined"] = speed(2, cpu, "column")
        found["one_worker_cpu_joined"] = speed(1, cpu, "column")
        found["ratio_cpu_zstd"] = speed(2, cpu, by=others[1])
    return found


_ONE_THREAD = {
    "RAYON_NUM_THREADS": "1",
    "RAYON_RS_NUM_CPUS": "1",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def _run_ours(
    task: str, text: Path, source: str | Path, pattern: str, out: Path, *more: str
) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, OUR_SCRIPT, task, text, str(source), pattern, out, *more],
        capture_output=True, text=True, env={**os.environ, **_ONE_THREAD}, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


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
