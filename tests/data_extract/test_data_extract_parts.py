"""How a crawl's pages are cut into parts."""

from gristmill.data.extract.intake import in_parts
from gristmill.data.extract.stored import StoredPage


def page(name: str, length: int | None) -> StoredPage:
    return StoredPage(name, 200, "text/html", "a.warc.gz", 0, length=length)


def cut(lengths: list[int | None], most: int, most_bytes: int) -> list[list[int | None]]:
    pages = [page(f"https://a.example/{n}", length) for n, length in enumerate(lengths)]
    parts = list(in_parts(pages, most, most_bytes))
    assert [one for part in parts for one in part] == pages
    return [[one.length for one in part] for part in parts]


def test_a_part_ends_at_so_many_pages_or_bytes() -> None:
    assert cut([1] * 7, 3, 100) == [[1, 1, 1], [1, 1, 1], [1]]
    assert cut([40, 40, 20, 1, 99, 2], 3, 100) == [[40, 40, 20], [1, 99], [2]]


def test_a_page_that_is_longer_stands_alone() -> None:
    assert cut([5, 1000, 5, 5], 10, 100) == [[5], [1000], [5, 5]]
    assert cut([1000, 1000], 10, 100) == [[1000], [1000]]


def test_unknown_lengths_count_nothing_and_no_page_makes_no_part() -> None:
    assert cut([None] * 4, 3, 1) == [[None] * 3, [None]]
    assert cut([], 3, 1) == []
