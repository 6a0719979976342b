"""alt-profanity-check and better-profanity on whole pages, each as its makers ship it.

    python adult_peer.py PAGES OUTPUT SECONDS

PAGES is a JSON file {"texts": [...], "words": [...], "order": [positions of the texts]}. The
verdicts go to OUTPUT as {peer: [true or false]}: better-profanity with its own list and with the
given one. It takes a tenth of a second a page, so it stops after SECONDS in that order and judges
no further page (null). The last line: {"seconds": {peer: CPU seconds for all pages, from those}}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from better_profanity import Profanity
from profanity_check import predict


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    texts, limit = given["texts"], float(sys.argv[3])
    own, listed = Profanity(), Profanity()
    own.load_censor_words()
    listed.load_censor_words(given["words"])
    peers: dict[str, Callable[[str], bool]] = {
        "better-profanity": own.contains_profanity,
        "better-profanity, list": listed.contains_profanity,
    }
    predict(texts[:1])
    start = time.process_time()
    verdicts: dict[str, list[bool | None]] = {
        "alt-profanity-check": [bool(one) for one in predict(texts)]
    }
    seconds = {"alt-profanity-check": time.process_time() - start}
    for name, judge in peers.items():
        judge(texts[0])
        found: list[bool | None] = [None] * len(texts)
        start = time.process_time()
        for at in given["order"]:
            found[at] = judge(texts[at])
            if time.process_time() - start > limit:
                break
        done = sum(one is not None for one in found)
        seconds[name] = (time.process_time() - start) * len(texts) / done
        verdicts[name] = found
    Path(sys.argv[2]).write_text(json.dumps(verdicts), encoding="utf-8")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
