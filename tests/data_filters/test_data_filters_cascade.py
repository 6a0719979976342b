"""The cascade: all text in one scan, cheap rules on it, and what they spare the extraction."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.data.extract.fast_text import _INLINE, _SKIPPED, visible_text
from gristmill.data.extract.page import ExtractedPage, Rejected, extract_page
from gristmill.data.filters.cascade import Cascade
from gristmill.data.filters.language import language_model_path
from gristmill.data.why import explain_page
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.stage import Execution, Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

PROSE = "The mill stands by the river and grinds the corn of all the farmers of the valley. "
GERMAN = "Die Mühle steht am Fluss und mahlt das Korn aller Bauern des Tales, jahraus, jahrein. "


def twin(page: bytes) -> str:
    """What `visible_text` does, without the compiled scan: one tag after the other."""
    out = bytearray()
    owed = b""

    def write(byte: int) -> None:
        nonlocal owed
        if owed and out:
            out.extend(owed)
        owed = b""
        out.append(byte)

    at = 0
    while at < len(page):
        rest = page[at:]
        if rest.startswith(b"<!--"):
            end = page.find(b"-->", at + 2)
            # The two dashes of '<!-->' are not its end.
            end = page.find(b"-->", at + 4 - 2) if end < 0 else end
            at = len(page) + 1 if end < 0 else end + 3
        elif re.match(rb"</?[A-Za-z!?]", rest):
            tag = re.match(rb"<(/?)([A-Za-z0-9]*)", rest)
            assert tag is not None
            end, quote = at + tag.end(), 0
            while end < len(page):
                byte = page[end]
                if quote:
                    quote = 0 if byte == quote else quote
                elif byte == ord(">"):
                    break
                elif byte in b"\"'" and page[end - 1] == ord("="):
                    quote = byte
                end += 1
            name = tag[2].decode().lower()
            if name not in _INLINE:
                owed = b"\n"
            at = end + 1
            empty = end < len(page) and page[end - 1] == ord("/")
            if not tag[1] and name in _SKIPPED and not empty:
                found = re.search(rb"</" + name.encode(), page[at:], re.I)
                at = at + found.start() if found else len(page)
        elif rest[0] <= 32:
            owed = owed or b" "
            at += 1
        else:
            write(rest[0])
            at += 1
    return html.unescape(out.decode("utf-8", "replace"))


PIECES = (
    "<p>", "</p>", "<b>", "</b>", "<a href='x>y'>", '<img alt="a > b">', "<br/>", "<script>",
    "</script>", "</SCRIPT >", "<STYLE x=1>", "</style>", "<!-- a > b -->", "<!-->", "<!DOCTYPE a>",
    "<?xml?>", "a < b", "<", ">", "&amp;", "&lt;b&gt;", "é漢", " ", "\n\t", "word", "<svg/>",
    "</scripty>", "<title>", "</title>", "<template>", "</ x>", "<h1", "=", "'", '"', "--",
)  # fmt: skip


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_the_scan_is_its_twin(pieces: list[str]) -> None:
    page = "".join(pieces).encode()
    assert visible_text(page) == twin(page)


def test_text_of_a_page() -> None:
    page = (
        '<html><head><title>T</title><style>p > b {}</style></head><body><nav><a href="/">Home</a>'
        "<a>More</a></nav><p>One <b>bold</b>\n word&amp;sign.<p>Two<script>x = '<p>no</p>'</script>"
    )
    assert visible_text(page.encode()) == "HomeMore\nOne bold word&sign.\nTwo"
    assert visible_text(b"") == "" and visible_text(b"<p") == "" and visible_text(b"<!--") == ""
    assert visible_text(b"<" * 5) == "<" * 5


def test_few_words_but_not_where_scripts_hold_the_text() -> None:
    rules = Cascade(min_words=12, min_prose_words=10)
    page = f"<p>{PROSE}</p>".encode()
    assert rules.verdict(page) is None
    assert rules.verdict(b"<p>Coming soon.</p>") == ("cascade.words", "2 < 12")
    listed = b"".join(b"<li>Entry of a list</li>" for _ in range(9))
    assert rules.verdict(listed) == ("cascade.prose_words", "0 < 10")
    stated = b'<p>Coming soon.</p><script>{"articleBody": "' + PROSE.encode() * 9 + b'"}</script>'
    assert rules.verdict(stated) is None
    kept = extract_page(stated, "http://a.example/", first=rules)
    assert isinstance(kept, ExtractedPage) and kept.text.startswith("The mill")


def test_repetition_and_adult_words() -> None:
    rules = Cascade(max_repeated_share=0.6)
    lines = [f"<p>{PROSE} {n}</p>" for n in range(4)]
    assert rules.verdict("".join(lines * 2).encode()) is None
    assert rules.verdict("".join(lines * 3).encode()) == ("cascade.repeated", "0.6667 > 0.6")
    adult = Cascade(adult_words=frozenset({"grinds", "corn"}), max_adult_share=0.1)
    verdict = adult.verdict(f"<p>{PROSE}</p>".encode())
    assert verdict is not None and verdict[0] == "cascade.adult"
    assert adult.verdict(f"<p>{PROSE}{GERMAN * 3}</p>".encode()) is None


@pytest.fixture(scope="module")
def english() -> Cascade:
    try:
        return Cascade(languages=("en",), language_model=language_model_path())
    except GristmillError:  # no registry, and nothing kept of it
        pytest.skip("the language model is not here")


def test_only_what_is_clearly_in_another_language(english: Cascade) -> None:
    german = f"<p>{GERMAN * 12}</p>"
    verdict = english.verdict(german.encode())
    assert verdict is not None and verdict[0] == "cascade.language" and "de " in verdict[1]
    assert english.verdict(f"<p>{PROSE * 12}</p>".encode()) is None
    # One place of three in English is enough, and so is the page's own word.
    half = "".join(f"<p>{text * 6}</p>" for text in (GERMAN, GERMAN, PROSE))
    assert english.verdict(half.encode()) is None
    assert english.verdict(f'<html lang="en-GB">{german}'.encode()) is None
    assert english.verdict(f'<html lang="de">{german}'.encode()) == verdict
    menu = "".join(f"<li>Startseite und Inhalt {n}</li>" for n in range(40))
    assert english.verdict(f"{menu}<p>{PROSE * 3}</p>".encode()) is None
    assert english.verdict(b"<p>1 2 3</p>") is None and english.verdict(b"") is None


PAGES = {
    "http://a.example/good": f"<p>{PROSE * 3}</p>",
    "http://a.example/few": "<p>Coming soon.</p>",
    "http://bad.example/x": f"<p>{PROSE * 3}</p>",
}


@stage("data crawl", version=1, kind="pages", config=StageConfig, inputs={}, summary="", example="")
def crawl_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    """The pages as a crawl keeps them."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    (output.path / "warc").mkdir()
    rows = []
    with open(output.path / "warc" / "crawl-00000.warc.gz", "wb") as file:
        writer = WARCWriter(file, gzip=True)
        for url, body in sorted(PAGES.items()):
            import io

            start = file.tell()
            head = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
            record = writer.create_warc_record(
                url, "response", payload=io.BytesIO(body.encode()), http_headers=head
            )
            writer.write_record(record)
            rows.append({
                "url": url, "status": 200, "content_type": "text/html",
                "file": "crawl-00000.warc.gz", "offset": start, "fetched_at": None,
            })  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), output.path / "index.parquet")


def _extracted(workspace: Workspace, pages: Artifact, **cascade: object) -> Artifact:
    config = ExtractConfig.model_validate({"cascade": cascade} if cascade else {})
    return data_extract.run(config, {"pages": pages}, workspace, execution=Execution(workers=1))


def test_stage_counts_rejects_and_why(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    pages = crawl_stage.run(StageConfig(), {}, workspace)
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("bad.example\n", encoding="utf-8")
    plain = _extracted(workspace, pages)
    assert plain.manifest.counts["documents"] == 3
    found = _extracted(workspace, pages, min_words=10, hosts=[str(hosts)])
    assert found.manifest.counts["documents"] == 1
    lines = (found.path / "rejects" / "extract.jsonl").read_text(encoding="utf-8").splitlines()
    rejects = {one["url"]: (one["reason"], one["sample"]) for one in map(json.loads, lines)}
    assert rejects["http://a.example/few"] == ("cascade.words", "2 < 10")
    assert rejects["http://bad.example/x"][0].startswith("cascade.blocklist.")
    step = explain_page("http://a.example/few", [pages, found])[-1]
    assert step["said"] == "rejected: cascade.words" and step["numbers"] == {"detail": "2 < 10"}
    # Off it is no part of the settings' identity.
    key, _ = data_extract.key(ExtractConfig(), {"pages": [pages]}, 0)
    assert key == plain.manifest.key


def test_a_refused_page_says_so() -> None:
    page = extract_page(b"<p>Few.</p>", "http://a.example/", first=Cascade(min_words=5))
    assert page == Rejected("cascade.words", "1 < 5")
