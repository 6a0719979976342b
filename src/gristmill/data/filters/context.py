"""A second look at the few texts that a word list would drop: in which sense do the words stand?

Density alone drops honest texts that a list's makers did not mean: an article about contraception,
a court's judgement, the life of a man called Dick. So the matches of such a text are read again and
two kinds of them no longer count: terms, the plain words of medicine, law, biology and of groups of
people (blocklists that take them for insults remove whole minorities' texts: Dodge et al. 2021,
"Documenting large webtext corpora", section 5), and names, written with a capital inside a
sentence of small letters. Coarse words count as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gristmill.data.filters.characters import core
from gristmill.data.filters.checks import Check
from gristmill.data.filters.lexicon import PREFIX_BIT, Lexicon, extend, hash_text

# Words that have no plainer synonym, as a doctor, a judge, a teacher or an encyclopaedia writes
# them. A phrase is a term where all of its words are.
TERMS: Final = frozenset(
    """
    anal anus areola asexual asexuality bestiality bisexual bisexuality bondage breast breasts
    brothel clitoral clitoris coital coitus condom condoms contraceptive copulate copulation
    dominatrix ejaculate ejaculated ejaculation erect erection erotic erotica eroticism fellatio
    cunnilingus fetish fetishes fetishism foreskin gay gays genital genitalia genitals gonad
    heterosexual heterosexuality homosexual homosexuality incest incestuous intercourse intersex
    kinky labia lesbian lesbians libido lust masturbate masturbating masturbation menstrual
    menstruation naked necrophilia nipple nipples nude nudes nudity oral orgasm orgasms orgy
    paedophile pedophile paedophilia pedophilia penile penis penises pornographic pornography
    prostate prostitute prostitutes prostitution pubic queer rape raped rapes raping rapist rapists
    rectal rectum sadism masochism sadomasochism s&m bdsm scrotum semen sex sexes sexology sexual
    sexuality sexually sodomy sperm spermicide stimulation testes testicle testicles testicular
    transgender transsexual undressing urethra urine uterine uterus vagina vaginal vulva vulvar
    voyeur voyeurism
    aids alcohol black blacks christian christians disabled execution jew jewish jews kill killed
    muslim muslims negro suicide terrorism terrorist white whites weapon weapons
    """.split()
)
# A name's neighbours: so many of two on each side are in small letters.
_SMALL_NEIGHBOURS: Final = 2


def second_look(
    checks: Sequence[Check],
    texts: Sequence[str],
    lexicon: Lexicon,
    category: str,
    *,
    words: Sequence[int],
    least: int,
) -> list[Check]:
    """The checks of a word list, failing only where coarse words alone still reach their limits.

    words: of each text. least: so many matches are needed at all.
    """
    bit = 1 << lexicon.categories.index(category)
    out = []
    for check in checks:
        failed = check.failed.copy()
        for row in np.flatnonzero(check.failed).tolist():
            matches, covered = coarse_matches(texts[row], lexicon, bit)
            failed[row] = matches >= least and covered > check.limit * words[row]
        out.append(replace(check, failed=failed))
    return out


def coarse_matches(text: str, lexicon: Lexicon, bit: int) -> tuple[int, int]:
    """How many phrases of the category stand in a text that are neither terms nor names, and how
    many words they cover together; the longest phrase at each place."""
    tokens = text.split()
    cores = [core(token) for token in tokens]
    place = matches = covered = 0
    while place < len(tokens):
        end = _longest(cores, place, lexicon, bit)
        if end == place:
            place += 1
            continue
        if not (all(word in TERMS for word in cores[place:end] if word)) and not (
            end == place + 1 and _is_name(tokens, place)
        ):
            matches += 1
            covered += end - place
        place = end
    return matches, covered


def _longest(cores: Sequence[str], place: int, lexicon: Lexicon, bit: int) -> int:
    """Where the longest phrase that begins at `place` ends; `place` where none does."""
    state, found, end = 0, place, place
    while end < len(cores):
        if cores[end]:
            state = extend(state, hash_text(cores[end]))
            value = lexicon.find(state)
            if value & bit:
                found = end + 1
            if not value & PREFIX_BIT:
                break
        elif end == place:
            break
        end += 1
    return found


def _is_name(tokens: Sequence[str], place: int) -> bool:
    """Whether a word bears a capital that neither a sentence's beginning nor a title explains."""
    if not _capital(tokens[place]) or place == 0 or tokens[place - 1][-1] in ".!?:":
        return False
    beside = [*tokens[max(0, place - 2) : place], *tokens[place + 1 : place + 3]]
    return sum(token[0].islower() for token in beside) >= _SMALL_NEIGHBOURS


def _capital(token: str) -> bool:
    letters = [c for c in token if c.isalpha()]
    return len(letters) > 1 and letters[0].isupper() and not letters[1].isupper()
