"""What `study domain-weights` shows: its proxies' law, and what the runs that confirm it say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Chart, Figure, Series, Table
from gristmill.study.paired import mean, paired_difference, verdict

if TYPE_CHECKING:
    from gristmill.core.artifact import Artifact
    from gristmill.stages.stage import Output
    from gristmill.study.domain_fit import Problem
    from gristmill.study.domain_weights import DomainWeightsConfig

_NATURAL, _LEARNED = "natural", "learned"


@dataclass(frozen=True)
class Confirmed:
    """Of each setting: shares of what was trained on, what the law says of them, and each seed's
    bits per byte by domain, on documents that had no part in the choice of weights."""

    names: tuple[str, ...]
    target: tuple[float, ...]
    natural: tuple[float, ...]
    shares: Mapping[str, tuple[float, ...]]
    predicted: Mapping[str, float]
    bits: Mapping[str, tuple[tuple[float, ...], ...]]
    documents: int

    @classmethod
    def of(
        cls,
        problem: Problem,
        fit: Artifact,
        scores: Mapping[str, Sequence[Mapping[str, Any]]],
        shares: Mapping[str, Mapping[str, float]],
    ) -> Confirmed:
        """Raises GristmillError where a domain of the target has no document to confirm on."""
        import numpy as np

        from gristmill.core.errors import GristmillError
        from gristmill.scaling.mixing_law import MixingLaw
        from gristmill.study.domain_fit import RUNS, bits_by_domain

        found = {
            setting: tuple(bits_by_domain(results, chosen=False) for results in each)
            for setting, each in scores.items()
        }
        first = next(iter(found.values()))[0]
        wanting = [
            name for name, weight in zip(problem.names, problem.target, strict=True)
            if weight > 0 and name not in first
        ]  # fmt: skip
        if wanting:
            raise GristmillError(
                f"no held-out document of '{wanting[0]}' is left to confirm on",
                where="study domain-weights",
                mend="raise heldout_share, or give a target without that domain",
            )
        told = fit.read_json(RUNS)["law"]
        law = MixingLaw(
            np.array(told["floor"]), np.array(told["level"]), np.array(told["pull"]), np.zeros(0)
        )
        rows = {
            setting: tuple(share.get(name, 0.0) for name in problem.names)
            for setting, share in shares.items()
        }
        predicted = {
            setting: float((law.losses(np.array([row])) @ problem.target)[0])
            for setting, row in rows.items()
        }
        results = next(iter(scores.values()))[0]
        from gristmill.core.seeds import derive_seed

        count = sum(
            derive_seed(0, "chooses weights", document["id"]) % 2 != 0
            for document in results["documents"]
        )
        return cls(
            names=problem.names,
            target=tuple(problem.target.tolist()),
            natural=tuple(problem.natural.tolist()),
            shares=rows,
            predicted=predicted,
            bits={
                setting: tuple(
                    tuple(bits.get(name, float("nan")) for name in problem.names) for bits in each
                )
                for setting, each in found.items()
            },
            documents=count,
        )

    def scores(self, setting: str, weights: Sequence[float]) -> list[float]:
        """Each seed's mean over domains by `weights`; domains without text count nothing."""
        return [_weighted(bits, weights) for bits in self.bits[setting]]

    def record(self) -> dict[str, Any]:
        """Everything, as JSON."""
        return {
            "domains": list(self.names),
            "target": list(self.target),
            "shares": {setting: list(row) for setting, row in self.shares.items()},
            "predicted": dict(self.predicted),
            "bits_per_byte": {
                setting: [[None if b != b else b for b in row] for row in each]
                for setting, each in self.bits.items()
            },
        }


def _weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    known = [(v, w) for v, w in zip(values, weights, strict=True) if v == v and w > 0]
    return sum(v * w for v, w in known) / sum(w for _, w in known)


def present(
    config: DomainWeightsConfig, confirmed: Confirmed, fit: Artifact, output: Output
) -> None:
    """Figures, tables, charts and a plain sentence; the law's own come with them."""
    shown = fit.read_json("presentation.json")
    for name, figure in shown["figures"].items():
        output.figures[name] = Figure.from_json(figure)
    base = confirmed.scores(_NATURAL, confirmed.target)
    natural_base = confirmed.scores(_NATURAL, confirmed.natural)
    rows, differences = [], {}
    for setting in confirmed.bits:
        measured = confirmed.scores(setting, confirmed.target)
        natural = confirmed.scores(setting, confirmed.natural)
        output.figures[f"domain_weights.{setting}.bits_per_byte"] = mean(measured)
        output.figures[f"domain_weights.{setting}.predicted"] = Figure(confirmed.predicted[setting])
        row: list[Any] = [setting, confirmed.predicted[setting], mean(measured)]
        if setting == _NATURAL:
            row += [None, "", mean(natural), None]
        else:
            differences[setting] = paired_difference(measured, base)
            on_natural = paired_difference(natural, natural_base)
            output.figures[f"domain_weights.difference.{setting}"] = differences[setting]
            output.figures[f"domain_weights.difference_natural.{setting}"] = on_natural
            row += [differences[setting], verdict(differences[setting]), mean(natural), on_natural]
        rows.append(row)
    output.tables.append(
        Table(
            "Confirmed: models trained on each mixture",
            [
                "mixture",
                "predicted",
                "target",
                "to natural",
                "not 0",
                "as they come",
                "to natural ",
            ],
            rows,
            f"Bits per byte, {config.seeds} seeds, differences paired by seed with 95% t "
            f"intervals; on {confirmed.documents} held-out documents that had no part in choosing "
            "the weights (the prediction is for the other half of the held-out text, and for "
            "models of the proxies' size). target: the mean that the weights were chosen for; as "
            "they come: domains by their bytes.",
        )
    )
    output.tables.append(_domains_table(confirmed))
    output.charts.append(
        Chart(
            "Bits per byte by domain: difference to the natural mixture",
            "",
            "difference, mean over seeds",
            [
                Series(
                    setting,
                    list(range(len(confirmed.names))),
                    [d.value for d in _by_domain(confirmed, setting)],
                )
                for setting in differences
            ],
            style="bar",
            categories=list(confirmed.names),
        )
    )
    output.notes.append(plain_words(differences, confirmed))
    output.counts.update(
        proxies=config.proxies, confirming=config.seeds * len(confirmed.bits),
        domains=len(confirmed.names),
    )  # fmt: skip


def _by_domain(confirmed: Confirmed, setting: str) -> list[Figure]:
    """The difference to natural of each domain."""
    return [
        paired_difference(
            [bits[k] for bits in confirmed.bits[setting]],
            [bits[k] for bits in confirmed.bits[_NATURAL]],
        )
        for k in range(len(confirmed.names))
    ]


def _domains_table(confirmed: Confirmed) -> Table:
    learned = _by_domain(confirmed, _LEARNED)
    return Table(
        "By domain",
        ["domain", "natural share", "learned share", "bits/byte natural", "learned, difference"],
        [
            [
                name,
                confirmed.shares[_NATURAL][k],
                confirmed.shares[_LEARNED][k],
                mean([bits[k] for bits in confirmed.bits[_NATURAL]]),
                learned[k],
            ]
            for k, name in enumerate(confirmed.names)
        ],
        "Shares of what was trained on; a domain with too little text for its weight has less.",
    )


def plain_words(differences: Mapping[str, Figure], confirmed: Confirmed) -> str:
    """Whether the learned weights help, as a sentence that does not say more than was measured."""
    learned = differences[_LEARNED]
    said = verdict(learned)
    if said == "one seed":
        told = "one seed cannot say whether that is more than chance"
    elif said == "yes":
        told = "lower" if learned.value < 0 else "higher: they do not help"
        told = f"the interval excludes 0, so the bits per byte are {told}"
    else:
        told = "the interval includes 0: not shown to help at this size"
    gain = confirmed.predicted[_LEARNED] - confirmed.predicted[_NATURAL]
    return (
        f"Learned weights against the natural mixture: {learned} bits per byte on the target "
        f"({told}); the law had promised {gain:+.4f}."
    )
