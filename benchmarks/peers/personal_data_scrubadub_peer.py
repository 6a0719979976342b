"""scrubadub, asked by `benchmarks/personal_data.py`: spans of texts, and what they cost.

    python personal_data_scrubadub_peer.py TEXTS SPANS MODE

MODE: `default`, or `all`: with its detectors of dates of birth and of British ids, which are there
and off. Its detectors of names need data that their packages download, and are not measured.
Last line: {"seconds": {list: CPU seconds without loading}, "entities"}.
"""

import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import scrubadub  # noqa: E402
from scrubadub.detectors import DateOfBirthDetector  # noqa: E402


def main() -> None:
    texts_file, spans_file, mode = sys.argv[1:]
    with open(texts_file, encoding="utf-8") as file:
        lists = json.load(file)
    scrubbers = [scrubadub.Scrubber(locale="en_US")]
    if mode == "all":
        scrubbers[0].add_detector(DateOfBirthDetector(locale="en_US", name="date_of_birth"))
        scrubbers.append(scrubadub.Scrubber(locale="en_GB"))
    list(scrubbers[0].iter_filth("Warm up, call 312-555-0199."))
    seconds, found = {}, {}
    for name, texts in lists.items():
        start = time.process_time()
        found[name] = [spans_of(scrubbers, text) for text in texts]
        seconds[name] = time.process_time() - start
    with open(spans_file, "w", encoding="utf-8") as file:
        json.dump(found, file)
    entities = sorted({name for one in scrubbers for name in one._detectors})
    print(json.dumps({"seconds": seconds, "entities": entities}))


def spans_of(scrubbers: list, text: str) -> list:
    # What several detectors claim comes as one piece that holds theirs.
    return [
        [part.beg, part.end, part.type, 1.0]
        for scrubber in scrubbers
        for one in scrubber.iter_filth(text)
        for part in getattr(one, "filths", [one])
    ]


main()
