"""Battles: two models, one prompt, and which answer was the better one. One JSON Lines schema.

    {"id", "model_a", "model_b", "winner": "a" | "b" | "tie" | "both_bad",
     "prompt", "answer_a", "answer_b", "judge", "time", "fingerprint_a", "fingerprint_b"}

Only the models and the winner must be given. The spelling of public arenas is read too: `winner`
as "model_a", "model_b", "tie" or "tie (bothbad)". A record that cannot be used is among the
rejects, with its line and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from gristmill.core.canonical import hash_json
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, proportion

Winner = Literal["a", "b", "tie", "both_bad"]
Rejects = list[dict[str, str]]

_WINNERS: Mapping[str, Winner] = {
    "a": "a",
    "b": "b",
    "tie": "tie",
    "both_bad": "both_bad",
    "model_a": "a",
    "model_b": "b",
    "tie (bothbad)": "both_bad",
    "bothbad": "both_bad",
}
_MOST_NAME = 200
_LETTERS = 6
"""Of a fingerprint, in a name."""


@dataclass(frozen=True)
class Battle:
    """One comparison. judge: `person`, or what judged. both_bad is a tie that praises no one."""

    id: str
    model_a: str
    model_b: str
    winner: Winner
    prompt: str = ""
    answer_a: str = ""
    answer_b: str = ""
    judge: str = "person"
    time: str = ""
    fingerprint_a: str = ""
    """Of the model's weights, where it is known: a name may come to mean another training."""
    fingerprint_b: str = ""


def read_battles(path: Path | str) -> tuple[list[Battle], Rejects]:
    """The battles of a file, and the records that are none. Raises GristmillError for no file."""
    path = Path(path)
    if not path.is_file():
        raise GristmillError("no such file of battles", where=path)
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = ((f"{path.name}:{number}", line) for number, line in enumerate(file, start=1))
        return _collect((where, line) for where, line in lines if line.strip())


def battles_of(records: Iterable[Any], where: str) -> tuple[list[Battle], Rejects]:
    """The same of records that are in memory, such as a store's."""
    return _collect((f"{where}:{number}", record) for number, record in enumerate(records, 1))


def write_battles(path: Path | str, battles: Iterable[Battle]) -> int:
    """Writes one battle a line; returns how many. What is empty is left out."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for battle in battles:
            line = {key: value for key, value in asdict(battle).items() if value != ""}
            file.write(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")
            count += 1
    return count


def tell_apart(battles: Sequence[Battle]) -> tuple[list[Battle], dict[str, list[str]]]:
    """The battles with a name for each training: where one name stands for several fingerprints it
    becomes `NAME#123abc`, and stays bare where none is known. Second: by such a name the new ones.
    """
    prints: dict[str, set[str]] = {}
    for one in battles:
        prints.setdefault(one.model_a, set()).add(one.fingerprint_a)
        prints.setdefault(one.model_b, set()).add(one.fingerprint_b)
    several = {name: sorted(found) for name, found in prints.items() if len(found) > 1}

    def name_of(name: str, fingerprint: str) -> str:
        return f"{name}#{fingerprint[:_LETTERS]}" if name in several and fingerprint else name

    told = [
        replace(
            one,
            model_a=name_of(one.model_a, one.fingerprint_a),
            model_b=name_of(one.model_b, one.fingerprint_b),
        )
        for one in battles
    ]
    return told, {name: [name_of(name, f) for f in found] for name, found in several.items()}


def first_share(battles: Sequence[Battle]) -> Figure:
    """Of the decided battles the share that the answer in place a won: near 0.5 where judges do
    not favour a place and models are placed at random."""
    decided = [battle.winner for battle in battles if battle.winner in ("a", "b")]
    return proportion(decided.count("a"), len(decided))


@dataclass(frozen=True)
class OnlineElo:
    """Elo ratings after all battles, by model. order: of the battles as they came; mean, low and
    high: over random orders, of which the middle 95% are given."""

    as_they_came: Mapping[str, float]
    over_orders: Mapping[str, Figure]


def online_elo(
    battles: Sequence[Battle],
    *,
    k: float = 4.0,
    start: float = 1000.0,
    orders: int = 100,
    seed: int = 0,
) -> OnlineElo:
    """Ratings that move after each battle by k * (score - expected) (Elo 1978).

    They depend on the order, and so they are also given over `orders` random ones. Raises
    GristmillError for a k that is not positive.
    """
    if not k > 0:
        raise GristmillError(f"k must be above 0, not {k}")
    models = sorted({name for b in battles for name in (b.model_a, b.model_b)})
    place = {name: index for index, name in enumerate(models)}
    a_N = np.array([place[b.model_a] for b in battles], dtype=np.int64)
    b_N = np.array([place[b.model_b] for b in battles], dtype=np.int64)
    score_N = np.array([{"a": 1.0, "b": 0.0}.get(b.winner, 0.5) for b in battles])
    came = np.arange(len(battles))[None]
    once_M = _elo(came, a_N, b_N, score_N, len(models), k, start)[0]
    as_they_came = {name: float(once_M[place[name]]) for name in models}
    if orders < 1 or not battles:
        return OnlineElo(as_they_came, {})
    rng = np.random.default_rng(seed)
    shuffled = np.stack([rng.permutation(len(battles)) for _ in range(orders)])
    ratings_RM = _elo(shuffled, a_N, b_N, score_N, len(models), k, start)
    low_M, high_M = np.percentile(ratings_RM, [2.5, 97.5], axis=0)
    over = {
        name: Figure(float(ratings_RM[:, i].mean()), float(low_M[i]), float(high_M[i]), orders)
        for name, i in place.items()
    }
    return OnlineElo(as_they_came, over)


def _elo(
    orders_RN: NDArray[np.int64],
    a_N: NDArray[np.int64],
    b_N: NDArray[np.int64],
    score_N: NDArray[np.float64],
    models: int,
    k: float,
    start: float,
) -> NDArray[np.float64]:
    """Final ratings of R orders side by side, (R, models)."""
    ratings = np.full((len(orders_RN), models), start)
    rows = np.arange(len(orders_RN))
    for battle_R in orders_RN.T:
        a_R, b_R = a_N[battle_R], b_N[battle_R]
        gap_R = ratings[rows, b_R] - ratings[rows, a_R]
        moved_R = k * (score_N[battle_R] - 1 / (1 + 10 ** (gap_R / 400)))
        ratings[rows, a_R] += moved_R
        ratings[rows, b_R] -= moved_R
    return ratings


class _Unfit(Exception):
    """Why a record is no battle."""


def _collect(records: Iterable[tuple[str, Any]]) -> tuple[list[Battle], Rejects]:
    found: list[Battle] = []
    rejects: Rejects = []
    for where, record in records:
        try:
            value = json.loads(record) if isinstance(record, str) else record
            found.append(_battle(value))
        except (_Unfit, ValueError, RecursionError) as error:
            sample = record if isinstance(record, str) else repr(record)
            rejects.append({"where": where, "reason": str(error), "sample": sample[:200].strip()})
    return found, rejects


def _battle(value: Any) -> Battle:
    if not isinstance(value, Mapping):
        raise _Unfit("not a JSON object")
    names = [value.get("model_a"), value.get("model_b")]
    for key, name in zip(("model_a", "model_b"), names, strict=True):
        if not isinstance(name, str) or not name.strip():
            raise _Unfit(f"has no '{key}'")
        if len(name) > _MOST_NAME:
            raise _Unfit(f"'{key}' has more than {_MOST_NAME} letters")
    if names[0] == names[1]:
        raise _Unfit("a model against itself")
    winner = value.get("winner")
    if not isinstance(winner, str) or winner not in _WINNERS:
        raise _Unfit("winner is none of a, b, tie, both_bad")
    text = {
        key: _text(value.get(key))
        for key in ("prompt", "answer_a", "answer_b", "judge", "time", "id")
    }
    for key, side in (("answer_a", "conversation_a"), ("answer_b", "conversation_b")):
        text[key] = text[key] or _last_of(value.get(side), "assistant")
    text["prompt"] = text["prompt"] or _last_of(value.get("conversation_a"), "user")
    # A battle without an id is told apart by all that it says.
    given = text.pop("id") or hash_json([*names, winner, *text.values()])[:16]
    text["judge"] = text["judge"] or "person"
    text |= {key: _text(value.get(key)) for key in ("fingerprint_a", "fingerprint_b")}
    return Battle(given, str(names[0]), str(names[1]), _WINNERS[winner], **cast(Any, text))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _last_of(conversation: Any, role: str) -> str:
    """The last message of a role, in the messages of a public arena's record."""
    if not isinstance(conversation, list):
        return ""
    said = [m for m in conversation if isinstance(m, dict) and m.get("role") == role]
    content = said[-1].get("content") if said else None
    return content if isinstance(content, str) else ""
