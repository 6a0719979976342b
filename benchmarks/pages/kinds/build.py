"""Writes html/*.html and ground-truth.json from designs/*.txt.

A design is a page as its author wrote it, in which ⟦ and ⟧ stand around what is main text. The
page is the design without these marks, the label is the text between them: label and page agree
because they are one text. Loops and word lists (Jinja) save writing menus a hundred times.

    python benchmarks/pages/kinds/build.py           writes the files
    python benchmarks/pages/kinds/build.py --check   exits 1 where a file differs
"""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path

import jinja2
import yaml

HERE = Path(__file__).resolve().parent
OPEN, CLOSE = "⟦", "⟧"
# === KEY | design | language | address
_HEADER = re.compile(r"^=== (\S+) \| ([^|]+) \| (\S+) \| (\S+)\n", re.MULTILINE)
_INLINE = frozenset(
    """a abbr b bdi bdo cite code del em font i ins kbd mark q s samp small span strong sub sup
    time tt u var wbr""".split()
)
_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*)[^>]*>|<!--.*?-->", re.DOTALL)
_UNSEEN = re.compile(r"<(script|style|button|svg|select)\b.*?</\1>", re.DOTALL)


def read_designs(folder: Path = HERE) -> dict[str, dict[str, str]]:
    """Key -> the rendered design, still marked, with its kind, design, language and address."""
    words = yaml.safe_load((folder / "designs" / "words.yaml").read_text("utf-8"))
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    found: dict[str, dict[str, str]] = {}
    for path in sorted((folder / "designs").glob("*.txt")):
        parts = _HEADER.split(path.read_text("utf-8"))[1:]
        for key, design, language, url, source in zip(*[iter(parts)] * 5, strict=True):
            if key in found:
                raise ValueError(f"two designs are called {key}")
            marked = environment.from_string(source).render(
                words={name: lists[language] for name, lists in words.items() if language in lists}
            )
            found[key] = {
                "kind": path.stem,
                "design": design.strip(),
                "language": language,
                "url": url,
                "marked": marked.strip() + "\n",
            }
    return found


def page_of(marked: str) -> str:
    """The page as a browser gets it."""
    return marked.replace(OPEN, "").replace(CLOSE, "")


def label_of(marked: str) -> str:
    """What stands between the marks, a line per block."""
    pieces = []
    for piece in marked.split(OPEN)[1:]:
        inside, closed, outside = piece.partition(CLOSE)
        if not closed or CLOSE in outside:
            raise ValueError(f"marks do not pair: {piece[:60]!r}")
        pieces.append(_text(inside))
    return "\n".join(piece for piece in pieces if piece)


def _text(source: str) -> str:
    source = _UNSEEN.sub(" ", source)
    source = _TAG.sub(lambda tag: "" if (tag[2] or "").lower() in _INLINE else "\n", source)
    lines = (" ".join(line.split()) for line in html.unescape(source).splitlines())
    return "\n".join(line for line in lines if line)


def build(folder: Path = HERE) -> dict[Path, str]:
    """Path -> content of all files that the designs give."""
    files: dict[Path, str] = {}
    truth: dict[str, dict[str, str]] = {}
    seen: dict[str, int] = {}
    for key, design in sorted(read_designs(folder).items()):
        files[folder / "html" / f"{key}.html"] = page_of(design["marked"])
        about = {name: design[name] for name in ("url", "kind", "design", "language")}
        kind = design["kind"]
        # Rules are written looking at one half of each kind only.
        half = "looked at" if seen.setdefault(kind, 0) % 2 == 0 else "held out"
        seen[kind] += 1
        truth[key] = {"articleBody": label_of(design["marked"]), **about, "half": half}
    text = json.dumps(truth, ensure_ascii=False, indent=1)
    files[folder / "ground-truth.json"] = text + "\n"
    return files


def main() -> int:
    files = build()
    differing = [
        path
        for path, text in files.items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]
    stray = set((HERE / "html").glob("*.html")) - set(files)
    if "--check" in sys.argv[1:]:
        for path in sorted({*differing, *stray}):
            print(f"differs: {path.relative_to(HERE)}")
        return int(bool(differing or stray))
    (HERE / "html").mkdir(exist_ok=True)
    for path in differing:
        path.write_text(files[path], encoding="utf-8", newline="\n")
    for path in stray:
        path.unlink()
    print(f"{len(files) - 1} pages, {sum(map(len, files.values())):,} characters")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
