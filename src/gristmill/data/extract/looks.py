"""What encoding bytes look like that state none and are no UTF-8.

Browsers guess too, from the bytes and from the top-level domain. Each candidate is tried on the
words outside of ASCII, and is told by the letters that its languages use most: kana, frequent
ideographs and syllables, lower-case letters inside words. A guess needs clear evidence; without it
the caller's fallback holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_SAMPLE = 1 << 16
_MIN_LETTERS = 12
_NOT_ASCII = re.compile(rb"[\x80-\xff][\x21-\xff]*")
_ASCII_WORD = re.compile(rb"[A-Za-z]*[\x80-\xff][A-Za-z\x80-\xff]*")
_TAGS = re.compile(rb"<[^<>]{0,2000}>")

# The most frequent ideographs and syllables of running text, by language.
_CHINESE = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所"
    "然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日"
)
_CHINESE_BIG5 = frozenset(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所"
    "然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心本前開但因只從想實日"
)
_KOREAN = frozenset("이다는을의에가한고도로하은를지기그나서사자리라인으시아어스대있해과정일수")
_RUSSIAN = frozenset("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэф")
_ARABIC = frozenset("اليمونرتبةعدسفهكقحجشطصخذضغئءثظأإى")
_GREEK = frozenset("αοιετσνηυρπκμλωδγχθφβξζψςάέίόύήώ")
_HEBREW = frozenset("יוהלאתמרבשנעדקחפכגטצזסםןךףץ")
_POLISH_CZECH = frozenset("ąćęłńśźżáčďéěíňóřšťúůýžőűăâîșț")
_WESTERN = frozenset("äöüßéèêëàâçñóíáúôûîïãõåøæ")


def _share(letters: frozenset[str]) -> Callable[[str], float]:
    def share(text: str) -> float:
        outside = [sign for sign in text if sign > "\x7f"]
        return sum(sign in letters for sign in outside) / len(outside) if outside else 0.0

    return share


def _kana(text: str) -> float:
    outside = [sign for sign in text if sign > "\x7f"]
    # Half-width katakana are what other encodings turn into.
    kana = sum("\u3041" <= sign <= "\u30ff" for sign in outside)
    return kana / len(outside) if outside else 0.0


# (encoding, how much of the text outside of ASCII is what its languages use, how much is enough).
_WIDE: tuple[tuple[str, Callable[[str], float], float], ...] = (
    ("cp932", _kana, 0.3),
    ("euc_jp", _kana, 0.3),
    ("gb18030", _share(_CHINESE), 0.12),
    ("big5hkscs", _share(_CHINESE_BIG5), 0.12),
    ("cp949", _share(_KOREAN), 0.2),
)
_NARROW: tuple[tuple[str, Callable[[str], float], float], ...] = (
    ("cp1251", _share(_RUSSIAN), 0.8),
    ("koi8-r", _share(_RUSSIAN), 0.8),
    ("iso8859-5", _share(_RUSSIAN), 0.8),
    ("cp866", _share(_RUSSIAN), 0.8),
    ("cp1256", _share(_ARABIC), 0.8),
    ("cp1253", _share(_GREEK), 0.8),
    ("cp1255", _share(_HEBREW), 0.8),
)
_LATIN: tuple[tuple[str, Callable[[str], float], float], ...] = (
    ("cp1252", _share(_WESTERN), 0.6),
    ("cp1250", _share(_POLISH_CZECH), 0.6),
    ("iso8859-2", _share(_POLISH_CZECH), 0.6),
)


def escapes_to_japanese(html: bytes) -> bool:
    """Whether bytes of ASCII alone are ISO-2022-JP."""
    # One byte is looked for a hundred times as fast as three.
    return b"\x1b" in html and (b"\x1b$B" in html or b"\x1b$@" in html)


def looks_like(html: bytes) -> str | None:
    """Python's name of the encoding, None where nothing speaks clearly for one."""
    text = _TAGS.sub(b" ", html[:_SAMPLE])
    runs = b" ".join(_NOT_ASCII.findall(text))
    if len(runs) >= 2 * _MIN_LETTERS:
        found = _best(runs, _WIDE)
        if found:
            return found
    words = b" ".join(_ASCII_WORD.findall(text))
    outside = sum(byte > 0x7F for byte in words)
    if outside < _MIN_LETTERS:
        return None
    # Words of other scripts have no letters of ASCII in them, western words have mostly these.
    found = _best(words, _NARROW if outside > 0.6 * len(words) else _LATIN)
    return None if found == "cp1252" else found


def _best(
    sample: bytes, candidates: tuple[tuple[str, Callable[[str], float], float], ...]
) -> str | None:
    best, most = None, 0.0
    for encoding, share, enough in candidates:
        text = sample.decode(encoding, "replace")
        # Cut runs end inside a character; a wrong encoding meets impossible bytes all over.
        if text.count("\ufffd") * 50 > len(text):
            continue
        found = share(text)
        if found >= enough and found > most:
            best, most = encoding, found
    return best
