"""A tokenizer from whatever holds one: a folder, an artifact, `tokenizer.json`, `.tiktoken`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.formats import RANKS, TOKENIZER_JSON
from gristmill.tokenizer.patterns import Pattern
from gristmill.tokenizer.tiktoken_file import read_tiktoken
from gristmill.tokenizer.tokenizer import Tokenizer

# Ranks by what their files are called: the pattern, which such a file does not say.
_PATTERNS = {
    "cl100k_base": "cl100k",
    "o200k_base": "o200k",
    "p50k_base": "gpt2",
    "r50k_base": "gpt2",
    "gpt2": "gpt2",
}
_ARTIFACT = re.compile(r"tokenizer\.(?P<verb>[a-z]+)-(?P<key>[0-9a-f]{4})[0-9a-f]{8}")


def open_tokenizer(path: Path | str, pattern: str | None = None) -> Tokenizer:
    """The tokenizer at a path. pattern: how text is cut, for a `.tiktoken` file that is not known
    by its name and has no `tokenizer.json` beside it. Raises GristmillError."""
    path = Path(path)
    if not path.exists():
        raise GristmillError("no tokenizer here", where=path, mend="give a folder or a file")
    if path.is_dir():
        ranks = path / RANKS
        if not (path / TOKENIZER_JSON).is_file() and ranks.is_file():
            return open_tokenizer(ranks, pattern)
        return Tokenizer.load(path)
    if path.suffix == ".tiktoken":
        return _ranks(path, pattern)
    if path.suffix == ".gguf":
        raise GristmillError(
            "a GGUF file is a whole model",
            where=path,
            mend="gristmill tokenizer import --path FILE first, then give its folder",
        )
    return Tokenizer.load(path)


def short_names(paths: Sequence[Path | str]) -> list[str]:
    """What to call the tokenizers at these paths: their folders' or files' names, each once.

    An artifact's name is shortened to its verb and the beginning of its key.
    """
    names: list[str] = []
    for path in map(Path, paths):
        own = path.stem if path.suffix == ".tiktoken" and path.name != RANKS else path.name
        if path.name in (TOKENIZER_JSON, RANKS):
            own = path.absolute().parent.name
        if artifact := _ARTIFACT.fullmatch(own):
            own = f"{artifact['verb']}-{artifact['key']}"
        name, number = own, 2
        while name in names:
            name, number = f"{own} {number}", number + 1
        names.append(name)
    return names


def _ranks(path: Path, pattern: str | None) -> Tokenizer:
    if pattern is None and path.name == RANKS and (path.parent / TOKENIZER_JSON).is_file():
        return Tokenizer.load(path.parent)
    chosen = pattern or _PATTERNS.get(path.stem)
    if chosen is None or chosen not in get_args(Pattern):
        raise GristmillError(
            "a .tiktoken file does not say how text is cut before it is merged"
            if chosen is None
            else f"the pre-tokenizer '{chosen}' is not known here",
            where=path,
            mend=f"give --pattern, one of {', '.join(get_args(Pattern))}",
        )
    return Tokenizer(read_tiktoken(path, chosen))
