"""Licences by their SPDX ids, from links, short names and the texts of LICENSE files.

Sources: the SPDX licence list (ids and reference addresses), Creative Commons' addresses
(creativecommons.org/licenses/TERMS/VERSION), and each licence's own wording.
"""

from __future__ import annotations

import re

_CC_LINK = re.compile(
    r"creativecommons\.org/(?:licen[sc]es/([a-z][a-z-]{1,19})/(\d\.\d)(?:/([a-z]{2,3})\b)?"
    r"|publicdomain/(zero|mark)/(\d\.\d))"
)
_CC_NAME = re.compile(
    r"\bcc[ _-]?((?:by|nc|nd|sa)(?:[ _-](?:nc|nd|sa)){0,3})(?:[ _-]?v?(\d(?:\.\d)?))?"
    r"(?:[ _-](?:international|unported|generic|intl))?\Z"
)
_CC_WORDS = re.compile(
    r"creative commons attribution((?:[ -]{1,3}(?:non-?commercial|share-?alike|no-?deriv(?:ative|s)"
    r"(?:[ -]?works|es)?)){0,3})(?:[ -]{1,3}(?:version )?v?(\d\.\d))?"
)
_SPDX_HEADER = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+() -]{2,120})")
_CC_TERMS = frozenset("BY BY-SA BY-NC BY-ND BY-NC-SA BY-NC-ND".split())
_VERSIONS = frozenset(("1.0", "2.0", "2.5", "3.0", "4.0"))

_IDS = """
0BSD AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-1.0 Artistic-2.0
BlueOak-1.0.0 BSD-2-Clause BSD-3-Clause BSD-4-Clause BSL-1.0 CC0-1.0 CC-PDM-1.0 CDDL-1.0 CDDL-1.1
CECILL-2.1 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 GFDL-1.1-only GFDL-1.1-or-later GFDL-1.2-only
GFDL-1.2-or-later GFDL-1.3-only GFDL-1.3-or-later GPL-1.0-only GPL-1.0-or-later GPL-2.0-only
GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only
LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later LPPL-1.3c MIT MIT-0 MPL-1.1 MPL-2.0 MS-PL
MulanPSL-2.0 NCSA ODbL-1.0 ODC-By-1.0 OFL-1.1 OGL-UK-3.0 OSL-3.0 PDDL-1.0 PostgreSQL PSF-2.0
Python-2.0 UPL-1.0
Unlicense Vim WTFPL Zlib ZPL-2.1
"""
_BY_LOWER = {one.lower(): one for one in _IDS.split()}
_ALIASES = {
    "mit license": "MIT", "the mit license": "MIT", "expat": "MIT",
    "apache 2.0": "Apache-2.0", "apache-2": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0", "apache license version 2.0": "Apache-2.0",
    "apache2": "Apache-2.0", "asl 2.0": "Apache-2.0",
    "bsd-2": "BSD-2-Clause", "bsd 2-clause": "BSD-2-Clause", "bsd-3": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause", "new bsd": "BSD-3-Clause", "simplified bsd": "BSD-2-Clause",
    "mpl 2.0": "MPL-2.0", "mpl2": "MPL-2.0", "isc license": "ISC", "the unlicense": "Unlicense",
    "cc0": "CC0-1.0", "cc-0": "CC0-1.0", "cc0 1.0": "CC0-1.0", "cc0 1.0 universal": "CC0-1.0",
    "cc zero": "CC0-1.0", "odc-by": "ODC-By-1.0", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0",
    "psf": "PSF-2.0", "zlib license": "Zlib", "wtfpl-2.0": "WTFPL",
}  # fmt: skip
# The old short forms of the GNU licences, which said neither "only" nor "or later"; SPDX reads
# them as "only", and a final + as "or later".
_GNU = re.compile(r"(a|l)?gpl[ -]?v?(\d(?:\.\d)?)(\+|-or-later|-only| or later)?\Z")
_GFDL = re.compile(r"(?:gfdl|fdl)[ -]?v?(1\.[123])?(\+|-or-later|-only)?\Z")
_PLACES = (
    ("opensource.org/licenses/mit", "MIT"),
    ("opensource.org/license/mit", "MIT"),
    ("opensource.org/licenses/bsd-3-clause", "BSD-3-Clause"),
    ("opensource.org/licenses/bsd-2-clause", "BSD-2-Clause"),
    ("opensource.org/licenses/isc", "ISC"),
    ("apache.org/licenses/license-2.0", "Apache-2.0"),
    ("mozilla.org/mpl/2.0", "MPL-2.0"),
    ("mozilla.org/en-us/mpl/2.0", "MPL-2.0"),
    ("unlicense.org", "Unlicense"),
    ("gnu.org/licenses/agpl-3.0", "AGPL-3.0-only"),
    ("gnu.org/licenses/lgpl-3.0", "LGPL-3.0-only"),
    ("gnu.org/licenses/old-licenses/lgpl-2.1", "LGPL-2.1-only"),
    ("gnu.org/licenses/gpl-3.0", "GPL-3.0-only"),
    ("gnu.org/licenses/old-licenses/gpl-2.0", "GPL-2.0-only"),
    ("gnu.org/licenses/fdl-1.3", "GFDL-1.3-only"),
    ("gnu.org/licenses/old-licenses/fdl-1.2", "GFDL-1.2-only"),
    ("opendatacommons.org/licenses/odbl", "ODbL-1.0"),
    ("opendatacommons.org/licenses/by", "ODC-By-1.0"),
    ("opendatacommons.org/licenses/pddl", "PDDL-1.0"),
    ("nationalarchives.gov.uk/doc/open-government-licence/version/3", "OGL-UK-3.0"),
)


def spdx_id(stated: str) -> str | None:
    """The SPDX id of a licence stated as a link, an id or a usual short name; None if unknown."""
    text = " ".join(stated.split()).strip(" .;,").lower()
    if not text or len(text) > 2000:
        return None
    found = _BY_LOWER.get(text) or _ALIASES.get(text)
    if found:
        return found
    if "." in text and "/" in text:
        return _from_link(text)
    if gnu := _GNU.match(text):
        return _gnu_id(gnu[1], gnu[2], gnu[3] or "")
    if gfdl := _GFDL.match(text):
        ending = "only" if gfdl[2] == "-only" or not gfdl[2] else "or-later"
        return f"GFDL-{gfdl[1] or '1.3'}-{ending}"
    return _creative_commons(text)


def licence_name(stated: str) -> str | None:
    """The SPDX id where there is one, else what was stated in one line, at most 200 characters."""
    return spdx_id(stated) or " ".join(stated.split())[:200] or None


def spdx_header(text: str) -> str | None:
    """The licence that a source file's `SPDX-License-Identifier` line names, as it stands."""
    found = _SPDX_HEADER.search(text[:8000])
    if not found:
        return None
    expression = found[1].strip().removesuffix("--").strip()
    return spdx_id(expression) or expression


def licence_of_text(text: str) -> str | None:
    """The SPDX id of a LICENSE file by its wording; None where it is none of those known here.

    A GNU licence's own text does not say whether later versions are allowed: it counts as -only.
    """
    header = spdx_header(text)
    if header:
        return header
    words = " ".join(re.sub(r"[^a-z0-9.]+", " ", text[:40_000].lower()).split())
    for id_, phrases, without in _WORDINGS:
        if all(p in words for p in phrases) and not any(p in words for p in without):
            return id_
    return None


_BSD = "redistribution and use in source and binary forms with or without modification"
_WORDINGS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    # The licences that quote others stand first.
    ("AGPL-3.0-only", ("gnu affero general public license version 3", "terms and conditions"), ()),
    ("LGPL-3.0-only", ("gnu lesser general public license version 3 29 june 2007",), ()),
    ("LGPL-2.1-only", ("gnu lesser general public license version 2.1",), ()),
    ("LGPL-2.0-only", ("gnu library general public license version 2",), ()),
    ("GPL-3.0-only", ("gnu general public license version 3 29 june 2007",), ()),
    ("GPL-2.0-only", ("gnu general public license version 2 june 1991",), ()),
    ("GFDL-1.3-only", ("gnu free documentation license version 1.3",), ()),
    ("GFDL-1.2-only", ("gnu free documentation license version 1.2",), ()),
    ("MPL-2.0", ("mozilla public license version 2.0", "covered software"), ()),
    ("Apache-2.0", ("apache license version 2.0", "terms and conditions"), ()),
    ("Apache-2.0", ("licensed under the apache license version 2.0",), ()),
    ("BSL-1.0", ("boost software license version 1.0",), ()),
    ("PSF-2.0", ("python software foundation license version 2", "psf is making python"), ()),
    ("OFL-1.1", ("sil open font license version 1.1",), ()),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",), ()),
    ("CC0-1.0", ("cc0 1.0 universal",), ()),
    ("CC-BY-NC-SA-4.0", ("attribution noncommercial sharealike 4.0 international",), ()),
    ("CC-BY-NC-ND-4.0", ("attribution noncommercial noderivatives 4.0 international",), ()),
    ("CC-BY-NC-4.0", ("attribution noncommercial 4.0 international",), ()),
    ("CC-BY-ND-4.0", ("attribution noderivatives 4.0 international",), ()),
    ("CC-BY-SA-4.0", ("attribution sharealike 4.0 international",), ()),
    ("CC-BY-4.0", ("attribution 4.0 international",), ()),
    ("CC-BY-SA-3.0", ("attribution sharealike 3.0 unported",), ()),
    ("CC-BY-3.0", ("attribution 3.0 unported",), ()),
    ("BSD-4-Clause", (_BSD, "all advertising materials mentioning"), ()),
    ("BSD-3-Clause", (_BSD, "may be used to endorse or promote products"), ()),
    ("BSD-3-Clause", (_BSD, "neither the name"), ()),
    ("BSD-2-Clause", (_BSD, "must retain the above copyright notice"), ()),
    ("ISC", ("permission to use copy modify and or distribute this software for any purpose with "
             "or without fee is hereby granted provided that the above copyright notice",), ()),
    ("ISC", ("permission to use copy modify and distribute this software for any purpose with or "
             "without fee is hereby granted provided that the above copyright notice",), ()),
    ("0BSD", ("permission to use copy modify and or distribute this software for any purpose with "
              "or without fee is hereby granted",), ("provided that the above",)),
    ("MIT-0", ("permission is hereby granted free of charge to any person obtaining a copy",),
     ("the above copyright notice and this permission notice",)),
    ("MIT", ("permission is hereby granted free of charge to any person obtaining a copy",
             "the above copyright notice and this permission notice"), ("except as contained",)),
    ("Zlib", ("this software is provided as is without any express or implied warranty",
              "altered source versions must be plainly marked"), ()),
    ("WTFPL", ("do what the fuck you want to public license",), ()),
)  # fmt: skip


def _from_link(text: str) -> str | None:
    found = _CC_LINK.search(text)
    if found:
        if found[4]:
            return f"CC0-{found[5]}" if found[4] == "zero" else f"CC-PDM-{found[5]}"
        return _cc_id(found[1], found[2])
    return next((id_ for place, id_ in _PLACES if place in text), None)


def _creative_commons(text: str) -> str | None:
    found = _CC_NAME.match(text)
    if found:
        version = found[2]
        terms = re.sub(r"[ _-]", "-", found[1])
        return _cc_id(terms, version if not version or "." in version else f"{version}.0")
    words = _CC_WORDS.search(text)
    if not words:
        return None
    said = words[1].replace("-", "").replace(" ", "")
    terms = "by" + "".join(
        f"-{short}"
        for word, short in (("noncommercial", "nc"), ("noderiv", "nd"), ("sharealike", "sa"))
        if word in said
    )
    return _cc_id(terms, words[2])


def _cc_id(terms: str, version: str | None) -> str | None:
    """CC-TERMS-VERSION; without a version there is no SPDX id."""
    order = terms.upper().replace("NC-BY", "BY-NC").replace("SA-NC", "NC-SA")
    if order not in _CC_TERMS or version not in _VERSIONS:
        return None
    return f"CC-{order}-{version}"


def _gnu_id(family: str | None, version: str, ending: str) -> str | None:
    version = version if "." in version else f"{version}.0"
    name = f"{(family or '').upper()}GPL-{version}"
    found = f"{name}-{'or-later' if ending in ('+', '-or-later', ' or later') else 'only'}"
    return _BY_LOWER.get(found.lower())
