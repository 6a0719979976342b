"""The printable alphabet in which byte-level BPE spells tokens: one character for each byte.

Radford et al. 2019 (GPT-2), whose files and all that followed spell tokens so.
"""

from __future__ import annotations


def spell(token: bytes) -> str:
    """A token in the printable alphabet of GPT-2: one character for each byte."""
    return "".join(_BYTE_LETTERS[byte] for byte in token)


def unspell(word: str) -> bytes:
    """The inverse of `spell`. Raises KeyError for a character that is not in the alphabet."""
    return bytes(_LETTER_BYTES[letter] for letter in word)


def _byte_letters() -> list[str]:
    """Printable Latin-1 stands for itself, the other bytes for the characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    letters = {byte: chr(byte) for byte in printable}
    letters.update((byte, chr(0x100 + n)) for n, byte in enumerate(others))
    return [letters[byte] for byte in range(256)]


_BYTE_LETTERS = _byte_letters()
_LETTER_BYTES = {letter: byte for byte, letter in enumerate(_BYTE_LETTERS)}
