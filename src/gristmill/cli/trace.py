"""`trace`: the spans of a text that stand in the training pages, with the pages."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from gristmill.cli.flags import parse_flags
from gristmill.cli.present import console
from gristmill.cli.talk import printable
from gristmill.core.errors import GristmillError
from gristmill.stages.workspace import Workspace

if TYPE_CHECKING:
    from gristmill.core.artifact import Artifact

_HELP = """gristmill trace TEXT [--workspace DIR] [flags]

Finds the longest spans of a text, such as an answer, that stand in the
training pages, and names the pages with their WARC records. A span counts as a
finding when it is as improbable as one in 200 of those that held-out pages,
which nobody trained on, share with the training pages. Without TEXT it reads
what is piped in. The index is made on first use.

Matches, not causes: a page that holds the words need not be why the model
wrote them. Only what tokenizer encode made is searched, not chats.

  --workspace DIR   where the training tokens lie (runs/demo)
  --file PATH       trace what this file holds
  --min-tokens N    show every span of at least N tokens, improbable or not
  --top N           pages named for each span (5)
  --json            for programs

example
  gristmill trace "Minsk is the capital and largest city of Belarus, located on the
    Svislach."
  gristmill trace --file answer.txt --min-tokens 5 --workspace runs/mine"""

_COLOURS = ("black on yellow", "black on cyan", "black on green", "black on magenta")


def trace(arguments: list[str]) -> int:
    """Prints the text with its findings marked, and their sources below."""
    flags = parse_flags(
        arguments,
        options=("workspace", "file", "min-tokens", "top"),
        switches=("help", "json"),
        settings=False,
    )
    if flags.on("help") or "-h" in flags.words:
        print(_HELP)
        return 0
    text = flags.given_text('gristmill trace "some words"')
    if not text.strip():
        raise GristmillError("no text is given", mend='gristmill trace "some words"')
    workspace = Workspace.existing(flags.text("workspace", "runs/demo"))
    least = flags.number("min-tokens", 0) if "min-tokens" in flags.options else None
    top = flags.number("top", 5)
    for name, value in (("min-tokens", least), ("top", top)):
        if value is not None and value < 1:
            raise GristmillError("must be at least 1", where=f"--{name}")
    from gristmill.stages.tracing import Tracer

    tracer = Tracer.open(workspace, on_build=_say_that_it_builds)
    told = tracer.trace(text, min_tokens=least, top=top)
    if flags.on("json"):
        print(json.dumps(told, ensure_ascii=False))
    else:
        print_trace(told, console())
    return 0


def print_trace(told: dict[str, Any], out: Console) -> None:
    """The text with numbered, coloured spans; below it each span's pages."""
    text, spans = told["text"], told["spans"]
    shown, at = Text(), 0
    for number, span in enumerate(spans):
        shown.append(printable(text[at : span["start"]]))
        marked = printable(text[span["start"] : span["end"]])
        # Where there are no colours, brackets say where the span begins.
        shown.append(
            marked if out.color_system else f"[{marked}]", style=_COLOURS[number % len(_COLOURS)]
        )
        shown.append(f"[{number + 1}]", style="bold")
        at = span["end"]
    shown.append(printable(text[at:]))
    out.print(shown)
    for number, span in enumerate(spans):
        out.print()
        _print_span(number + 1, span, out)
    out.print()
    if not spans and told["longest"] is not None:
        longest = told["longest"]
        quoted = printable(text[longest["start"] : longest["end"]])
        out.print(
            f'The longest: "{_cut(quoted, 200)}", {_tokens(longest["tokens"])}, '
            f"{_times(longest['count'])}; a finding has "
            f"{told['finding_bits']:.0f} bits, this {longest['bits']:.0f}.",
            markup=False,
        )
    out.print(told["note"], style="dim", markup=False)


def _print_span(number: int, span: dict[str, Any], out: Console) -> None:
    head = Text(f"[{number}]", style=_COLOURS[(number - 1) % len(_COLOURS)])
    more = "at least " if span["at_least"] else ""
    head.append(
        f" {_tokens(span['tokens'])}, {more}{_times(span['count'])}, {span['bits']:.0f} bits",
        style="bold not dim",
    )
    out.print(head)
    for document in span["documents"]:
        title = printable(document["title"] or "").strip()
        if title:
            out.print(f"  {_cut(title, 76)}", markup=False, style="bold")
        # Addresses stand whole, so that they can be copied.
        out.print(f"  {printable(document['url'])}", markup=False, soft_wrap=True)
        if document["warc"]:
            place = f"{document['warc']}:{document['offset']}"
            out.print(f"  {printable(place)}", markup=False, soft_wrap=True)
        low, high = document["match"]
        excerpt = printable(document["excerpt"]).replace("\n", " ")
        quoted = Text("  ... ", style="dim")
        quoted.append(excerpt[max(0, low - 60) : low], style="dim")
        quoted.append(_middle(excerpt[low:high]))
        quoted.append(excerpt[high : high + 60] + " ...", style="dim")
        out.print(quoted)


def _middle(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:55]} ... {text[-55:]}"


def _cut(text: str, most: int) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= most else text[: most - 4] + " ..."


def _tokens(count: int) -> str:
    return f"{count:,} token{'' if count == 1 else 's'}"


def _times(count: int) -> str:
    return "once in the training text" if count == 1 else f"{count:,} times in the training text"


def _say_that_it_builds(tokens: Artifact) -> None:
    count = tokens.manifest.counts.get("train.tokens", 0)
    print(f"no index yet: sorting {count:,} tokens, once", file=sys.stderr)
