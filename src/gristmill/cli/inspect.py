"""`data inspect`: a page beside its extracted text; without a page, the stage of that name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.help import stage_help
from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.workspace import Workspace

if TYPE_CHECKING:
    from gristmill.core.artifact import Artifact
    from gristmill.data.extract.looking import PageAt
    from gristmill.data.extract.opt_out import TdmRules
    from gristmill.data.extract.page import ExtractOptions
    from gristmill.data.extract.stored import StoredPage

_HELP = """gristmill data inspect PAGE [flags]
gristmill data inspect --sample N [flags]
gristmill data inspect --list N [flags]
gristmill data inspect --near RULE[=LIMIT] [flags]
gristmill data inspect [flags]

With a PAGE: the page beside its extracted text, block by block, with what was
kept, what was dropped, and why. With --sample: some pages of a crawl; with
--list: which pages it has; with --near: documents on both sides of a limit of
data filter. Without these: the stage that counts what every step kept, dropped
and got right in all documents (its flags are further below). What each step
said of one page, from the crawl to the training text, is told by
`gristmill data why URL`.

one page
  PAGE            a URL of the workspace's crawl, an HTML file (also .gz), a
                  WARC file (its first page, or see below), or - for what is
                  piped in
  --url URL       the page of that URL in a WARC file
  --offset N      the record that begins at that byte of a WARC file
several pages
  --sample N      N pages of the workspace's crawl
  --by ORDER      random, or those of which least or most is kept (random)
  --seed N        another draw (0)
  --workers N     processes (the number of cores)
which pages
  --list N        the first N pages of the workspace's crawl, by address
  --host HOST     only those of a host, *.site.example with all below it
  --match PATTERN only those whose address fits a regular expression (RE2);
                  both flags go with --sample too
a limit of data filter
  --near RULE     documents on both sides of it, nearest first, and what other
                  limits would drop; RULE is a name in the config, such as
                  gopher_quality.min_words. RULE=LIMIT: another limit than the
                  filter had
  --count N       documents on each side (5)
  --node NAME     the documents, by a node's name or folder (the newest filter)
  --seed N        another draw of equally near documents (0)
all of these
  --workspace DIR where the crawl lies (runs/demo); the settings are those of
                  its data extract
  --format NAME   markdown or text (markdown)
  --comments      keep what readers wrote below a page
  --captions      keep the captions of pictures
  --html FILE     write an HTML page to look at in a browser
  --all           show every dropped block whole in the terminal
  --json          for programs: every block with its reason and numbers

example
  gristmill data inspect http://atlas.example/places/minsk
  gristmill data inspect saved.html --html saved-explained.html
  gristmill data inspect --sample 20 --by least --html least.html
  gristmill data inspect --near gopher_quality.min_words=25 --html near.html
  gristmill data inspect --list 30 --host atlas.example --match '/m[a-z]*$'
"""
_OPTIONS = (
    "workspace", "url", "offset", "sample", "by", "seed", "workers", "format", "html", "list",
    "host", "match", "near", "count", "node",
)  # fmt: skip
_SWITCHES = ("comments", "captions", "all", "json", "help")
_ONE_PAGE = (
    "url", "offset", "by", "format", "html", "comments", "captions", "all", "host", "match",
    "count", "node",
)  # fmt: skip
_ORDERS = ("random", "least", "most")


def inspect(arguments: list[str]) -> int:
    """Shows pages where one is named or a sample is asked for; else runs the stage."""
    from gristmill.cli.stage import run_stage
    from gristmill.stages.registry import stage_by_verb

    if "--help" in arguments or "-h" in arguments:
        stage = stage_by_verb("data inspect")
        _, _, flags = stage_help(stage).partition("\n\n")
        print(f"{_HELP}\nthe stage, without PAGE and --sample\n  {flags}")
        return 0
    flags_found = parse_flags(arguments, options=_OPTIONS, switches=(*_SWITCHES, "dry-run"))
    if "near" in flags_found.options:
        from gristmill.cli.near import near

        return near(flags_found)
    several = [name for name in ("sample", "list") if name in flags_found.options]
    if not flags_found.words and not several:
        misplaced = [name for name in _ONE_PAGE if name in flags_found.options]
        if misplaced:
            raise GristmillError(
                "is for one page, and none is named",
                where=f"--{misplaced[0]}",
                mend="gristmill data inspect PAGE, or --sample N, or --list N",
            )
        return run_stage("data inspect", arguments)
    if flags_found.settings or flags_found.on("dry-run"):
        name = next(iter(flags_found.settings), "dry-run")
        raise GristmillError(
            f"unknown flag '--{name}' beside a page",
            mend=did_you_mean(f"--{name}", [f"--{n}" for n in (*_OPTIONS, *_SWITCHES)]),
        )
    if len(several) > 1:
        raise GristmillError("a sample and a list are one too many", where="--list")
    if "list" in several:
        return _list(flags_found)
    return _sample(flags_found) if several else _one(flags_found)


def _one(flags: Flags) -> int:
    if len(flags.words) != 1:
        raise GristmillError("one page is wanted", mend="see gristmill data inspect --help")
    for name in ("by", "seed", "workers", "host", "match"):
        if name in flags.options:
            raise GristmillError("goes with --sample", where=f"--{name}")
    page, options, tdm = _page(flags.words[0], flags)
    from gristmill.data.extract.looking import explain_pages

    (found,) = explain_pages([page], options, tdm=tdm)
    if "html" in flags.options:
        from gristmill.report.explained import page_beside_text

        flags.write_html(page_beside_text(found))
    if flags.on("json"):
        print(json.dumps(found.to_json(), ensure_ascii=False))
    elif "html" not in flags.options:
        from gristmill.cli.page_print import print_explanation

        print_explanation(found, whole=flags.on("all"))
    return 0


def _sample(flags: Flags) -> int:
    if flags.words:
        raise GristmillError("a page and a sample are one too many", where="--sample")
    for name in ("url", "offset"):
        if name in flags.options:
            raise GristmillError("is for one page", where=f"--{name}")
    count, order = flags.number("sample", 20), flags.text("by", "random")
    if count < 1:
        raise GristmillError("must be at least 1", where="--sample")
    if order not in _ORDERS:
        raise GristmillError(
            f"no such order '{order}'", where="--by", mend=f"one of {', '.join(_ORDERS)}"
        )
    from gristmill.cli.stage import execution_of
    from gristmill.data.extract.looking import sample

    workspace = Workspace.existing(flags.text("workspace", "runs/demo"))
    pages, tdm = _crawl(workspace)
    folder = pages.path / "warc"
    fitting = sum(1 for _ in _chosen(pages, flags))
    if not fitting:
        raise GristmillError(
            "no page of this crawl fits", where=pages.path, mend="see gristmill data inspect --list"
        )
    found = sample(
        lambda: _chosen(pages, flags),
        folder,
        count,
        _options(flags, workspace),
        order=order,  # type: ignore[arg-type]
        seed=flags.number("seed", 0),
        workers=execution_of(flags).workers,
        tdm=tdm,
    )
    about = _how_chosen(order, fitting, pages.path.name)
    if "html" in flags.options:
        from gristmill.report.explained import pages_beside_text

        flags.write_html(pages_beside_text(found, about))
    if flags.on("json"):
        print(json.dumps([one.to_json() for one in found], ensure_ascii=False))
    elif "html" not in flags.options:
        from gristmill.cli.page_print import print_sample

        print_sample(found, about)
    return 0


def _how_chosen(order: str, pages: int, name: str) -> str:
    from gristmill.data.extract.looking import MOST_RANKED

    if order == "random":
        return f"Drawn at random from {pages:,} pages of {name}."
    drawn = f"{MOST_RANKED:,} drawn from " if pages > MOST_RANKED else ""
    return f"Of {drawn}{pages:,} pages of {name}, those of which {order} was kept."


def _page(word: str, flags: Flags) -> tuple[PageAt, ExtractOptions, TdmRules | None]:
    """The page that a word names, and the settings to extract it with."""
    from gristmill.data.extract.looking import PageAt, from_crawl, from_file

    url = flags.text("url", "") or None
    offset = flags.number("offset", 0) if "offset" in flags.options else None
    if url and offset is not None:
        raise GristmillError("a URL and an offset are one too many", where="--offset")
    if offset is not None and offset < 0:
        raise GristmillError("must be at least 0", where="--offset")
    if word == "-":
        options = _options(flags, None)
        body = sys.stdin.buffer.read(options.limits.bytes + 1)
        return PageAt(url or "", body=body), options, None
    if Path(word).is_file():
        return from_file(Path(word), url, offset), _options(flags, None), None
    if "://" not in word:
        if Path(word).is_dir():
            raise GristmillError("is a folder", where=word, mend="name one page in it")
        raise GristmillError(
            f"no such file '{word}'", mend="a page is a URL with http://, a file, or -"
        )
    if url or offset is not None:
        raise GristmillError("goes with a WARC file", where="--url" if url else "--offset")
    workspace = Workspace.existing(flags.text("workspace", "runs/demo"))
    from gristmill.stages.data_extract import read_index

    pages, tdm = _crawl(workspace)
    stored = read_index(pages.file("index.parquet"))
    return from_crawl(stored, pages.path / "warc", word), _options(flags, workspace), tdm


def _list(flags: Flags) -> int:
    """The first pages of a crawl that fit, and how many there are."""
    if flags.words:
        raise GristmillError("a page and a list are one too many", where="--list")
    for name in ("url", "offset", "by", "seed", "html", "format"):
        if name in flags.options:
            raise GristmillError("does not go with --list", where=f"--{name}")
    count = flags.number("list", 20)
    if count < 1:
        raise GristmillError("must be at least 1", where="--list")
    pages = _newest(Workspace.existing(flags.text("workspace", "runs/demo")))
    shown: list[StoredPage] = []
    total = 0
    for page in _chosen(pages, flags):
        total += 1
        if len(shown) < count:
            shown.append(page)
    if flags.on("json"):
        for page in shown:
            told = {"url": page.url, "status": page.status, "content_type": page.content_type,
                    "file": page.file, "offset": page.offset}  # fmt: skip
            print(json.dumps(told, ensure_ascii=False))
        return 0
    from gristmill.cli.page_print import print_index

    print_index(shown, total, pages.path.name)
    return 0


def _chosen(pages: Artifact, flags: Flags) -> Iterator[StoredPage]:
    """The rows of a crawl's index that --host and --match leave."""
    from gristmill.data.extract.looking import pages_like
    from gristmill.stages.data_extract import read_index

    rows = read_index(pages.file("index.parquet"))
    return pages_like(rows, flags.text("host", "") or None, flags.text("match", "") or None)


def _crawl(workspace: Workspace) -> tuple[Artifact, TdmRules]:
    """The newest crawl of a workspace, and its hosts' opt-outs."""
    from gristmill.stages.data_extract import tdm_rules

    pages = _newest(workspace)
    return pages, tdm_rules(pages)


def _newest(workspace: Workspace) -> Artifact:

    pages = workspace.latest("pages")
    if pages is None:
        raise GristmillError("holds no crawled pages", where=workspace.path, mend="data crawl")
    return pages


def _options(flags: Flags, workspace: Workspace | None) -> ExtractOptions:
    """The settings of the workspace's extraction, where it has one, and the flags over them."""
    from gristmill.stages.data_extract import ExtractConfig, options_of

    made = workspace.latest("documents") if workspace is not None else None
    settings = {}
    if made is not None and made.stage == "data.extract":
        known = ExtractConfig.model_fields
        settings = {k: v for k, v in made.manifest.config.items() if k in known}
    settings["format"] = flags.text("format", "markdown")
    if settings["format"] not in ("markdown", "text"):
        raise GristmillError("is markdown or text", where="--format")
    for name in ("comments", "captions"):
        if flags.on(name):
            settings[name] = True
    return options_of(ExtractConfig(**settings))
