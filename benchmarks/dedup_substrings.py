"""How `data dedup --substrings.enabled true` grows, and what it finds.

    python benchmarks/dedup.py --substrings

Real documents whose words are edited until no passage of 400 bytes is left twice, with passages of
400 to 2,000 bytes planted, each in two to four documents, and as many of 300 to 390 bytes.
`planted_found`: of the occurrences but one, those that are gone; `cut_short`: of the shorter ones,
those of which anything is gone; both are known answers. `substring_growth`: bytes, CPU seconds,
peak of the memory that is not a file's (the system may drop the pages of the text and of the arrays
as it likes), peak of all. `substrings_equal_plain`: whether the bytes that go are those that a
plain dictionary of all windows finds, but for parts of words at the ends; on 300 kB;
`substrings_ratio_plain`: our speed over it there.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from beside import in_turn, peak_memory, ratio
from dedup_growth import asked

from gristmill.data.dedup.substrings import SubstringSettings, repeated_passages

LEAST = 400
STRETCH = 1 << 24
PASSAGES_PART = 2_000


def edited(texts: Sequence[str], size: int, draw: random.Random) -> list[str]:
    """About `size` bytes of texts, one word in six of which is another's."""
    vocabulary = [word for text in texts[:500] for word in text.split() if word.isascii()]
    found: list[str] = []
    held = 0
    while held < size:
        for text in texts:
            words = text.split(" ")
            for place in range(draw.randrange(6), len(words), 6):
                words[place] = draw.choice(vocabulary) + str(draw.randrange(1000))
            found.append(" ".join(words))
            held += len(found[-1].encode())
            if held >= size:
                break
    return found


def plant(texts: list[str], draw: random.Random) -> list[tuple[list[int], str]]:
    """Passages put into two to four texts; which, and what."""
    donors = [text for text in texts[: len(texts) // 4] if len(text) > 3_000]
    planted: list[tuple[list[int], str]] = []
    free = list(range(len(texts) // 4, len(texts)))
    draw.shuffle(free)
    for number, donor in enumerate(donors[: len(free) // 8]):
        length = draw.randrange(LEAST, 2_000) if number % 2 else draw.randrange(300, LEAST - 10)
        first = donor.find(" ", draw.randrange(800)) + 1
        last = donor.find(" ", first + length)
        if number % 2 == 0:
            last = donor.rfind(" ", first, first + length)
        passage = donor[first : max(first, last)]
        if len(passage.encode()) < 300 or (number % 2 == 0 and len(passage.encode()) >= LEAST):
            continue
        owners = [free.pop() for _ in range(draw.randrange(2, 5))]
        for one in owners:
            cut = texts[one].find(" ", len(texts[one]) // 2)
            mark = draw.randrange(10**9)
            texts[one] = f"{texts[one][:cut]} {mark} {passage} {mark + 1} {texts[one][cut:]}"
        planted.append((owners, passage))
    return planted


def _anonymous(peak: list[int], stop: threading.Event) -> None:
    status = Path("/proc/self/status")
    while not stop.wait(0.02):
        line = next(x for x in status.read_text().splitlines() if x.startswith("RssAnon"))
        peak[0] = max(peak[0], int(line.split()[1]) * 1024)


def write_passages(texts: Sequence[str], size: int, folder: Path) -> None:
    """Texts in parts, and what is planted in them."""
    draw = random.Random(7)
    made = edited(texts, size, draw)
    planted = plant(made, draw)
    for number, low in enumerate(range(0, len(made), PASSAGES_PART)):
        part = json.dumps(made[low : low + PASSAGES_PART])
        (folder / f"part-{number:05d}.json").write_text(part, encoding="utf-8")
    (folder / "planted.json").write_text(json.dumps(planted), encoding="utf-8")


def passages(folder: Path) -> dict[str, Any]:
    """Finds what `write_passages` planted; a part of the texts is in memory."""
    files = sorted(folder.glob("part-*.json"))
    planted = json.loads((folder / "planted.json").read_text(encoding="utf-8"))
    owners = {one for rows, _ in planted for one in rows}
    settings = SubstringSettings(LEAST, STRETCH)
    # Compiles the kernels, of one stretch and of several.
    list(repeated_passages([["a b c " * 100] * 2], SubstringSettings(LEAST, 1), folder / "warm"))
    peak, stop = [0], threading.Event()
    watcher = threading.Thread(target=_anonymous, args=(peak, stop))
    watcher.start()
    sizes: list[int] = []

    def read() -> Iterator[list[str]]:
        for file in files:
            part = json.loads(file.read_text(encoding="utf-8"))
            sizes.append(sum(len(text.encode()) for text in part))
            yield part

    start = time.process_time()
    removed: dict[int, Any] = {}
    cut = 0
    for number, cuts in enumerate(repeated_passages(read(), settings, folder / "found")):
        for place, one in cuts.items():
            row = PASSAGES_PART * number + place
            cut += int((one.ranges[:, 1] - one.ranges[:, 0]).sum())
            if row in owners:
                removed[row] = one
    seconds = time.process_time() - start
    stop.set()
    watcher.join()
    memory = peak_memory()
    left: dict[int, str] = {}
    for number, part in enumerate(read()):
        for place, text in enumerate(part):
            row = PASSAGES_PART * number + place
            if row in owners:
                left[row] = removed[row].apply(text)[0] if row in removed else text
    counts = {"wanted": 0, "gone": 0, "short": 0, "short_cut": 0}
    for rows, passage in planted:
        for one in rows:
            if len(passage.encode()) >= LEAST:
                counts["wanted"] += 1
                counts["gone"] += passage[40:-40] not in left[one]
            else:
                counts["short"] += 1
                counts["short_cut"] += passage not in left[one]
    return {
        "bytes": sum(sizes) // 2,
        "seconds": seconds,
        "anonymous": peak[0],
        "memory": memory,
        "cut": cut,
        **counts,
    }


def plain_windows(texts: Sequence[str]) -> list[set[int]]:
    """The bytes of each text in a passage of LEAST bytes that stands in an earlier place."""
    places: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for number, text in enumerate(texts):
        data = text.encode()
        for i in range(len(data) - LEAST + 1):
            if data[i] & 0xC0 != 0x80:
                places[data[i : i + LEAST]].append((number, i))
    found: list[set[int]] = [set() for _ in texts]
    for (document, first), *others in places.values():
        for number, i in others:
            if number != document or i - first >= LEAST:
                found[number].update(range(i, i + LEAST))
    return found


def beside_plain(texts: Sequence[str], folder: Path) -> dict[str, Any]:
    """The same bytes as a dictionary of windows finds, and how much faster."""
    draw = random.Random(8)
    made = edited(texts, 300_000, draw)
    plant(made, draw)
    number = 0
    ours: dict[int, Any] = {}

    def mine() -> float:
        nonlocal number, ours
        number += 1
        start = time.process_time()
        settings = SubstringSettings(LEAST, 1 << 17)
        (ours,) = repeated_passages([made], settings, folder / f"plain-{number}")
        return time.process_time() - start

    plain: list[set[int]] = []

    def theirs() -> float:
        nonlocal plain
        start = time.process_time()
        plain = plain_windows(made)
        return time.process_time() - start

    mine()
    us, them = in_turn(3, mine, theirs)
    equal = True
    for place, wanted in enumerate(plain):
        removed = ours.get(place)
        ranges = [] if removed is None else removed.ranges.tolist()
        gone = {i for low, high in ranges for i in range(low, high)}
        data = made[place].encode()
        rest = wanted - gone
        equal &= gone <= wanted and all(data[i] >= 0x80 or data[i : i + 1].isalnum() for i in rest)
    return {
        "substrings_equal_plain": equal and any(plain),
        "substrings_ratio_plain": round(ratio(them, us), 1),
        "substrings_seconds_plain": round(statistics.median(them), 2),
    }


def substrings(texts: Sequence[str], largest: int, script: str, folder: Path) -> dict[str, Any]:
    """`passages` at 1, 4 and 16 times the input, and beside plain Python."""
    print(
        f"\n{'bytes':>14}{'CPU s':>8}{'MB/s':>8}{'own memory, MB':>16}{'with files, MB':>16}"
        f"{'planted':>9}{'found':>7}{'shorter':>9}{'cut':>5}"
    )
    rows = []
    for size in (largest // 16, largest // 4, largest):
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            write_passages(texts, size, Path(temporary))
            one = asked(script, "--passages", temporary)
        rows.append(one)
        print(
            f"{one['bytes']:>14,}{one['seconds']:>8.1f}{one['bytes'] / one['seconds'] / 1e6:>8.2f}"
            f"{one['anonymous'] / 1e6:>16.0f}{one['memory'] / 1e6:>16.0f}"
            f"{one['wanted']:>9}{one['gone']:>7}{one['short']:>9}{one['short_cut']:>5}",
            flush=True,
        )
    last = rows[-1]
    return {
        **beside_plain(texts, folder),
        "planted": last["wanted"],
        "planted_found": last["gone"],
        "cut_short": last["short_cut"],
        "substring_growth": [
            [r["bytes"], round(r["seconds"], 1), r["anonymous"], r["memory"]] for r in rows
        ],
    }
