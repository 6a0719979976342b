"""`tokenizer compare` and `tokenizer show`: tokenizers judged, and a text cut into their tokens."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.cli.flags import Flags, parse_flags
from gristmill.core.errors import GristmillError

if TYPE_CHECKING:
    from gristmill.tokenizer.labelled import Labelled
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.tokenizer.view import ShownToken

_COMPARE_HELP = """gristmill tokenizer compare A B ... [flags]
gristmill tokenizer compare [flags]

Judges tokenizers on the same text: bytes per token by language and domain,
tokens per word, the cost of 1,000 words, tokens that are of no use, what the
vocabulary costs a model's head, where longest match would differ from merge
order. Without A: the stage of that name (its flags are further below).

  A, B, ...       folders (of tokenizers, artifacts, imported models), names in
                  the workspace, tokenizer.json, or .tiktoken files
  --workspace DIR where names such as tokenizer.train are looked for (runs/demo,
                  runs/hand)
  --text A,B      files, or folders of artifacts with documents (a small text of
                  our own in 15 languages, code, maths and digits)
  --split NAME    of a mixture: heldout or train (heldout)
  --max-bytes N   of the text that is read (16000000)
  --pattern NAME  how a .tiktoken file cuts text, where its name does not say
  --price X       dollars for a million tokens (1)
  --show N        characters of text to show cut into tokens (300)
  --html FILE     write an HTML page to look at in a browser
  --json          print everything as one JSON object

example
  gristmill tokenizer compare runs/a/tokenizer cl100k_base.tiktoken
  gristmill tokenizer compare A B --text README.md,main.py --html compare.html
"""
_SHOW_HELP = """gristmill tokenizer show TEXT --tokenizer A[,B,...] [flags]

Shows a text cut into tokens, alternately coloured, its white space visible; by
several tokenizers one below the other.

  TEXT            the text; - reads what is piped in
  --tokenizer A,B folders, names in the workspace, tokenizer.json or .tiktoken
                  files
  --workspace DIR where names such as tokenizer.train are looked for (runs/demo,
                  runs/hand)
  --file FILE     the text of a file in place of TEXT
  --ids           print each token's id behind it
  --pattern NAME  how a .tiktoken file cuts text, where its name does not say
  --html FILE     write an HTML page; ids on pointing or focusing
  --json          print ids and tokens as one JSON object

example
  gristmill tokenizer show "The mill grinds 12345." --tokenizer runs/a/tokenizer"""
_OPTIONS = ("text", "split", "max-bytes", "pattern", "price", "show", "html", "workspace")


def compare(arguments: list[str]) -> int:
    """Judges the tokenizers that are named; else runs the stage."""
    from gristmill.cli.help import stage_help
    from gristmill.cli.stage import run_stage
    from gristmill.stages.registry import stage_by_verb

    if "--help" in arguments or "-h" in arguments:
        _, _, flags = stage_help(stage_by_verb("tokenizer compare")).partition("\n\n")
        print(f"{_COMPARE_HELP}\nthe stage, without A\n  {flags}")
        return 0
    found = parse_flags(arguments, options=_OPTIONS, switches=("json", "dry-run"))
    if not found.words:
        try:
            return run_stage("tokenizer compare", arguments)
        except GristmillError as error:
            if "needs its input 'tokenizers'" not in error.what:
                raise
            raise GristmillError(
                "no tokenizer is named, and none lies in the workspace",
                mend="gristmill tokenizer compare A B, or make one: gristmill tokenizer train",
            ) from None
    if found.settings or found.on("dry-run"):
        name = next(iter(found.settings), "dry-run")
        raise GristmillError(
            f"unknown flag '--{name}' beside tokenizers",
            mend="see gristmill tokenizer compare --help",
        )
    from gristmill.report.tokenizers import comparison_page, comparison_tables
    from gristmill.tokenizer.judging import judge
    from gristmill.tokenizer.view import shown_tokens

    price = _price(found)
    tokenizers = _open(found.words, found)
    texts = list(_texts(found))
    if not any(one.text for one in texts):
        raise GristmillError("there is no text to compare on", where="--text")
    judged = [judge(name, tokenizer, texts) for name, tokenizer in tokenizers.items()]
    example = _example(texts, found.number("show", 300))
    view = [(name, shown_tokens(tokenizer, example)) for name, tokenizer in tokenizers.items()]
    about = _about(found, texts)
    if "html" in found.options:
        found.write_html(comparison_page(judged, about, price, view))
    if found.on("json"):
        result = {"text": about, "price": price, "tokenizers": [j.to_json(price) for j in judged]}
        print(json.dumps(result, ensure_ascii=False))
    else:
        from gristmill.cli.tokenizers_print import print_comparison

        print_comparison(comparison_tables(judged, price), about)
        _print_views(view, ids=False)
    return 0


def show(arguments: list[str]) -> int:
    """Shows a text cut into tokens."""
    found = parse_flags(
        arguments,
        options=("tokenizer", "file", "pattern", "html", "workspace"),
        switches=("ids", "json", "help"),
        settings=False,
    )
    if found.on("help") or "-h" in found.words:
        print(_SHOW_HELP)
        return 0
    text = found.given_text('gristmill tokenizer show "TEXT" ...')
    paths = [path for path in found.text("tokenizer", "").split(",") if path]
    if not paths:
        raise GristmillError("no tokenizer is named", mend="give --tokenizer FOLDER")
    from gristmill.tokenizer.view import shown_tokens

    tokenizers = _open(paths, found)
    view = [(name, shown_tokens(tokenizer, text)) for name, tokenizer in tokenizers.items()]
    if "html" in found.options:
        from gristmill.report.tokenizers import view_page

        found.write_html(view_page(f"{len(text):,} characters.", view))
    if found.on("json"):
        result = [
            {
                "tokenizer": name,
                "ids": [token.token_id for token in tokens],
                "tokens": [token.text for token in tokens],
            }
            for name, tokens in view
        ]
        print(json.dumps(result, ensure_ascii=False))
    elif "html" not in found.options:
        _print_views(view, ids=found.on("ids"))
    return 0


def _open(paths: list[str], flags: Flags) -> dict[str, Tokenizer]:
    from gristmill.tokenizer.opening import open_tokenizer, short_names

    pattern = flags.text("pattern", "") or None
    names = short_names(paths)
    places = [_place(path, flags) for path in paths]
    return {
        name: open_tokenizer(path, pattern) for name, path in zip(names, places, strict=True)
    }  # fmt: skip


def _place(given: str, flags: Flags) -> str:
    """A file or folder as it stands; else the artifact of that name in the workspace."""
    if Path(given).exists() or "/" in given or "\\" in given:
        return given
    from gristmill.cli.stage import DEFAULT_WORKSPACE
    from gristmill.stages.workspace import Workspace

    for folder in (flags.text("workspace", "runs/demo"), DEFAULT_WORKSPACE):
        try:
            return str(Workspace.existing(folder).named(given).path)
        except GristmillError:
            continue  # what is no name either is refused where it is opened
    return given


def _texts(flags: Flags) -> Iterator[Labelled]:
    from gristmill.tokenizer.labelled import sample

    paths = [path for path in flags.text("text", "").split(",") if path]
    if not paths:
        yield from sample()
        return
    most = flags.number("max-bytes", 16_000_000)
    if most < 1:
        raise GristmillError("must be at least 1", where="--max-bytes")
    for path in map(Path, paths):
        for one in _texts_at(path, flags.text("split", "heldout"), most):
            yield one
            most -= len(one.text.encode("utf-8", "replace"))
            if most <= 0:
                return


def _texts_at(path: Path, split: str, most: int) -> Iterator[Labelled]:
    """A file's text, or the documents of an artifact."""
    from gristmill.tokenizer.labelled import file_domain, labelled

    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as file:
            yield labelled(file.read(most), file_domain(path))
        return
    if not path.exists():
        raise GristmillError("no such file or folder", where=path, mend="check the path")
    from gristmill.core.artifact import Artifact

    artifact = Artifact.open(path)
    if artifact.kind == "mixture":
        from gristmill.tokenizer.corpus import split_domain_texts, split_parts

        if not split_parts(path, split):
            raise GristmillError(f"there is no split '{split}'", where=path, mend="heldout, train")
        for domain, text in split_domain_texts(path, split, most):
            yield labelled(text, domain)
    elif artifact.kind in ("documents", "layer"):
        from gristmill.data.documents import DocumentSet

        documents = DocumentSet.open(artifact)
        for part in documents.parts:
            for row in documents.read(part).to_pylist():
                yield labelled(
                    row["text"] or "", row.get("domain") or "prose", row.get("language") or ""
                )
    else:
        raise GristmillError(
            f"{artifact.kind} holds no texts", where=path, mend="give files or a mixture's folder"
        )


def _example(texts: list[Labelled], length: int) -> str:
    """What is shown cut: a user's own text from its beginning; of ours a line of several kinds."""
    if texts[0].reference is None:
        return texts[0].text[:length]
    parts = [one.text[:60] for one in texts if one.language in ("English", "Thai")]
    parts += [one.text for one in texts if one.domain in ("code", "digits")][:1]
    return "\n".join([*parts, texts[-1].text])[:length]


def _about(flags: Flags, texts: list[Labelled]) -> str:
    size = sum(len(one.text.encode("utf-8", "replace")) for one in texts)
    where = flags.text("text", "") or "the built-in sample"
    short = "" if size > 100_000 else " So little text says how it is cut, not which tokens serve."
    return f"On {size:,} bytes of {where}.{short}"


def _price(flags: Flags) -> float:
    given = flags.text("price", "1")
    try:
        price = float(given)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise GristmillError("must be a number, 0 or more", where="--price", mend=f"it is {given}")
    return price


def _print_views(view: list[tuple[str, list[ShownToken]]], *, ids: bool) -> None:
    from gristmill.cli.talk import printable
    from gristmill.tokenizer.view import coloured_tokens, plain_tokens

    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    draw = coloured_tokens if colours else plain_tokens
    for name, tokens in view:
        print(f"\n{printable(name)}: {len(tokens):,} tokens")
        print(draw(tokens, ids=ids))
