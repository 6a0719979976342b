"""Progress bars with an estimate of the time left; plain lines where there is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Protocol, TypeVar

T = TypeVar("T")

_PLAIN_EVERY_S = 15.0


class Progress(Protocol):
    """What long work reports to: a total that may be unknown, and a note such as a loss."""

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        """`amount` more units are done."""

    def total(self, total: float) -> None:
        """The total became known, or changed."""

    def note(self, note: str) -> None:
        """A short text beside the bar."""

    def close(self) -> None:
        """The work ended; the bar's last state stays on the screen."""


class Silent:
    """Says nothing."""

    def advance(self, amount: float = 1.0, note: str | None = None) -> None: ...
    def total(self, total: float) -> None: ...
    def note(self, note: str) -> None: ...
    def close(self) -> None: ...


class PlainProgress:
    """One line every 15 seconds, for logs."""

    def __init__(self, title: str, total: float | None, unit: str):
        self._title, self._total, self._unit = title, total, unit
        self._done = 0.0
        self._note = ""
        self._start = self._last = time.monotonic()

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        self._done += amount
        if note is not None:
            self._note = note
        now = time.monotonic()
        if now - self._last >= _PLAIN_EVERY_S:
            self._last = now
            self._print(now)

    def total(self, total: float) -> None:
        self._total = total

    def note(self, note: str) -> None:
        self._note = note

    def close(self) -> None:
        if self._last != self._start:
            self._print(time.monotonic())

    def _print(self, now: float) -> None:
        spent = now - self._start
        line = f"  {self._title}: {self._done:,.0f}"
        if self._total:
            line += f" of {self._total:,.0f}"
        line += f" {self._unit}, {spent:.0f} s"
        if self._total and 0 < self._done < self._total:
            line += f", {spent * (self._total / self._done - 1):.0f} s left"
        if self._note:
            line += f"  {self._note}"
        print(line, file=sys.stderr, flush=True)


class RichProgress:
    """A bar on the terminal, its note on a line below; leaves both behind when it closes."""

    def __init__(self, title: str, total: float | None, unit: str):
        from rich.console import Console, RenderableType
        from rich.progress import Progress as Bars
        from rich.text import Text

        console = Console(stderr=True)

        class BarsAndNotes(Bars):
            # Columns of rich would each be cut a little where a terminal is narrow, the numbers
            # too.
            def get_renderables(self) -> Iterator[RenderableType]:
                for task in self.tasks:
                    spent, left = task.elapsed or 0.0, task.time_remaining
                    before, bar, after = progress_line(
                        str(task.description), task.completed, task.total, unit, spent, left,
                        console.width - 1,
                    )  # fmt: skip
                    share = min(1.0, task.completed / task.total) if task.total else 0.0
                    done = round(share * bar)
                    stroke = "━" if (console.encoding or "").startswith("utf") else "-"
                    line = Text(before, no_wrap=True, overflow="ellipsis")
                    line.append(stroke * done, style="bar.complete")
                    rest = " " if console.no_color or console.color_system is None else stroke
                    line.append(rest * (bar - done), style="bar.back")
                    line.append(after)
                    yield line
                    if task.fields["note"]:
                        yield Text(f"  {task.fields['note']}", no_wrap=True, overflow="ellipsis")

        self._bars = BarsAndNotes(console=console, refresh_per_second=4)
        self._bars.start()
        self._task = self._bars.add_task(title, total=total, note="")

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        if note is None:
            self._bars.update(self._task, advance=amount)
        else:
            self._bars.update(self._task, advance=amount, note=note)

    def total(self, total: float) -> None:
        self._bars.update(self._task, total=total)

    def note(self, note: str) -> None:
        self._bars.update(self._task, note=note)

    def close(self) -> None:
        self._bars.stop()


def progress_line(
    title: str,
    done: float,
    total: float | None,
    unit: str,
    spent: float,
    left: float | None,
    width: int,
) -> tuple[str, int, str]:
    """What stands before a bar, the bar's length and what stands after it, at most `width`
    characters together.

    Where there is less room the bar goes first, then the unit, the seconds spent, the end of the
    title; how much is done and the time left stay.
    """
    count = f"{done:,.0f}"
    last = ""
    if total:
        count = f"{count:>{len(f'{total:,.0f}')}}/{total:,.0f}"
        last = f"  {'-:--' if left is None else clock(left)} left" if done < total else ""
    spent_text, unit_text = f"  {clock(spent)}", f" {unit}" if unit else ""
    head = f"  {title:<18} "
    after = f"{count}{unit_text}{spent_text}{last}"
    room = width - len(head) - len(after) - 1
    if total and room >= 4:
        bar = min(16, room)
        return head, bar, f" {after}"
    for shorter in (after, f"{count}{spent_text}{last}", f"{count}{last}"):
        if len(head) + len(shorter) <= width:
            return head, 0, shorter
    room = max(0, width - len(shorter) - 3)
    return f"  {title[:room]} " if room else "", 0, shorter


def clock(seconds: float) -> str:
    """61 as 1:01; 3661 as 1:01:01."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def progress(title: str, total: float | None = None, unit: str = "") -> Progress:
    """A progress display for this place: a bar on a terminal, lines in a log, or nothing.

    GRISTMILL_PROGRESS=off silences it; =plain forces lines.
    """
    choice = os.environ.get("GRISTMILL_PROGRESS", "")
    if choice == "off":
        return Silent()
    if choice == "plain" or not sys.stderr.isatty():
        return PlainProgress(title, total, unit)
    return RichProgress(title, total, unit)


def say(sentence: str) -> None:
    """One line before or beside a progress display, such as where a run goes on from."""
    if os.environ.get("GRISTMILL_PROGRESS", "") != "off":
        # Not standard output: that is for results, which programs read.
        print(f"  {sentence}", file=sys.stderr, flush=True)


def track(
    items: Iterable[T], title: str, total: float | None = None, unit: str = ""
) -> Iterator[T]:
    """`items`, with progress shown while they are consumed."""
    if total is None and isinstance(items, Sized):
        total = float(len(items))
    bar = progress(title, total, unit)
    try:
        for item in items:
            yield item
            bar.advance()
    finally:
        bar.close()
