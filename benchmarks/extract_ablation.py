"""What an extractor's text is worth: equal models, equal tokens, each extractor's output.

    make bench-extract_ablation                     # about ten minutes on two cores
    python benchmarks/extract_ablation.py --quick   # one seed, few tokens: that it runs

Real pages: the HTML documentation packages of Debian's registry. Held out are pages of Python's
and git's documentation whose source text (reStructuredText, AsciiDoc), written by people, lies in
the same packages: no extractor had a hand in it. All other pages are extracted by ours, by
trafilatura and by resiliparse; one tokenizer is trained on all three outputs together; for each
output and seed a transformer of 0.6 million parameters is trained on the same number of tokens of
that output and scored in bits per byte on the held-out sources. A seed is a random order of the
pages, the same for all extractors; of each page at most 1,024 tokens are read, so that a few long
ones do not decide.

Pages that are nearly the same in many languages or versions stay as they are: the extractors are
compared, not the sites. The last line is JSON: {"bits_per_byte": {name: mean}, "difference": {peer:
[mean of peer - ours over seeds, low, high]}, ...}; a difference above 0 is in favour of ours. The
interval is Student's over seeds (pairs of one seed).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from beside import Peer, finish
from documentation import read_pages
from small_model import train_small, write_ids

from gristmill.core.figure import t_mean
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.scaling.dial import Dial, turn
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer
from gristmill.train.optimizers import OptimizerSettings
from gristmill.train.schedules import Schedule

PEERS = ("trafilatura", "resiliparse")
CONTEXT, VOCABULARY, PAGE_TOKENS = 256, 2048, 1024


def main() -> None:
    """Prints the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400_000)
    chosen = parser.parse_args()
    os.environ.setdefault("GRISTMILL_PROGRESS", "off")
    peer = Peer("extract_ablation")
    print(", ".join(f"{name} {version}" for name, version in peer.versions(*PEERS).items()))
    pages = read_pages(quick=chosen.quick)
    tokens, seeds = (30_000, 1) if chosen.quick else (chosen.tokens, chosen.seeds)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = {"ours": ours(pages.train)}
        for name in PEERS:
            texts[name] = theirs(peer, name, pages.train, folder)
        held_out_bytes = sum(len(text.encode()) for text in pages.held_out)
        print(
            f"{len(pages.train):,} pages; {len(pages.held_out)} sources of {held_out_bytes:,} bytes"
        )
        everything = [text for found in texts.values() for text in found.values()]
        tokenizer = train_tokenizer(everything, VOCABULARY)
        dial = turn(6e5, vocab_size=VOCABULARY, context=CONTEXT, tokens=tokens, tied=True)
        print(f"{dial.parameters:,} parameters, {dial.tokens:,} tokens, {seeds} seeds")
        print(f"\n{'extractor':<14}{'bytes':>14}{'tokens':>12}  bits per byte, seed by seed")
        scores: dict[str, list[float]] = {name: [] for name in texts}
        sizes: dict[str, int] = {}
        ids = {
            name: dict(zip(found, tokenizer.encode_batch(list(found.values())), strict=True))
            for name, found in texts.items()
        }
        for name in texts:
            sizes[name] = sum(map(len, ids[name].values()))
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(pages.train)).tolist()
            # In turn, so that a busy machine is busy for all.
            for name in texts:
                shard = folder / f"{name}-{seed}"
                read = write_ids(shard, some_of(ids[name], order, dial.tokens), tokenizer)
                model = train(shard, dial, seed, folder / f"run-{name}-{seed}")
                scores[name].append(bits_per_byte(model, tokenizer, pages.held_out))
                print(f"  {name}, seed {seed}: {read:,} tokens, {scores[name][-1]:.4f}", flush=True)
        for name, values in scores.items():
            size = sum(len(text.encode()) for text in texts[name].values())
            each = " ".join(f"{value:.4f}" for value in values)
            print(f"{name:<14}{size:>14,}{sizes[name]:>12,}  {each}")
    differences = {}
    for name in PEERS:
        gaps = [b - a for a, b in zip(scores["ours"], scores[name], strict=True)]
        gap = t_mean(gaps)
        differences[name] = [round(gap.value, 4), gap.low, gap.high]
        print(f"{name} - ours: {gap}")
    finish(
        {
            "bits_per_byte": {n: round(float(np.mean(v)), 4) for n, v in scores.items()},
            "difference": differences,
            "pages": len(pages.train),
            "tokens": dial.tokens,
            "seeds": seeds,
        }
    )


def some_of(
    ids: Mapping[int, npt.NDArray[np.int32]], order: Sequence[int], wanted: int
) -> list[npt.NDArray[np.int32]]:
    """The beginnings of pages in that order, until they are so many tokens."""
    found: list[npt.NDArray[np.int32]] = []
    size = 0
    for page in order:
        if page in ids and size < wanted:
            found.append(ids[page][:PAGE_TOKENS])
            size += len(found[-1])
    return found


def ours(pages: Sequence[Path]) -> dict[int, str]:
    """Each page's main text by its number, the pages without one left out."""
    options = ExtractOptions()
    found = {}
    for number, page in enumerate(pages):
        url = f"http://docs.example/{number}.html"
        made = extract_page(page.read_bytes(), url, options=options)
        if isinstance(made, ExtractedPage) and made.text.strip():
            found[number] = made.text
    return found


def theirs(peer: Peer, name: str, pages: Sequence[Path], folder: Path) -> dict[int, str]:
    """The same by a peer."""
    asked, answered = folder / "pages.json", folder / f"{name}.json"
    asked.write_text(json.dumps({str(i): {"file": str(p)} for i, p in enumerate(pages)}))
    script = Path(__file__).parent / "peers" / "extract_peer.py"
    peer.run(script, name, asked, "0", answered, timeout=1800)
    found: dict[str, str] = json.loads(answered.read_text(encoding="utf-8"))
    return {int(number): text for number, text in found.items() if text.strip()}


def train(tokens: Path, dial: Dial, seed: int, folder: Path) -> Transformer:
    """A transformer of the dial's shape and rates, from nothing."""
    assert isinstance(dial.model, TransformerConfig)
    rates = OptimizerSettings(
        matrix_lr=dial.matrix_lr,
        embedding_lr=dial.embedding_lr,
        head_lr=dial.head_lr,
        other_lr=dial.other_lr,
    )
    schedule = Schedule("wsd", dial.steps, warmup=dial.warmup, decay=int(0.6 * dial.steps))
    start = time.monotonic()
    model = train_small(
        folder, tokens, dial.model, rates, schedule,
        steps=dial.steps, batch=dial.batch_rows, seed=seed,
    )  # fmt: skip
    print(f"  {folder.name}: {time.monotonic() - start:.0f} s", flush=True)
    return model


@torch.no_grad()
def bits_per_byte(model: Transformer, tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Over whole texts, in windows of the context; a window's first token has no score, and its
    bytes are not counted."""
    nats, size = 0.0, 0
    for text in texts:
        ids = torch.from_numpy(tokenizer.encode_bytes(text.encode()).astype(np.int64))
        for start in range(0, len(ids) - 1, CONTEXT):
            window = ids[start : start + CONTEXT + 1]
            if len(window) < 2:
                continue
            logits = model.head(model(window[None, :-1]))[0].float()
            nats += float(torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum"))
            size += len(tokenizer.decode_bytes(window[1:].tolist()))
    return nats / size / math.log(2)


if __name__ == "__main__":
    main()
