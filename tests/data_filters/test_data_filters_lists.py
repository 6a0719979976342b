"""Lists of hosts and addresses: every spelling of a line and of a URL; the tables against sets."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.filters.blocklist import AddressRules, Blocklist
from gristmill.data.filters.hosts import HashTable, host_hash
from gristmill.data.filters.lists import bare_address, host_entries, plain_host


@pytest.mark.parametrize(
    ("line", "hosts"),
    [
        ("bad.example", ["bad.example"]),
        ("  Bad.Example. ", ["bad.example"]),
        ("*.bad.example", ["bad.example"]),
        ("https://bad.example/", ["bad.example"]),
        ("0.0.0.0 bad.example", ["bad.example"]),
        ("127.0.0.1\tone.example two.example # both", ["one.example", "two.example"]),
        ("::1 localhost ip6-localhost", []),
        ("||bad.example^", ["bad.example"]),
        ("||bad.example^$important,document", ["bad.example"]),
        ("10.1.2.3", ["10.1.2.3"]),
        ("bücher.example", ["xn--bcher-kva.example"]),
        ("! a comment", []),
        ("[Adblock Plus 2.0]", []),
        ("# a comment", []),
        ("", []),
    ],
)
def test_what_a_line_names(line: str, hosts: list[str]) -> None:
    assert host_entries(line) == hosts


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("bad.example/page", "a path"),
        ("||bad.example/ads^", "not all of|path"),
        ("||bad.example^$third-party", "some of a host"),
        ("@@||good.example^", "exception"),
        ("bad.example##.ad", "elements"),
        ("two words", "more than one word"),
        ("a..b", "not a host"),
        ("b@d.example", "not a host"),
        ("x" * 64 + ".example", "not a host"),
    ],
)
def test_a_bad_line_says_why(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        host_entries(line)


def own(tmp_path: Path, text: str, name: str = "mine.txt") -> Blocklist:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return Blocklist.read([], own=[path])


@pytest.mark.parametrize(
    "url",
    [
        "http://bad.example",
        "HTTPS://WWW.BAD.EXAMPLE./a?b#c",
        "http://user:pass@bad.example:8080/",
        "http://a.b.c.bad.example?x",
        "http://bad.example#x",
        "//bad.example/x".replace("//", "ftp://"),
        "http://bad%2Eexample/",
        "http://%62ad.example/",
        "http://bad。example/",
        "http://BÜCHER.example/",
        "http://xn--bcher-kva.example:80/",
        "http://good.example@bad.example/",
        "http://bad.example\\@good.example/",
        "http://b\tad.example/",
    ],
)
def test_spellings_of_a_listed_host(tmp_path: Path, url: str) -> None:
    found = own(tmp_path, "bad.example\nbücher.example\n").category(url)
    assert found in (("mine", "bad.example"), ("mine", "xn--bcher-kva.example"))


@pytest.mark.parametrize(
    "url",
    [
        "http://notbad.example/",
        "http://bad.example.org/",
        "http://example/bad.example",
        "http://good.example/?u=http://bad.example/",
        "http://bad.example@good.example/",
        "good.example/?u=http://bad.example/",
        "mailto:x@bad.example?u=http://bad.example/",
        "bad.example",
        "http:///bad.example",
        "http://[::1]/",
        "http://%zz/",
        "http://",
        "",
    ],
)
def test_other_hosts(tmp_path: Path, url: str) -> None:
    assert own(tmp_path, "bad.example\n").category(url) is None


def test_bad_lines_are_counted_and_the_others_hold(tmp_path: Path) -> None:
    text = "one.example\r\n\r\na b\r\n||two.example^\r\n@@||x.example^\r\n0.0.0.0 three.example"
    lists = own(tmp_path, text)
    (file,) = lists.files
    assert (file.entries, file.bad) == (3, 2)
    assert [(bad["line"], bad["sample"]) for bad in file.shown] == [
        ("3", "a b"),
        ("5", "@@||x.example^"),
    ]
    for host in ("one", "two", "three"):
        assert lists.category(f"http://{host}.example/") == ("mine", f"{host}.example")


def test_a_file_of_bad_lines_alone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"# hosts\n\xff\xfe\x00no\nalso not a host\n")
    with pytest.raises(GristmillError, match=r"mine.txt: no line names a host; line 2: "):
        Blocklist.read([], own=[tmp_path / "mine.txt"])
    with pytest.raises(GristmillError, match=r"lists.allowed: 'not a host' is no host"):
        Blocklist.read([], allowed=["not a host"])


def test_pieces_do_not_cut_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.data.filters.lists._PIECE", 37)
    hosts = [f"host{number}.example" for number in range(50)]
    lines = [host if i % 7 else f"||{host}^" for i, host in enumerate(hosts)]
    lines[33] = "not a host"
    path = tmp_path / "many.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    lists = Blocklist.read([], own=[path])
    assert [lists.category(f"http://{host}/") is None for host in hosts] == [
        i == 33 for i in range(50)
    ]
    assert lists.files[0].shown[0]["line"] == "34"


def test_a_list_that_is_no_gzip_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.gz").write_bytes(b"plain")
    with pytest.raises(GristmillError, match="cannot be read"):
        Blocklist.read([], own=[tmp_path / "mine.gz"])


def test_allowed_hosts_but_not_what_a_list_names_below_them(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("bad.example\nads.good.example\n", encoding="utf-8")
    lists = Blocklist.read(
        [], own=[tmp_path / "mine"], allowed=["fine.bad.example", "GOOD.example"]
    )
    assert lists.category("http://fine.bad.example/") is None
    assert lists.category("http://www.fine.bad.example/") is None
    assert lists.category("http://www.bad.example/") == ("mine", "bad.example")
    assert lists.category("http://ads.good.example/") == ("mine", "ads.good.example")
    with pytest.raises(GristmillError, match="no host"):
        Blocklist.read([], allowed=["a b"])


@pytest.fixture
def ut1(tmp_path: Path) -> Path:
    folder = tmp_path / "ut1" / "adult"
    folder.mkdir(parents=True)
    (folder / "domains").write_text("bad.example\n", encoding="utf-8")
    (folder / "urls").write_text(
        "Shared.example/~Bad\nhttp://www.other.example:80/a/\nfull.example/p?id=1\nno host/x\n",
        encoding="utf-8",
    )
    (folder / "expressions").write_text("(hot|cool)-pages\n[broken\n", encoding="utf-8")
    (tmp_path / "ut1" / "porn").symlink_to(folder, target_is_directory=True)
    return tmp_path / "ut1"


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://shared.example/~bad", "shared.example/~bad"),
        ("http://www2.shared.example/~bad/x.html", "shared.example/~bad"),
        ("http://u@shared.example:8080/~bad?x", "shared.example/~bad"),
        ("http://shared.example/~badly", None),
        ("http://shared.example/", None),
        ("http://sub.shared.example/~bad", None),
        ("https://other.example/a", "other.example/a"),
        ("https://other.example/a#b", "other.example/a"),
        ("https://full.example/p?id=1", "full.example/p?id=1"),
        ("https://full.example/p?id=12", None),
        ("https://full.example/p", None),
    ],
)
def test_listed_addresses_and_what_follows_them(ut1: Path, url: str, entry: str | None) -> None:
    found = Blocklist.read([ut1]).category(url)
    assert found == (entry and ("adult", entry))


def test_expressions_only_where_asked_for(ut1: Path) -> None:
    url = "http://x.example/HOT-pages/1"
    assert Blocklist.read([ut1]).category(url) is None
    lists = Blocklist.read([ut1], expressions=True)
    assert lists.category(url) == ("adult", "hot-pages (an expression)")
    assert {file.path.name: file.bad for file in lists.files} == {
        "domains": 0,
        "urls": 1,
        "expressions": 1,
    }
    # The second name of a category, a link, is not read again unless it is asked for.
    assert {file.name for file in lists.files} == {"adult"}
    assert Blocklist.read([ut1], ["porn"]).category("http://bad.example/") == (
        "porn",
        "bad.example",
    )


def test_hard_words_and_spellings_of_words() -> None:
    rules = AddressRules(
        Blocklist(), frozenset({"poker", "bonus", "größe"}), 2, frozenset({"malware"})
    )
    assert rules.verdicts(
        [
            "http://x.example/MALWARE.exe",
            "http://x.example/malwares",
            "http://x.example/poker/b%6Fnus",
            "http://x.example/poker_bonus",
            "http://x.example/gr%C3%B6%C3%9Fe-poker",
            "http://x.example/poker/poker",
            "http://mal-ware.example/",
        ]
    ) == {
        0: ("url.hard_words", "malware in the address"),
        2: ("url.soft_words", "bonus, poker in the address"),
        3: ("url.soft_words", "bonus, poker in the address"),
        4: ("url.soft_words", "größe, poker in the address"),
    }


def test_the_compiled_walk_says_what_sets_say(tmp_path: Path) -> None:
    r = random.Random(7)
    labels = ["a", "bb", "c-d", "x1", "www", "example", "org", "_s"]

    def host() -> str:
        return ".".join(r.choice(labels) for _ in range(r.randint(2, 5)))

    listed = {host() for _ in range(200)}
    (tmp_path / "mine").write_text("\n".join(sorted(listed)), encoding="utf-8")
    lists = Blocklist.read([], own=[tmp_path / "mine"])
    assert len(lists.hosts) == len(listed)
    hosts = [host() for _ in range(3000)]
    urls = [
        f"http://{r.choice(['', 'u@', 'u:p@'])}{h.upper() if r.random() < 0.3 else h}"
        f"{r.choice(['', '.', ':80', '.:80'])}{r.choice(['', '/', '/x?y', '?y', '#z'])}"
        for h in hosts
    ]
    found, _ = lists.listed(urls, None)
    for row, name in enumerate(hosts):
        parts = name.split(".")
        parents = [".".join(parts[i:]) for i in range(len(parts))]
        entry = next((parent for parent in parents if parent in listed), None)
        assert found.get(row) == (entry and ("mine", entry)), urls[row]
    assert 300 < len(found) < 2900


def test_the_first_of_two_lists_counts() -> None:
    keys = np.array([host_hash(h) for h in ("a.example", "b.example", "a.example")], np.uint64)
    table = HashTable.build(keys, np.array([3, 4, 5], np.uint16))
    assert len(table) == 2
    assert sorted(table.numbers[table.keys != 0].tolist()) == [3, 4]


def test_one_spelling() -> None:
    assert plain_host("BÜCHER.Example.") == "xn--bcher-kva.example"
    assert plain_host("a" * 254) is None and plain_host("") is None
    assert bare_address("HTTP://u@WWW3.Bad.example.:81/A/") == "bad.example/a"
    assert bare_address("www.example") == "example" and bare_address("www/x") == "www/x"
