"""What `evaluate judge` shows and writes: figures, agreement, cost, judgements, battles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Chart, Figure, Samples, Series, Table, figures_to_json
from gristmill.stages.stage import Output

if TYPE_CHECKING:
    from gristmill.evaluate.agreement import Agreement
    from gristmill.evaluate.judge import Against, Judgement
    from gristmill.evaluate.judges import Timed
    from gristmill.infer.endpoint import Endpoint
    from gristmill.stages.judging import Labelled

JUDGEMENTS, BATTLES = "judgements.jsonl", "battles.jsonl"


def references_of(
    judged: Mapping[str, Sequence[Judgement]],
    labels: Labelled,
    on_labels: Sequence[Judgement],
    output: Output,
    *,
    by_rule: bool,
    rule: str | None,
    margin: float,
) -> dict[str, Agreement]:
    """Agreement with people's labels, with the rule, or both; the first is `judge.agreement`."""
    from gristmill.evaluate.agreement import agreement, agreement_table
    from gristmill.evaluate.judge import judge_both_orders
    from gristmill.stages.judging import rule_judge

    found: dict[str, Agreement] = {}
    if labels.pairs:
        found["labels"] = agreement(
            [j.share for j in on_labels], labels.reference, [j.delta for j in on_labels],
            groups=labels.groups, seed=output.seed,
        )  # fmt: skip
    if by_rule:
        ruled_by = rule_judge(rule, margin)
        # Equal answers were put to no one, and agree with anything.
        flat = [j for several in judged.values() for j in several if not j.same]
        ruled = judge_both_orders(ruled_by, {"all": [j.pair for j in flat]})["all"]
        found[ruled_by.name] = agreement(
            [j.share for j in flat], [j.share for j in ruled], [j.delta for j in flat],
            groups=[j.pair.id for j in flat], seed=output.seed,
        )  # fmt: skip
    for place, (name, one) in enumerate(found.items()):
        after = "" if place == 0 else f".{name}"
        output.figures[f"judge.agreement{after}"] = one.accuracy
        output.figures[f"judge.kappa{after}"] = one.kappa
        output.figures[f"judge.picks_longer{after}"] = one.judge_longer
        output.figures[f"judge.reference_picks_longer{after}"] = one.reference_longer
        output.tables.append(agreement_table(one, "the judge", f"the {name}"))
    return found


def tell_figures(
    found: Mapping[str, Against], judged: Mapping[str, Sequence[Judgement]], output: Output
) -> None:
    """The figures of every model, and the judge's consistency over all of them."""
    import math

    import numpy as np

    from gristmill.evaluate.agreement import bootstrap_mean

    for name, one in found.items():
        output.figures[f"judge.win_rate.{name}"] = one.rate
        if one.controlled is not None:
            output.figures[f"judge.win_rate_lc.{name}"] = one.controlled.rate
        output.figures[f"judge.letters.{name}"] = one.letters
    flat = [j for several in judged.values() for j in several]
    agreed = [math.nan if j.consistent is None else float(j.consistent) for j in flat]
    prompts = np.unique([j.pair.id for j in flat], return_inverse=True)[1]
    output.figures["judge.consistency"] = bootstrap_mean(agreed, output.seed, prompts, share=True)
    output.figures["judge.first_favour"] = bootstrap_mean(
        [j.first_favour for j in flat], output.seed, prompts
    )
    unread = sum(one.unreadable for one in found.values())
    if unread:
        output.notes.append(
            f"{unread} of {len(flat)} pairs have no verdict in one order or both and count nowhere."
        )


def tell_cost(
    timed: Timed,
    endpoint: Endpoint | None,
    judged: Mapping[str, Sequence[Judgement]],
    on_labels: Sequence[Judgement],
    output: Output,
) -> None:
    """Verdicts, tokens, seconds and money."""
    flat = [j for several in [*judged.values(), on_labels] for j in several]
    verdicts = [v for j in flat for v in (j.forward, j.backward) if v is not None]
    tokens_in = sum(v.tokens_in for v in verdicts)
    tokens_out = sum(v.tokens_out for v in verdicts)
    output.figures["judge.seconds"] = Figure(timed.seconds, n=timed.asked)
    money: object = "none"
    note = "Seconds of the judge alone, the answers are not in it."
    if tokens_in:
        output.figures["judge.tokens"] = Figure(float(tokens_in + tokens_out), n=len(verdicts))
    if endpoint is not None:
        meter = endpoint.meter
        output.counts.update(requests=meter.asked, retried=meter.retried)
        if endpoint.settings.price_in or endpoint.settings.price_out:
            money = round(meter.cost(endpoint.settings), 6)
            output.figures["judge.cost"] = Figure(meter.cost(endpoint.settings), n=meter.answers)
        else:
            money = "no price given"
        note += " Money at the prices that were given; answers of earlier attempts are in it."
        if meter.unmetered:
            note += f" {meter.unmetered} answers came without a count of tokens."
    output.tables.append(
        Table(
            "What the judge cost",
            ["judge", "verdicts", "tokens read", "tokens written", "seconds", "money"],
            [[timed.name, len(verdicts), tokens_in, tokens_out, round(timed.seconds, 2), money]],
            note=note,
        )
    )


def write_judgements(
    output: Output,
    judged: Mapping[str, Sequence[Judgement]],
    base: str,
    judge: str,
    prints: Mapping[str, str],
) -> None:
    """The judgements, the same as battles, and as AlpacaEval's annotations. prints: a fingerprint
    of each model's weights, by name."""
    from gristmill.evaluate.arena import Battle, write_battles
    from gristmill.evaluate.judge import annotation, judgement_to_json

    battles = []
    folder = output.path / "annotations"
    folder.mkdir()
    with open(
        output.path / JUDGEMENTS, "w", encoding="utf-8", errors="backslashreplace", newline="\n"
    ) as file:
        for name, several in judged.items():
            for one in several:
                line = judgement_to_json(one, base, judge)
                file.write(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")
                if one.share == one.share:
                    winner: Any = "tie" if one.share == 0.5 else "b" if one.share > 0.5 else "a"
                    battles.append(
                        Battle(
                            f"{one.pair.id}-{name}", base, name, winner, one.pair.instruction,
                            one.pair.first, one.pair.second, judge, "", prints[base], prints[name],
                        )
                    )  # fmt: skip
            rows = [annotation(one, base, judge) for one in several]
            text = json.dumps(rows, ensure_ascii=False, indent=1)
            (folder / f"{name}.json").write_text(
                text + "\n", encoding="utf-8", errors="backslashreplace", newline="\n"
            )
    write_battles(output.path / BATTLES, battles)


def result_of(one: Against) -> dict[str, object]:
    """What `results.json` keeps of a model."""
    figures = {"win_rate": one.rate, "consistency": one.consistency, "letters": one.letters}
    found: dict[str, object] = {**figures_to_json(figures)}
    if one.controlled is not None:
        weights = one.controlled.weights
        found["length_controlled"] = one.controlled.rate.to_json()
        found["extrapolated"] = one.controlled.extrapolated
        found["weights"] = {
            "length": weights.length, "difficulty": weights.difficulty, "quality": weights.quality,
        }  # fmt: skip
    found |= {
        "won": one.wins, "tied": one.ties, "lost": one.losses,
        "unreadable": one.unreadable, "same": one.same,
    }  # fmt: skip
    return found


def rate_chart(found: Mapping[str, Against], base: str) -> Chart:
    """Raw and length-controlled rates, each with its interval."""
    places = [float(place) for place in range(1, len(found) + 1)]

    def series(name: str, figures: list[Figure | None], shift: float) -> Series:
        kept = [(x + shift, f) for x, f in zip(places, figures, strict=True) if f is not None]
        return Series(
            name,
            [x for x, _ in kept],
            [f.value for _, f in kept],
            [f.value if f.low is None else f.low for _, f in kept],
            [f.value if f.high is None else f.high for _, f in kept],
            mark="dots",
        )

    raw = series("raw", [one.rate for one in found.values()], -0.05)
    raw = Series(raw.name, raw.x, raw.y, raw.low, raw.high, list(found), mark="dots")
    controlled = [None if one.controlled is None else one.controlled.rate for one in found.values()]
    return Chart(
        f"Win rate against {base}, by the judge",
        "models, in the order given",
        "win rate",
        [raw, series("length-controlled", controlled, 0.05)],
        style="points",
    )


def verdict_samples(judged: Mapping[str, Sequence[Judgement]], base: str, most: int = 4) -> Samples:
    """Pairs to read with what the judge said, spread over each model's."""
    rows = []
    for name, several in judged.items():
        for one in several[:: max(1, len(several) // most)][:most]:
            if one.forward is None or one.backward is None:
                verdict = "equal answers: a tie"
            elif one.share != one.share:
                verdict = f"unreadable: {one.forward.error or one.backward.error}"
            else:
                verdict = f"{one.share:.2f} for {name}" + (
                    "" if one.consistent else ", and the orders disagree"
                )
            row = {"question": one.pair.instruction, base: one.pair.first, name: one.pair.second}
            rows.append({**row, "verdict": verdict})
    return Samples(
        "What the judge said", rows, note="1 is for the model that is judged, 0 for the baseline."
    )
