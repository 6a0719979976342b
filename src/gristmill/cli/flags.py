"""Flags into settings: `--data.filter.min_words 20` is the YAML key of that name.

Not argparse or tyro: a recipe's flags are the keys of whatever stages it holds, and a flag must
meet the same check, and the same error, as the key in the file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.settings import parse_value


@dataclass
class Flags:
    """What stood on a command line: words, frame options, and settings by dotted key."""

    words: list[str] = field(default_factory=list)
    options: dict[str, str | bool] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def text(self, name: str, default: str) -> str:
        """An option's text. Raises GristmillError where the option has no value."""
        value = self.options.get(name, default)
        if isinstance(value, bool):
            raise GristmillError("needs a value", where=f"--{name}")
        return value

    def number(self, name: str, default: int) -> int:
        """An option's whole number. Raises GristmillError where it is none."""
        value = self.text(name, str(default))
        try:
            return int(value)
        except ValueError:
            raise GristmillError(
                "must be a whole number", where=f"--{name}", mend=f"it is {value!r}"
            ) from None

    def on(self, name: str) -> bool:
        """Whether a switch was given."""
        return self.options.get(name) not in (None, False)

    def given_text(self, example: str) -> str:
        """The words, or the text of `--file`, or what is piped in (also by the word `-`).

        Raises GristmillError for a file that cannot be read, for two texts, and for none, when
        `example` is the mend.
        """
        if "file" in self.options:
            if self.words:
                raise GristmillError("a text and a file are one too many", where="--file")
            path = Path(self.text("file", ""))
            try:
                return path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise GristmillError(
                    "cannot be read", where=path, mend=str(error.strerror)
                ) from None
        if self.words and self.words != ["-"]:
            return " ".join(self.words)
        waits = not self.words and sys.stdin.isatty()
        text = "" if waits else sys.stdin.buffer.read().decode("utf-8", "replace")
        if not text:
            raise GristmillError("no text is given", mend=example)
        return text

    def write_html(self, page: str) -> None:
        """Writes a page to `--html` and, but for `--json`, prints where. Raises GristmillError."""
        path = Path(self.text("html", ""))
        try:
            path.write_text(page, encoding="utf-8", errors="replace")
        except OSError as error:
            raise GristmillError(
                "cannot be written", where=path, mend=str(error.strerror)
            ) from None
        if not self.on("json"):
            print(path)


def parse_flags(
    arguments: Sequence[str],
    *,
    options: Sequence[str],
    switches: Sequence[str],
    settings: bool = True,
) -> Flags:
    """Sorts arguments into words, options (with a value), switches and settings.

    Raises GristmillError for an unknown flag where `settings` are not taken, and for a value
    that is missing.
    """
    found = Flags()
    rest = list(arguments)
    while rest:
        item = rest.pop(0)
        if not item.startswith("--") or item == "--":
            if item.startswith("-") and item not in ("-", "-h", "--"):
                raise GristmillError(f"unknown flag '{item}'", mend="flags begin with two dashes")
            found.words.append(item)
            continue
        name, equals, inline = item[2:].partition("=")
        known = name.replace("-", "_").replace("_", "-")
        if known in switches:
            if equals and known == "help":
                rest.insert(0, inline)
            elif equals:
                raise GristmillError("takes no value", where=f"--{name}")
            found.options[known] = True
            continue
        if known not in options and not settings:
            raise GristmillError(
                f"unknown flag '--{name}'",
                mend=nearest_flag(name, [*options, *switches]),
            )
        value: str | bool
        if equals:
            value = inline
        elif rest and not _is_flag(rest[0]):
            value = rest.pop(0)
        else:
            value = True
        if known in options:
            if value is True:
                raise GristmillError("needs a value", where=f"--{name}")
            found.options[known] = value
        else:
            found.settings[name] = True if value is True else parse_value(str(value))
    return found


def nearest_flag(name: str, known: Sequence[str]) -> str:
    """`did_you_mean` of flags; two dashes make no two names alike."""
    near = did_you_mean(name, known)
    if near.startswith("did you mean"):
        return near.replace("'", "'--", 1)
    return f"valid here: {', '.join(f'--{one}' for one in sorted(known))}"


def _is_flag(text: str) -> bool:
    return text.startswith("--")
