"""What filters are worth: equal models on what each leaves, scored on the same clean text.

    .venv/bin/python benchmarks/filters_ablation.py           # about half an hour on two cores
    .venv/bin/python benchmarks/filters_ablation.py --quick   # one seed, few tokens: that it runs

Pages: the HTML documentation packages of Debian's registry, as raw text with their menus, indexes
and footers, in all their languages. Scored on the sources that people wrote some of them from
(reStructuredText, AsciiDoc), which no filter has seen; those pages are not trained on. `study
ablate` with the settings of `benchmarks/ablations/filters.yaml`: all filters, none, each alone;
one tokenizer for all settings, the same number of tokens, seeds paired. A text that a filter has
made smaller than the budget is read more than once, as it would be by anyone.

The last line is JSON: {"bits_per_byte": {setting: mean}, "difference": {setting: [mean of it minus
all filters, low, high]}, ...}; a difference above 0 says that the filters together do better.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from beside import finish
from documentation import read_pages
from selectolax.lexbor import LexborHTMLParser

HERE = Path(__file__).parent
FIGURE = "base.bits_per_byte"
_BLOCKS = re.compile(
    rb"(?i)</?(?:p|div|li|ul|ol|dl|dt|dd|tr|table|h[1-6]|pre|section|nav|header|footer|br|title)\b"
)


def main() -> None:
    """Prints the study's tables; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=400_000)
    parser.add_argument("--workspace", type=Path, help="keep the runs here, and go on from them")
    given = parser.parse_args()
    seeds, tokens = (1, 20_000) if given.quick else (given.seeds, given.tokens)
    pages = read_pages(quick=given.quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.workspace or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        raw = write_rows(folder / "pages.jsonl", (whole_text(page) for page in pages.train))
        clean = write_rows(folder / "clean.jsonl", pages.held_out)
        print(f"{raw:,} pages to filter, {clean:,} sources to score on", flush=True)
        results = ablate(folder, seeds=seeds, tokens=tokens)
    figures = results["figures"]
    bits = {n.partition("@")[2]: f for n, f in figures.items() if n.startswith(f"ablate.{FIGURE}@")}
    gaps = {
        n.partition("@")[2]: [round(f["value"], 4), f.get("low"), f.get("high")]
        for n, f in figures.items()
        if n.startswith(f"ablate.difference.{FIGURE}@")
    }
    print(f"\n{'filters':<20}{'bits per byte':>14}   minus all of them")
    for name, figure in bits.items():
        value, low, high = gaps.get(name, (None, None, None))
        sure = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
        gap = "" if value is None else f"   {value:+.3f}{sure}"
        print(f"{name:<20}{figure['value']:>14.4f}{gap}")
    finish(
        {
            "bits_per_byte": {name: round(f["value"], 4) for name, f in bits.items()},
            "difference": gaps,
            "pages": raw,
            "tokens": tokens,
            "seeds": seeds,
        }
    )


def whole_text(page: Path) -> str:
    """All that stands on a page, a block a line: menus and footers too."""
    html = _BLOCKS.sub(lambda found: b"\n" + found[0], page.read_bytes())
    tree = LexborHTMLParser(html)
    tree.strip_tags(["script", "style", "head"])
    lines = (re.sub(r"\s+", " ", line).strip() for line in tree.text().splitlines())
    return "\n".join(line for line in lines if line)


def write_rows(file: Path, texts: Iterable[str]) -> int:
    """JSON Lines of the texts that are not empty; how many there are."""
    count = 0
    with file.open("w", encoding="utf-8") as out:
        for text in texts:
            if text.strip():
                row = {"url": f"http://docs{count % 97}.example/{count}", "text": text}
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    return count


def ablate(folder: Path, *, seeds: int, tokens: int) -> dict[str, dict[str, dict[str, float]]]:
    """`study ablate` as a user calls it: its result as JSON."""
    command: Sequence[str] = [
        sys.executable, "-m", "gristmill", "study", "ablate",
        str(HERE / "ablations" / "documentation.yaml"),
        "--settings", str(HERE / "ablations" / "filters.yaml"),
        "--hold", "tokenizer.train",
        "--seeds", str(seeds),
        "--workspace", str(folder / "runs"),
        "--data.import.path", str(folder / "pages.jsonl"),
        "--data.import@clean.path", str(folder / "clean.jsonl"),
        "--train.lm.token_budget", str(tokens),
    ]  # fmt: skip
    run = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, env=os.environ, check=False)
    if run.returncode:
        sys.exit(run.returncode)
    found: dict[str, dict[str, dict[str, float]]] = json.loads(run.stdout)
    return found


if __name__ == "__main__":
    main()
