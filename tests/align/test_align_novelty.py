"""How much of a text stands in another: against brute force, and by hand."""

import random

import pytest

from gristmill.align.novelty import Compared, Earlier, distinct_share, longest_shared_run, words_of


def longest_by_hand(left: list[str], right: list[str]) -> int:
    best = 0
    for i in range(len(left)):
        for j in range(len(right)):
            k = 0
            while i + k < len(left) and j + k < len(right) and left[i + k] == right[j + k]:
                k += 1
            best = max(best, k)
    return best


def test_the_longest_shared_run_is_that_of_brute_force() -> None:
    r = random.Random(3)
    for _ in range(150):
        few = r.choice((2, 5, 40))
        left = [f"w{r.randrange(few)}" for _ in range(r.randrange(1, 30))]
        right = [f"w{r.randrange(few)}" for _ in range(r.randrange(1, 30))]
        if r.random() < 0.3:
            right[len(right) // 2 :] = left[: r.randrange(1, len(left) + 1)]
        found = longest_shared_run(words_of(" ".join(left)), words_of(" ".join(right)))
        assert found == longest_by_hand(left, right)
    assert longest_shared_run(words_of(""), words_of("a b")) == 0


def test_likeness_is_that_of_the_answer_to_its_seed() -> None:
    seed = " ".join(f"word{n}" for n in range(40))
    compared = Compared(seed)
    whole = compared.likeness(seed.upper().replace(" ", ",\n"))
    assert (whole.copied, whole.run, whole.jaccard) == (1.0, 40, 1.0)
    # Ten words of the seed hold 3 of its 8-grams; the text has 30 words, so 23 8-grams.
    some = " ".join([*(f"own{n}" for n in range(20)), *(f"word{n}" for n in range(10))])
    found = compared.likeness(some)
    assert found.copied == pytest.approx(3 / 23) and found.run == 10
    # 6 shared 5-grams of 26 and 36.
    assert found.jaccard == pytest.approx(6 / (26 + 36 - 6))
    assert compared.likeness("quite another text") == type(found)(0.0, 0, 0.0)


def test_a_text_that_goes_in_circles_has_few_distinct_runs() -> None:
    assert distinct_share("the cat sat on the mat and " * 20) < 0.1
    assert distinct_share(" ".join(f"w{n}" for n in range(50))) == 1.0
    assert distinct_share("short") == 1.0


def test_near_duplicates_of_what_was_kept_are_found() -> None:
    r = random.Random(0)
    texts = [" ".join(f"w{r.randrange(500)}" for _ in range(120)) for _ in range(30)]
    earlier = Earlier(0.8)
    assert not earlier.like(texts[0])
    earlier.add(texts[:20])
    for text in texts[:20]:
        words = text.split()
        words[60] = "changed"
        assert earlier.like(" ".join(words))
    assert not any(earlier.like(text) for text in texts[20:])
