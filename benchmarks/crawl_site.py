"""A site of invented pages, served from memory on loopback: what the crawl benchmark asks for.

    python benchmarks/crawl_site.py PAGES

prints its port and serves until its standard input closes. Page n of N stands at `/n/`, the first
at `/`; every page can be reached from it. A page is about 8 kB, with a menu, a text and some forty
links: to its four children in a tree, to neighbours, to pages anywhere, and to itself.
"""

from __future__ import annotations

import asyncio
import random
import sys

_SYLLABLES = "ka lo mi ren ta so vel dur na pe ish or an gu the lin mar os et qua".split()
_BRANCHES, _ANYWHERE, _MENU, _WORDS = 4, 12, 20, 900


def site(pages: int) -> dict[bytes, bytes]:
    """Request target to a whole HTTP answer."""
    chance = random.Random(17)
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(4000)]
    answers = {b"/robots.txt": _answer("User-agent: *\nDisallow: /private/\n", "text/plain")}
    menu = "".join(f'<li><a href="{_path(n)}">{words[n]}</a></li>\n' for n in range(_MENU))
    for number in range(pages):
        answers[_path(number).encode()] = _answer(_page(number, pages, menu, words, chance))
    return answers


def _path(number: int) -> str:
    return f"/{number}/" if number else "/"


def _page(number: int, pages: int, menu: str, words: list[str], chance: random.Random) -> str:
    text = chance.choices(words, k=_WORDS)
    children = range(number * _BRANCHES + 1, number * _BRANCHES + _BRANCHES + 1)
    near = (number - 2, number - 1, number + 1, number + 2)
    targets = [n for n in (*children, *near) if 0 <= n < pages]
    targets += [chance.randrange(pages) for _ in range(_ANYWHERE)]
    paragraphs = []
    step = _WORDS // (len(targets) + 1)
    for place, target in enumerate(targets):
        run = text[place * step : (place + 1) * step]
        link = f'<a href="{_path(target)}" title="{run[0]}">{run[1]} {run[2]}</a>'
        paragraphs.append(f"<p>{' '.join(run[3:])} {link}.</p>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text[0]}</title>\n'
        '<link rel="stylesheet" href="/style.css"><script>var a = "<a href=/no>";</script></head>\n'
        f'<body><a href="#main">to the text</a><nav><ul>{menu}</ul></nav><main id="main">'
        f"<h1>{text[0]} {text[1]}</h1>{''.join(paragraphs)}</main></body></html>"
    )


def _answer(text: str, kind: str = "text/html; charset=utf-8", status: str = "200 OK") -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Server(asyncio.Protocol):
    """One connection: requests without bodies, answered in order, kept open."""

    def __init__(self, answers: dict[bytes, bytes]):
        self._answers, self._rest = answers, b""
        self._missing = _answer("gone", status="404 Not Found")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            target = self._rest[: self._rest.find(b"\r\n")].split(b" ")[1]
            self._rest = self._rest[end + 4 :]
            self._transport.write(self._answers.get(target, self._missing))


async def _serve(pages: int) -> None:
    answers = site(pages)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(answers), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
