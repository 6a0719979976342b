"""The `gristmill` command: finds the verb, runs it, and turns errors into lines and exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

from gristmill import __version__
from gristmill.cli.interruption import Interruption
from gristmill.cli.talk import printable
from gristmill.cli.tree import COMMANDS, all_verbs
from gristmill.core.errors import EXIT_RETRY, EXIT_USER, GristmillError, disk_full
from gristmill.core.nearest import did_you_mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code.

    0 done; 2 the user's mistake, in one line; 75 stopped, and a later try goes on; 1 a defect.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with Interruption():
            return dispatch(arguments)
    except GristmillError as error:
        return _say(error.one_line(), error.exit_code)
    except KeyboardInterrupt:
        return _say(
            "stopped; run the same command again, it goes on from what is whole", EXIT_RETRY
        )
    except BrokenPipeError:
        # The reader of our output left (`| head`); what was still to print has no place to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PermissionError as error:
        if error.filename is None:
            raise
        return _say(
            f"{error.filename}: this user may not read or write it; "
            "change its permissions, or name another",
            EXIT_USER,
        )
    except OSError as error:
        if error.errno == errno.EROFS:
            return _say(
                f"{error.filename}: lies where nothing can be written (read-only); "
                "name another folder",
                EXIT_USER,
            )
        if disk_full(error):
            return _say("the disk is full; free some space and run again", EXIT_RETRY)
        raise


def dispatch(arguments: list[str]) -> int:
    """Calls the function of the verb that the arguments begin with."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview(arguments[1:] if arguments[:1] == ["help"] else []))
        return 0
    if arguments[0] in ("--version", "version"):
        print(f"gristmill {__version__}")
        return 0
    verbs = all_verbs()
    for length in (2, 1):
        verb = " ".join(arguments[:length])
        if verb in verbs and len(arguments) >= length:
            return _call(verb, arguments[length:])
    noun = arguments[0]
    below = [verb for verb in verbs if verb.startswith(noun + " ")]
    if below and (len(arguments) == 1 or arguments[1] in ("-h", "--help")):
        print(overview([noun]))
        return 0 if len(arguments) > 1 else EXIT_USER
    wanted = " ".join(arguments[:2]) if below else noun
    names = below or [*verbs, *{verb.split()[0] for verb in verbs}]
    raise GristmillError(f"no command '{wanted}'", mend=did_you_mean(wanted, names))


def overview(nouns: Sequence[str]) -> str:
    """The list of verbs, or of those of one noun."""
    verbs = all_verbs()
    if nouns:
        verbs = {verb: text for verb, text in verbs.items() if verb.split()[0] == nouns[0]}
    lines = [
        "gristmill builds a language model end to end, from raw web pages to an",
        "assistant.",
        "",
        "  gristmill quickstart                  the demo, at most 12 minutes on 2 cores",
        "  gristmill run own-text --data.import.path FOLDER",
        "  gristmill NOUN VERB --help            settings and an example of one verb",
        "  gristmill NOUN VERB --help NAME       one setting or group of them; all: all",
        "",
    ]
    alone = {verb: text for verb, text in verbs.items() if " " not in verb}
    for verb, text in alone.items():
        lines += _verb_lines(verb, text)
    lines.append("")
    for noun in dict.fromkeys(verb.split()[0] for verb in verbs if verb not in alone):
        for verb, text in verbs.items():
            if verb.startswith(noun + " "):
                lines += _verb_lines(verb, text)
        lines.append("")
    return "\n".join(lines).rstrip()


def _verb_lines(verb: str, text: str) -> list[str]:
    return textwrap.wrap(f"  {verb:<22} {text}", 80, subsequent_indent=" " * 25)


def _call(verb: str, rest: list[str]) -> int:
    if verb in COMMANDS:
        module, _, function = COMMANDS[verb][0].partition(":")
        return int(getattr(importlib.import_module(module), function)(rest))
    from gristmill.cli.stage import run_stage

    return run_stage(verb, rest)


def _say(line: str, code: int) -> int:
    line = f"gristmill: {printable(line)}"
    if sys.stderr.isatty():
        # A terminal would break the line within a word. A path stays whole, to be copied.
        width = max(20, shutil.get_terminal_size().columns - 1)
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    print(line, file=sys.stderr)
    return code
