"""The peers of benchmarks/tokenizer.py, one task a process: prints a JSON object.

    tokenizer_peer.py train PEER DOCUMENTS VOCABULARY PATTERN OUT
    tokenizer_peer.py encode PEER DOCUMENTS RANKS PATTERN OUT

DOCUMENTS: JSON Lines, a string a line. OUT: of train, the tokens in their order, hexadecimal, a
line each; of encode, the ids as little-endian uint32, documents one after the other.
Seconds are CPU seconds of the work alone, not of reading the documents; memory is what the work
adds to the process at its peak, in bytes.
"""

import base64
import gc
import json
import sys
import time
from array import array
from pathlib import Path

import psutil


def main():
    task, peer, documents, source, pattern, out = sys.argv[1:]
    with open(documents, encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    work = {
        ("train", "tokenizers"): train_tokenizers,
        ("train", "rustbpe"): train_rustbpe,
        ("train", "gigabpe"): train_gigabpe,
        ("encode", "tiktoken"): encode_tiktoken,
        ("encode", "gigatoken"): encode_gigatoken,
    }[task, peer]
    gc.collect()
    before = psutil.Process().memory_info().rss
    seconds, result = work(texts, source, pattern, documents)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(x for x in status if x.startswith("VmHWM")).split()[1]) * 1024
    if task == "train":
        Path(out).write_text("\n".join(token.hex() for token in result), encoding="ascii")
    else:
        Path(out).write_bytes(array("I", result).tobytes())
    print(json.dumps({"seconds": seconds, "memory": peak - before}))


def train_tokenizers(texts, vocabulary, pattern, _):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=int(vocabulary),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    start = time.process_time()
    tokenizer.train_from_iterator(texts, trainer)
    seconds = time.process_time() - start
    names = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return seconds, [name.encode() for name, _ in names]


def train_rustbpe(texts, vocabulary, pattern, _):
    import rustbpe

    tokenizer = rustbpe.Tokenizer()
    start = time.process_time()
    tokenizer.train_from_iterator(iter(texts), int(vocabulary), pattern=pattern)
    seconds = time.process_time() - start
    ranks = sorted(tokenizer.get_mergeable_ranks(), key=lambda item: item[1])
    return seconds, [bytes(token) for token, _ in ranks]


def train_gigabpe(texts, vocabulary, pattern, documents):
    """Reads files; GPT-2's pattern is the only one that it has."""
    import gigabpe

    plain = Path(documents).with_suffix(".txt")
    plain.write_text("\n".join(texts), encoding="utf-8", newline="")
    start = time.process_time()
    vocab, _ = gigabpe.train_bpe([str(plain)], int(vocabulary), threads=1)
    seconds = time.process_time() - start
    return seconds, [name.encode() for name in vocab]


def encode_tiktoken(texts, ranks, pattern, _):
    import tiktoken

    encoding = tiktoken.Encoding(
        "peer", pat_str=pattern, mergeable_ranks=_ranks(ranks), special_tokens={}
    )
    encoding.encode_ordinary("warm")
    start = time.process_time()
    found = [encoding.encode_ordinary(text) for text in texts]
    return time.process_time() - start, [i for ids in found for i in ids]


def encode_gigatoken(texts, ranks, pattern, _):
    import gigatoken

    # It knows the pattern by the file's name.
    tokenizer = gigatoken.Tokenizer.from_tiktoken(ranks)
    tokenizer.encode_batch(["warm"])
    start = time.process_time()
    found = tokenizer.encode_batch(texts)
    seconds = time.process_time() - start
    return seconds, [int(i) for ids in found for i in ids]


def _ranks(file):
    lines = Path(file).read_bytes().split(b"\n")
    return {base64.b64decode(a): int(b) for a, b in (line.split() for line in lines if line)}


if __name__ == "__main__":
    main()
