"""Licences as SPDX ids, and what pages, headers and tdmrep.json say against use."""

from __future__ import annotations

import json

import pytest

from gristmill.data.extract.metadata import page_licence, read_head
from gristmill.data.extract.opt_out import TdmRules, parse_tdmrep, stated_opt_out
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, Rejected, extract_page
from gristmill.data.licence_rules import licence_fits
from gristmill.data.licences import licence_name, licence_of_text, spdx_header, spdx_id

BSD = (
    "Redistribution and use in source and binary forms, with or without"
    " modification, are permitted provided that:\n1. Redistributions of source code must"
    " retain the above copyright notice"
)


@pytest.mark.parametrize(
    ("stated", "id_"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/3.0/us/deed.en", "CC-BY-NC-ND-3.0"),
        ("//creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("CC BY-NC-SA 4.0", "CC-BY-NC-SA-4.0"),
        ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
        ("Creative Commons Attribution", None),
        ("CC BY", None),
        ("mit", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0.html", "Apache-2.0"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("gpl-2.0", "GPL-2.0-only"),
        ("LGPL-2.1-or-later", "LGPL-2.1-or-later"),
        ("AGPL-3.0", "AGPL-3.0-only"),
        ("cc0", "CC0-1.0"),
        ("All rights reserved", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_names_and_links(stated: str, id_: str | None) -> None:
    assert spdx_id(stated) == id_


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (BSD, "BSD-2-Clause"),
        (BSD + "\n3. Neither the name of the", "BSD-3-Clause"),
        ("Apache License\n   Version 2.0, January 2004\n TERMS AND CONDITIONS", "Apache-2.0"),
        ("GNU GENERAL PUBLIC LICENSE\n Version 2, June 1991", "GPL-2.0-only"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n Version 2.1, February 1999", "LGPL-2.1-only"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3 ... TERMS AND CONDITIONS", "AGPL-3.0-only"),
        ("Mozilla Public License Version 2.0\n 'Covered Software'", "MPL-2.0"),
        ("Permission to use, copy, modify, and/or distribute this software for any purpose with or "
         "without fee is hereby granted, provided that the above copyright notice", "ISC"),
        ("This is free and unencumbered software released into the public domain.", "Unlicense"),
        ("Creative Commons Attribution-NonCommercial 4.0 International", "CC-BY-NC-4.0"),
        ("Do as you like.", None),
    ],
)  # fmt: skip
def test_texts_of_licence_files(text: str, id_: str | None) -> None:
    assert licence_of_text(text) == id_


def test_headers_and_names() -> None:
    assert spdx_header("/* SPDX-License-Identifier: MIT OR Apache-2.0 */") == "MIT OR Apache-2.0"
    assert spdx_header("# SPDX-License-Identifier: gpl-2.0+\n") == "GPL-2.0-or-later"
    assert spdx_header("no") is None
    assert licence_name(" Some\n own ") == "Some own"


def test_patterns() -> None:
    assert licence_fits("CC-BY-SA-4.0", ["cc-by-*"]) and not licence_fits("MIT", ["CC-BY-*"])
    assert licence_fits("GPL-3.0-only OR MIT", ["MIT"])
    assert not licence_fits("GPL-3.0-only AND MIT", ["MIT"])
    assert licence_fits("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-*"])
    assert licence_fits(None, ["none"]) and not licence_fits(None, ["*"])


def licence(html: str) -> str | None:
    from selectolax.lexbor import LexborHTMLParser

    parser = LexborHTMLParser(html)
    return page_licence(read_head(parser), parser, html.encode())


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<a rel="license" href="https://creativecommons.org/licenses/by/4.0/">x</a>', "CC-BY-4.0"),
        ('<link rel="license" href="https://opensource.org/licenses/MIT">', "MIT"),
        ('<link rel="license" href="/terms">', "/terms"),
        ('<meta name="dc.rights" content="CC BY-SA 4.0">', "CC-BY-SA-4.0"),
        ('<meta name="dc.rights" content="Ours alone">', "Ours alone"),
        ('<script type="application/ld+json">{"@graph": [{"@type": "Article", "license":'
         ' {"@id": "https://creativecommons.org/licenses/by-nd/4.0/"}}]}</script>', "CC-BY-ND-4.0"),
        ('<script type="application/ld+json">{"@type": "ImageObject", "license":'
         ' "https://creativecommons.org/licenses/by/4.0/"}</script>', None),
        ('<script type="application/ld+json">{"license": [broken</script>', None),
        ("<p>words</p>", None),
    ],
)  # fmt: skip
def test_pages_state_licences(html: str, found: str | None) -> None:
    assert licence(html) == found


WORDS = "<p>" + "This paragraph is long enough to be the main text of the whole page. " * 4 + "</p>"


@pytest.mark.parametrize(
    ("head", "headers", "by_host", "said"),
    [
        ("", [], None, None),
        ('<meta name="robots" content="index, noai">', [], None, "noai"),
        ('<meta name="robots" content="index"><meta name="ROBOTS" content="noai,noimageai">', [],
         None, "noai, noimageai"),
        ("", [("X-Robots-Tag", "otherbot: noai")], None, "noai"),
        ("", [("x-robots-tag", "noarchive"), ("X-Robots-Tag", "noimageai")], None, "noimageai"),
        ('<meta name="tdm-reservation" content="1">', [], None, "tdm-reservation"),
        ("", [("TDM-Reservation", "1")], None, "tdm-reservation"),
        ("", [], True, "tdm-reservation"),
        ('<meta name="tdm-reservation" content="0">', [("tdm-reservation", "1")], True, None),
        ("", [("tdm-reservation", "0")], True, None),
        ('<meta name="robots" content="noaix, all">', [], False, None),
    ],
)  # fmt: skip
def test_pages_that_opt_out(
    head: str, headers: list[tuple[str, str]], by_host: bool | None, said: str | None
) -> None:
    html = (
        f"<html><head><title>T</title>{head}</head><body><h1>T</h1>{WORDS}</body></html>".encode()
    )
    url = "https://h.example/a"
    kept = extract_page(
        html, url, None, ExtractOptions(respect_opt_out=False), headers=headers,
        reserved_by_host=by_host,
    )  # fmt: skip
    assert isinstance(kept, ExtractedPage) and kept.opt_out == said
    found = extract_page(html, url, headers=headers, reserved_by_host=by_host)
    assert found == (Rejected("opt_out", said) if said else kept)


def test_tdmrep_files() -> None:
    body = json.dumps(
        [
            {"location": "/", "tdm-reservation": 0},
            {"location": "/art/*.html$", "tdm-reservation": 1},
            {"location": "/art/free", "tdm-reservation": 0},
            {"location": "/all", "tdm-reservation": 1},
            {"location": 5, "tdm-reservation": 1},
            "noise",
        ]
    ).encode()
    rules = TdmRules.from_files([("https://H.example/.well-known/tdmrep.json", body)])
    told = {
        path: rules.reserved("https://h.example" + path)
        for path in ("/", "/art/x.html", "/art/x.html?q", "/art/free/x.html", "/all/x", "/other")
    }
    assert told == {
        "/": False, "/art/x.html": True, "/art/x.html?q": False, "/art/free/x.html": True,
        "/all/x": True, "/other": False,
    }  # fmt: skip
    assert rules.reserved("https://other.example/") is None
    for bad in (b"", b"{}", b"[" * 100_000, b"\xff", b"<html>", b"x" * 2_000_000):
        assert parse_tdmrep(bad) == ()


def test_nothing_stated() -> None:
    assert stated_opt_out([], {}) is None
