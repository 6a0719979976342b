"""Invented texts around the real ones: chatter, goods, stuffing, boilerplate, nonsense words.

Everything that is poor on the demo's web is written here; nothing real is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from gristmill.data.sample_web.personal import FIRST_NAMES, TOWNS

# The demo's adult and toxic words: nonsense, so that no real word stands in the repository.
# The last dozen also stand inside honest words (puberty, territory, Sussex, ...).
WORDS = (
    "glorbex", "snivvart", "frumbolt", "zkarna", "plixor", "vorpuda", "drimmox", "quaffle",
    "brelkin", "yoxxer", "splurga", "krindle", "mofwit", "trazzle", "grumpiss", "shlonk",
    "bavoodle", "fnarr", "wobbax", "druvel", "pligglet", "smoorch", "hexxie", "crudvark",
    "nobbleth", "tworpe", "gazzit", "floomie", "skrunt", "jigglix", "murfle", "tarnock",
    "bludgit", "vexxen", "oonzie", "pormak", "rumpix", "slagmire", "dweebor", "kretzel",
    "scumbrix", "zoggin", "ubert", "aginal", "yphil", "enstru", "itori", "ussex", "eproduc",
    "erotik", "onorrh", "ondomo", "asturb", "ntercour",
)  # fmt: skip

_REACTIONS = (
    "lol that is so true", "wow did not know that", "thx for posting", "this made my day haha",
    "not sure I agree with you there", "first!!", "same here, same here", "can confirm",
    "you have got to be kidding me", "my cousin said the exact opposite", "+1 from me",
    "no idea tbh", "source please?", "I was about to post the same thing", "nice one mate",
    "went down the rabbit hole on this last night", "ok but who asked", "good point imo",
)  # fmt: skip
_OPENINGS = (
    "so I was looking at {t} the other day and", "does anyone here know more about {t} because",
    "sorry if this was asked before but {t} keeps coming up and", "hi all, newbie here, I got "
    "into {t} last week and", "random thought about {t} but", "ok hear me out on {t} because",
    "my teacher keeps going on about {t} and", "saw a thing on tv about {t} last night and",
)  # fmt: skip
_MIDDLES = (
    "I honestly can't tell if it is worth the trouble", "everybody says something different lol",
    "I have like three days to write something about it", "my brother thinks I am wasting my time",
    "the video I watched was way too long so I gave up", "now I can't stop thinking about it",
    "there has to be a simpler way to get it right", "I don't want to read a whole book for it",
    "half the links people gave me are dead already", "it is driving me crazy at this point",
)  # fmt: skip
_CLOSINGS = (
    "any tips??", "pls help", "what do you guys think", "cheers", "sorry for the long rant",
    "let me know in the replies", "thx in advance", "am I the only one", "peace", "edit: typo",
)  # fmt: skip
_ADVICE = (
    "just ask around in the {w} section, somebody there will sort you out",
    "I tried that in {town} once and it was a total disaster, would not do it again",
    "you should really calm down about it, it is just {t} after all",
    "had the same question last year and never got an answer, so good luck with that",
    "try turning it off and on again, works for me every single time, not even joking",
    "my gran knows all about {t}, she says forget what you read online",
    "ppl on here will tell you anything, don't trust a word of it, me included",
    "moved to {town} for a job and nobody there had heard of {t}, weird right",
    "I would pay good money for somebody to explain {t} in plain words tbh",
)


def post(r: random.Random, title: str, opening: bool) -> str:
    """What a visitor of a forum writes, in that tone."""
    if opening:
        parts = [r.choice(_OPENINGS).format(t=title) + " " + r.choice(_MIDDLES)]
        parts += [r.choice(_MIDDLES) + ".", r.choice(_CLOSINGS)]
        return ", ".join(parts[:2]) + " " + parts[2]
    choices = [r.choice(_REACTIONS)]
    for _ in range(r.randint(0, 2)):
        choices.append(
            r.choice(_ADVICE).format(
                t=title,
                town=r.choice(TOWNS),
                w=r.choice(("off-topic", "beginners", "help", "chat")),
            )
        )
    r.shuffle(choices)
    return ". ".join(choices)


def comment(r: random.Random, title: str) -> tuple[str, str]:
    """A visitor's name and what is written under an article."""
    name = r.choice(FIRST_NAMES) + r.choice(("", "", "_", " ")) + str(r.randint(1, 99))
    return name, r.choice(r.choice((_REACTIONS, _CLOSINGS, _MIDDLES)))


_MATERIALS = ("matt paper", "canvas", "brushed metal", "oak veneer", "recycled card", "heavy silk")
_SELL = (
    "Brighten up your home with our {m} print of {t}.",
    "Our best-selling {t} poster is back in stock, now on {m}!",
    "The perfect gift for every fan of {t}, printed on {m} in our own workshop.",
    "Looking for something special? This {t} wall print on {m} will turn heads.",
)
_PROMISES = (
    "Order before noon and we ship the same day.", "Frame not included.", "Easy returns within "
    "thirty days, no questions asked.", "Buy two and save fifteen per cent at checkout.",
    "Colours may differ slightly from the picture on your screen.", "Only {n} left at this price!",
    "Rated {s} out of 5 by our happy customers.", "Free delivery on orders over {n} euros.",
    "Add a gift card for just {n} more.", "Wipe clean with a dry cloth only.",
    "Pick up in our {town} store or have it sent to your door.", "Now {n} per cent off!",
)  # fmt: skip


def product(r: random.Random, title: str) -> list[str]:
    """A shop's words for a poster, as two paragraphs."""

    def fill(text: str) -> str:
        return text.format(
            m=r.choice(_MATERIALS), t=title, n=r.randint(3, 60), s=f"4.{r.randint(0, 9)}",
            town=r.choice(TOWNS),
        )  # fmt: skip

    promises = [fill(text) for text in r.sample(_PROMISES, r.randint(4, 7))]
    return [fill(r.choice(_SELL)) + " " + " ".join(promises[:2]), " ".join(promises[2:])]


_BAIT = (
    "You will not believe number {n}!", "Experts hate this one simple list.", "Wait until you see "
    "what comes next!", "Number {n} left us speechless.", "Share it before they take it down!",
    "Most people only know half of these.", "We could not stop laughing at number {n}.",
)  # fmt: skip
_ENTRY = (
    "{i}. {t}. Yes, really: {t} made our list, and for good reason!",
    "{i}. {t}. Nobody saw this coming, but here we are.",
    "{i}. {t}. If you only remember one thing from this list, make it {t}.",
    "{i}. {t}. Our readers voted for it {v} times, so it must be good.",
    "{i}. {t}. Love it or hate it, {t} is everywhere right now.",
    "{i}. {t}. Click the arrow to see why everyone is talking about it.",
)


def listicle(r: random.Random, subject: str, titles: Sequence[str]) -> list[str]:
    """A content farm's list of things, one entry for each title."""
    n = len(titles)
    lines = [f"{n} amazing things about {subject}. " + r.choice(_BAIT).format(n=r.randint(2, n))]
    for i, title in enumerate(titles, 1):
        lines.append(r.choice(_ENTRY).format(i=i, t=title, v=r.randint(100, 9999)))
        if r.random() < 0.3:
            lines.append(r.choice(_BAIT).format(n=r.randint(2, n)))
    return lines


GOODS = (
    "watches", "loans", "pills", "ringtones", "diplomas", "handbags", "sneakers", "insurance",
    "followers", "mattresses", "software keys", "flights", "toner", "sunglasses", "supplements",
)  # fmt: skip
_CHEAP = ("cheap", "best price", "discount", "buy", "online", "free", "top", "no prescription")


def spam(r: random.Random, vocabulary: Sequence[str]) -> tuple[str, list[str]]:
    """A title and stuffed paragraphs: repeated keywords, word salad, or one sentence over and over.

    vocabulary: words for the salad.
    """
    goods = r.choice(GOODS)
    style = r.randrange(4)
    if style == 0:
        phrases = [f"{r.choice(_CHEAP)} {goods} {r.choice(_CHEAP)}" for _ in range(5)]
        lines = [", ".join(r.choice(phrases) for _ in range(r.randint(25, 60))) for _ in range(3)]
    elif style == 1:
        lines = [" ".join(r.choice(vocabulary) for _ in range(r.randint(60, 140))) for _ in "ab"]
        lines.append(" ".join([f"{r.choice(_CHEAP)} {goods}"] * r.randint(8, 20)))
    elif style == 2:
        line = f"Buy {goods} online today at the best price and save big on {goods}!"
        lines = [line] * r.randint(12, 30)
    else:
        towns = r.sample(TOWNS, 6)
        lines = [
            f"{goods} in {town}, {goods} near {town}, {goods} {town} cheap, best {goods} {town}, "
            f"{town} {goods} discount, {goods} {town} {r.choice(_CHEAP)}"
            for town in towns
        ]
    return (
        f"{r.choice(_CHEAP).title()} {goods} - {r.choice(_CHEAP)} {goods} {r.randint(1, 999)}",
        lines,
    )


_ADULT_SENTENCES = (
    "Watch the {a} {b} with every {c} in town tonight.",
    "You {a}, you {b} piece of {c}, go back to where you came from.",
    "Our {a} girls and {b} boys wait for your {c} call.",
    "Only a {a} would say that, shut up you {b} {c}.",
    "New {a} clips every day: {b}, {c} and much more.",
    "All of them are {a} and {b}, every last {c} of them.",
    "Hot {a} {b} pictures, click here for the {c} gallery.",
    "I hope you {a} in a ditch, stupid {b}, nobody likes a {c}.",
)


def adult(r: random.Random) -> list[str]:
    """Paragraphs stuffed with the invented words, in both senses: adult and toxic."""
    paragraphs = []
    for _ in range(r.randint(2, 4)):
        lines = []
        for _ in range(r.randint(3, 5)):
            a, b, c = r.sample(WORDS, 3)
            style = r.random()
            if style < 0.15:
                a = a.upper()
            elif style < 0.3:
                b = b + "s"
            lines.append(r.choice(_ADULT_SENTENCES).format(a=a, b=b, c=c))
        paragraphs.append(" ".join(lines))
    return paragraphs


_HONEST = (
    'In a school survey, pupils reported "{a}" as the most common slang word that they had heard.',
    'The word "{a}", now an insult, appears in one old letter on the subject.',
    'Moderators of our reading group ask visitors to say "anatomy" and not "{a}".',
    'Doctors advise parents to explain what "{a}" means when a child asks.',
)


def honest_mention(r: random.Random) -> str:
    """A sentence that quotes one invented word, as an honest page may."""
    return r.choice(_HONEST).format(a=r.choice(WORDS))


_NOTICE_OPENINGS = (
    "The {club} of {town} meets again on {day} in the old schoolhouse.",
    "After a long winter the {club} of {town} opens its doors on {day}.",
    "{town} has a new {club}, and its first evening is on {day}.",
    "On {day} the {club} of {town} holds its yearly meeting, to which everyone is welcome.",
)
_NOTICE_MIDDLES = (
    "There will be soup, bread and a short talk about the history of the mill.",
    "Last year more than forty people came, and the hall was almost too small for them.",
    "Children under twelve pay nothing when they bring an adult with them.",
    "Work on the footbridge goes on, so visitors should use the path along the river.",
    "The treasurer will report on the repairs of the roof and on the sale of the old piano.",
    "Those who want to help with the chairs should be there half an hour before the start.",
    "The library stays open that evening until the last visitor has gone home.",
    "In case of rain the whole event moves into the barn behind the church.",
    "A bus leaves from the market square every half hour and stops at the school.",
)
CLUBS = (
    "chess club", "choir", "walking group", "garden society", "film circle", "reading group",
    "bell ringers", "history society", "cycling club", "photography club", "sewing circle",
)  # fmt: skip
_DAYS = ("Tuesday evening", "the first Friday in May", "Saturday afternoon", "Sunday, 14 June",
         "Wednesday after Easter", "the last Thursday of the month")  # fmt: skip


def notice(r: random.Random) -> tuple[str, list[str]]:
    """Title and paragraphs of a village paper's notice, to which a contact is added."""
    club, town, day = r.choice(CLUBS), r.choice(TOWNS), r.choice(_DAYS)
    middles = r.sample(_NOTICE_MIDDLES, r.randint(3, 5))
    first = r.choice(_NOTICE_OPENINGS).format(club=club, town=town, day=day) + " " + middles[0]
    return f"{town}: news from the {club}", [first, " ".join(middles[1:])]
