"""fastText's supervised training, as its Python module ships it, one thread.

    python classifier_peer.py FOLDER SETTINGS

FOLDER holds train.txt and test.txt, `__label__NAME text` a line; SETTINGS is JSON, arguments of
`train_supervised`. The last line: {"accuracy": ..., "training": CPU seconds, "judging": ...}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import fasttext


def main() -> None:
    folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    lines = (folder / "test.txt").read_text(encoding="utf-8").splitlines()
    labels, texts = zip(*(line.split(" ", 1) for line in lines if " " in line), strict=True)
    start = time.process_time()
    model = fasttext.train_supervised(str(folder / "train.txt"), thread=1, verbose=0, **settings)
    training = time.process_time() - start
    start = time.process_time()
    guessed, _ = model.predict(list(texts))
    judging = time.process_time() - start
    right = sum(one[0] == label for one, label in zip(guessed, labels, strict=True))
    print(json.dumps({"accuracy": right / len(labels), "training": training, "judging": judging}))


if __name__ == "__main__":
    main()
