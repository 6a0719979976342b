"""LaTeX, mail, PDF and archives: what becomes text, and that hostile ones are told and left."""

from __future__ import annotations

import gzip
import io
import mailbox
import tarfile
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from gristmill.data.sources.archive import safe_name
from gristmill.data.sources.convert import Converter, ConvertOptions
from gristmill.data.sources.folder import find_files
from gristmill.data.sources.latex import project_text
from gristmill.data.sources.mail import MailOptions, message_text
from gristmill.data.sources.readers import read_records
from gristmill.data.sources.record import Record


def read(path: Path, options: ConvertOptions | None = None) -> list[Record]:
    records = [one for file in find_files(path).files for one in read_records(file)]
    return Converter(options or ConvertOptions())(records)


PAPER = r"""\documentclass{article} % nothing
\newcommand{\R}{\mathbb{R}}\newcommand{\norm}[2][2]{\|#2\|_{#1}}\def\eps{\varepsilon}
\newtheorem{thm}{Theorem}
\title{Small \emph{Things}\thanks{A grant}}
\begin{document}
\maketitle
\section{One}\label{s}
50\% of $x\in\R$, $\norm{x}<\eps$ (see~\ref{s}), na\"{\i}ve \'Etienne---``yes''~\cite{a}. % gone
\begin{align*} a &= \norm[1]{b} \\ c &= d \label{e} \end{align*}
\begin{itemize}\item First\item Second\footnote{A note.}\end{itemize}
\begin{thm}[Main] It holds. \end{thm}
\begin{tabular}{l|r}Name & Value \\ \hline a\_b & 1 \\ \end{tabular}
\begin{verbatim}
x = 1 % kept
\end{verbatim}
\input{parts/two}
\input{../../secret}
\end{document}
after"""


def test_latex() -> None:
    files = {"p.tex": PAPER.encode(), "parts/two.tex": rb"\subsection{Two} Both \R.\input{p}"}
    title, text = project_text(files, None, False)
    assert title == "Small Things"
    assert text == (
        "Small Things\n\nOne\n\n"
        "50% of $x\\in\\mathbb{R}$, $\\|x\\|_{2}<\\varepsilon$ (see), naïve Étienne—“yes”.\n\n"
        "$$\\begin{aligned} a &= \\|b\\|_{1} \\\\ c &= d \\end{aligned}$$\n\n"
        "- First\n- Second (A note.)\n\nTheorem. It holds.\n\nName | Value\na_b | 1\n\n"
        "x = 1 % kept\n\nTwo\n\nBoth $R$.".replace("$R$", "")
        .replace("Both .", "Both \\mathbb{R}.")
        .replace("\\mathbb{R}.", "R.")
    )
    assert "## One" in project_text(files, None, True)[1]


def test_latex_inputs_stay_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.tex").write_text("SECRET", encoding="utf-8")
    folder = tmp_path / "paper"
    (folder / "parts").mkdir(parents=True)
    (folder / "p.tex").write_text(PAPER, encoding="utf-8")
    (folder / "parts" / "two.tex").write_text("Part \\input{../../secret}", encoding="utf-8")
    (folder / "link.tex").symlink_to(tmp_path / "secret.tex")
    found = find_files(folder)
    assert [file.name for file in found.files] == ["p.tex"] and found.parts == 1
    [paper] = read(folder)
    assert "Part" in paper.text and "SECRET" not in paper.text


@pytest.mark.parametrize(
    "body",
    ["{" * 50_000, "\\footnote{" * 20_000, "$" * 49_999, "\\begin{equation}" * 10_000,
     "\\def\\a{\\a\\a}" + "\\a " * 100, "\\newcommand{\\b}[9]{#1#1#1}" + "\\b{" * 9000,
     "\\input{p}" * 5000, "\\item[" * 20_000, "%" * 50_000],
)  # fmt: skip
def test_hostile_latex_ends(body: str) -> None:
    source = "\\documentclass{a}\\begin{document}" + body
    _, text = project_text({"p.tex": source.encode()}, None, False)
    assert len(text) < 2_000_000


def tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


def test_a_preprint(tmp_path: Path) -> None:
    members = {"p.tex": PAPER.encode(), "parts/two.tex": b"Part.", "fig.png": b"\x89PNG"}
    path = tar(tmp_path / "2401.00001.tar.gz", members)
    found = read(path)
    assert [one.skipped for one in found] == ["unknown format", None]
    assert found[1].text.endswith("Part.") and found[1].row is None


def test_archives_do_not_escape(tmp_path: Path) -> None:
    members = {"ok/a.txt": b"fine", "../../up.txt": b"x", "/etc/abs.txt": b"x", "b.html": b"<p>"}
    path = tar(tmp_path / "a.tar.gz", members, {"l.txt": "/etc/passwd", "m": "../.."})
    before = sorted(tmp_path.parent.rglob("*"))
    found = read(path)
    assert [(one.row, one.text, one.problem, one.skipped) for one in found] == [
        ("ok/a.txt", "fine", None, None),
        ("../../up.txt", "", "name leads out of the archive", None),
        ("/etc/abs.txt", "", "name leads out of the archive", None),
        ("b.html", "", "no main text", None),
        ("l.txt", "", None, "link"),
        ("m", "", None, "link"),
    ]
    assert sorted(tmp_path.parent.rglob("*")) == before
    for name in ("..", "a/../../b", "C:\\x", "\\\\host\\x", "a\0b", "/", ""):
        assert safe_name(name) is None, name
    assert safe_name("./a//b/../c.txt") == "a/c.txt"


def test_zip_bombs_and_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gristmill.data.sources import archive

    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.jsonl", '{"text": "one"}\n{"text": 2}\n')
        made.writestr("bomb.txt", "x" * 3_000_000)
        made.writestr("more.txt", "y" * 900_000)
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000_000)
    found = read(path)
    assert [(one.row, one.problem) for one in found] == [
        ("a.jsonl#0", None), ("a.jsonl#1", "'text' is not text"), ("bomb.txt", "too large"),
        ("more.txt", None),
    ]  # fmt: skip
    monkeypatch.setattr(archive, "_FREE", 100_000)
    monkeypatch.setattr(archive, "_RATIO", 1)
    assert read(path)[-1].problem == "archive too large"
    path.write_bytes(path.read_bytes()[:400])
    assert read(path)[-1].problem == "damaged archive"


def message(body: str, charset: str = "utf-8", encoding: str = "8bit", **headers: str) -> bytes:
    fields = {"From": "ann@example.org", "To": "list@example.org", "Message-ID": "<1@example.org>",
              "Date": "Tue, 05 Mar 2024 10:00:00 +0100"}  # fmt: skip
    fields.update((name.replace("_", "-"), value) for name, value in headers.items())
    head = "".join(f"{name}: {value}\n" for name, value in fields.items())
    head += f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n"
    return head.encode() + b"\n" + body.encode(charset)


REPLY = (
    "Yes, I think so.\n\nOn Mon, Bob <bob@example.org> wrote:\n> Is it?\n> Really?\n\nMore words.\n"
    "-- \nAnn\nann@example.org\n"
)


def test_mail_without_quotes_signatures_and_addresses() -> None:
    data = message(
        REPLY,
        "latin-1",
        Subject="Re: AW: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
        References="<0@example.org> <x@example.org>",
        In_Reply_To="<x@example.org>",
    )
    text, fields, attributes, url = message_text(data, MailOptions())
    assert text == "Yes, I think so.\n\nMore words."
    assert fields == {"title": "Grüße", "date": "2024-03-05"} and url == ""
    assert "@" not in str(attributes) and set(attributes) == {"thread", "message", "reply_to"}
    first = message_text(message("a", Message_ID="<0@example.org>"), MailOptions())[2]
    assert attributes["thread"] == first["thread"] == first["message"]
    everything = MailOptions(quotes=True, signatures=True, addresses=True)
    text, _, attributes, _ = message_text(data, everything)
    assert text == REPLY.strip().replace("-- \n", "--\n")
    assert attributes["from"] == "ann@example.org"


def test_mail_is_decoded() -> None:
    quoted = message("caf=C3=A9 =\nau lait", "ascii", "quoted-printable").replace(
        b"charset=ascii", b"charset=utf-8"
    )
    assert message_text(quoted, MailOptions())[0] == "café au lait"
    unknown = message("plain", "ascii").replace(b"charset=ascii", b"charset=x-unknown-7")
    assert message_text(unknown, MailOptions())[0] == "plain"
    flowed = message("one \ntwo\n>quoted \n>too", "ascii").replace(
        b"=ascii", b"=ascii; format=flowed"
    )
    assert message_text(flowed, MailOptions(quotes=True))[0] == "one two\n> quoted too"
    html = EmailMessage()
    html.set_content("<style>x</style><p>Hello <b>you</b></p><p>Bye</p>", subtype="html")
    html["Archived-At"] = "<https://lists.example/1>"
    text, _, _, url = message_text(html.as_bytes(), MailOptions())
    assert (text, url) == ("Hello you\n\nBye", "https://lists.example/1")


def test_mbox_and_maildir(tmp_path: Path) -> None:
    box = mailbox.mbox(str(tmp_path / "a.mbox"))
    for i in range(3):
        box.add(message(f"Words {i}.\n\nFrom here on.\n", Subject=f"S{i}"))
    box.add(b"Content-Type: multipart/encrypted\n\nx")
    box.close()
    found = read(tmp_path / "a.mbox")
    assert [one.text for one in found[:3]] == [f"Words {i}.\n\nFrom here on." for i in range(3)]
    assert [one.fields.get("title") for one in found[:3]] == ["S0", "S1", "S2"]
    assert [one.row for one in found] == [0, 1, 2, 3] and found[3].problem == "encrypted"
    directory = mailbox.Maildir(str(tmp_path / "dir"))
    directory.add(message("In a folder."))
    directory.close()
    assert [one.text for one in read(tmp_path / "dir")] == ["In a folder."]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe\0", b"Content-Type: multipart/mixed; boundary=\n\n--\n",
     b"From: " + b"<" * 9999,
     b"Subject: =?utf-8?b?////?=\nDate: 99999999999\nReferences: " + b"<a" * 5000 + b"\n\nx",
     b"Content-Type: text/plain; charset=\xff\n\nx",
     b"".join(b"Content-Type: multipart/x; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(90))],
)  # fmt: skip
def test_hostile_mail_is_a_text_or_a_problem(data: bytes) -> None:
    from gristmill.data.sources.record import Raw

    [found] = Converter(ConvertOptions())([Raw("mail", data, Record(0))])
    assert bool(found.text) != bool(found.problem)


def pdf(pages: list[list[str]]) -> bytes:
    """A PDF of lines of Helvetica, by hand: page objects, their streams, a table of offsets."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for lines in pages:
        drawn = "".join(
            f"1 0 0 1 50 {780 - 14 * i} Tm ({line}) Tj\n" for i, line in enumerate(lines)
        )
        stream = f"BT /F1 10 Tf\n{drawn}ET".encode() if lines else b""
        number = len(objects) + 1
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F1 3 0 R>>>>"
            b"/Contents %d 0 R>>" % (number + 1)
        )
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream))
    kids = b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(len(pages)))
    objects[1] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(pages))
    out, places = b"%PDF-1.4\n", []
    for i, one in enumerate(objects):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (i + 1, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        len(out),
    )
    return out + head + table + trailer


def test_pdf_is_mended(tmp_path: Path) -> None:
    pytest.importorskip("pdfminer")
    pages = [
        ["A Book of Things", f"The {word} brown fox jumps over the lazy dog and the hyphen-",
         f"ation of {word} words is closed where a line was broken by its width.",
         f"The {word} end.", f"A {word} paragraph begins after the short line before.", str(7 + i)]
        for i, word in enumerate(("quick", "slow", "third"))
    ]  # fmt: skip
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf([*pages, []]))
    [found] = read(path)
    assert found.problem is None
    assert "A Book of Things" not in found.text and "\n8" not in found.text
    assert "and the hyphenation of slow words is closed where a line was broken" in found.text
    assert "The slow end.\n\nA slow paragraph" in found.text
    assert found.attributes == {"pages": "4", "pages_without_text": "1"}
    path.write_bytes(pdf([[], []]))
    assert [one.problem for one in read(path)] == ["no text layer"]
    path.write_bytes(b"%PDF-1.4 and no more")
    assert [one.problem for one in read(path)] == ["damaged file"]


def test_html_keeps_what_it_states(tmp_path: Path) -> None:
    words = "This is a paragraph of text that is long enough to be the main text of a page. " * 3
    path = tmp_path / "a.html"
    path.write_text(
        '<html lang="en"><head><title>T</title><meta name="robots" content="noai">'
        '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head>'
        f"<body><article><h1>T</h1><p>{words}</p></article></body></html>",
        encoding="utf-8",
    )
    [found] = read(path)
    assert words.strip() in found.text
    assert found.fields["licence"] == "CC-BY-4.0" and found.fields["opt_out"] == "noai"
    (tmp_path / "b.html.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert [one.fields["title"] for one in read(tmp_path)] == ["T", "T"]
