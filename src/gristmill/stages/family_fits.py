"""What `scaling fit` makes of one family's runs: laws for `law.json`, and what it shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Chart, Figure, Series, Table, short_count
from gristmill.stages.stage import Output

if TYPE_CHECKING:
    from gristmill.scaling.isoflop import IsoFlop
    from gristmill.scaling.parametric import Parametric
    from gristmill.scaling.points import Point
    from gristmill.stages.scaling_fit import FitConfig


class FamilyFits:
    """The fits of one family's runs: each says why where it cannot be made.

    prefix: of its figures' names.
    """

    def __init__(
        self, family: str, prefix: str, runs: Sequence[Point], config: FitConfig, output: Output
    ):
        self.title = f" ({family})" if family else ""
        self.prefix, self.runs, self.config, self.output = prefix, list(runs), config, output

    def fit(self) -> dict[str, Any]:
        """Everything that the runs allow; what goes into law.json."""
        from gristmill.scaling.pictures import profile_chart, profiles_table, token_chart

        found: dict[str, Any] = {}
        compute = [run.compute for run in self.runs]
        parametric, isoflop = self._parametric(False), self._isoflop(False)
        if parametric is not None:
            found["parametric"] = {
                **parametric.to_json(),
                "fitted_flops": [min(compute), max(compute)],
            }
            self._tell("", parametric.figures())
            self.output.figures[f"{self.prefix}.objective"] = Figure(
                parametric.objective, n=len(self.runs)
            )
        if isoflop is not None:
            found["isoflop"] = _isoflop_json(isoflop)
            self._tell("isoflop.", {"a": isoflop.a, "b": isoflop.b})
            self.output.tables.append(profiles_table(isoflop, self.title))
            self.output.charts.append(profile_chart(isoflop, self.title))
        self._conventions(parametric, isoflop)
        found |= self._frontier(parametric)
        if parametric is not None:
            self.output.charts.append(token_chart(self.runs, parametric, self.title))
            self.output.tables.append(self._allocation(parametric, isoflop))
        self._held_out(found)
        self._repetition()
        return found

    def _parametric(self, non_embedding: bool) -> Parametric | None:
        from gristmill.core.errors import GristmillError
        from gristmill.scaling.parametric import fit_parametric

        try:
            return fit_parametric(
                self.runs,
                non_embedding=non_embedding,
                resamples=self.config.resamples,
                seed=self.output.seed,
            )
        except GristmillError as error:
            if not non_embedding:
                self._note(f"No parametric law{self.title}: {error.what}.")
            return None

    def _isoflop(self, non_embedding: bool) -> IsoFlop | None:
        from gristmill.core.errors import GristmillError
        from gristmill.scaling.isoflop import fit_isoflop

        try:
            return fit_isoflop(
                self.runs,
                tolerance=self.config.tolerance,
                non_embedding=non_embedding,
                resamples=self.config.resamples,
                seed=self.output.seed,
            )
        except GristmillError as error:
            if not non_embedding:
                self._note(f"No isoFLOP profiles{self.title}: {error.what}.")
            return None

    def _conventions(self, parametric: Parametric | None, isoflop: IsoFlop | None) -> None:
        """The exponents by both answers and both counts of parameters, beside each other."""
        rows = [_exponents("all parameters", parametric, isoflop)]
        if all(run.non_embedding is not None for run in self.runs):
            other, other_isoflop = self._parametric(True), self._isoflop(True)
            rows.append(_exponents("without embedding and head", other, other_isoflop))
            if other is not None:
                self._tell("non_embedding.", {"a": other.figures()["a"]})
        else:
            self._note(
                f"Parameters are counted one way{self.title}: there is no column non_embedding."
            )
        if not any(isinstance(cell, Figure) for row in rows for cell in row):
            return
        self.output.tables.append(
            Table(
                f"Best size for a budget, N ~ C^a{self.title}",
                ["N counts", "a, parametric", "a, isoFLOP"],
                rows,
                "How parameters are counted changes the exponent, most where the embedding is "
                "much of the model.",
            )
        )

    def _frontier(self, parametric: Parametric | None) -> dict[str, Any]:
        from gristmill.core.errors import GristmillError
        from gristmill.scaling.held_out import frontier
        from gristmill.scaling.pictures import compute_chart
        from gristmill.scaling.power_law import fit_power_law

        best = frontier(self.runs)
        compute = [point.compute for point in best]
        losses = [point.loss for point in best]
        self.output.charts.append(compute_chart(self.runs, best, parametric, self.title))
        try:
            line = fit_power_law(
                compute, losses, offset=False, resamples=self.config.resamples,
                seed=self.output.seed,
            )  # fmt: skip
        except GristmillError as error:
            self._note(f"No law of compute{self.title}: {error.what}.")
            return {}
        rows: list[list[Any]] = [["A C^-alpha", line.figures()["alpha"], 0.0]]
        alpha = line.figures()["alpha"]
        slope = Figure(
            -alpha.value,
            None if alpha.high is None else -alpha.high,
            None if alpha.low is None else -alpha.low,
            len(best),
        )
        self.output.figures[f"{self.prefix}.frontier.slope"] = slope
        found: dict[str, Any] = {"frontier": {"A": line.A, "alpha": line.alpha}}
        try:
            curve = fit_power_law(
                compute, losses, resamples=self.config.resamples, seed=self.output.seed
            )
            figures = curve.figures()
            rows.append(["E + A C^-alpha", figures["alpha"], figures["E"]])
            found["frontier"]["with_offset"] = {"E": curve.E, "A": curve.A, "alpha": curve.alpha}
        except GristmillError:
            pass
        self.output.tables.append(
            Table(
                f"Least loss against compute{self.title}",
                ["law", "alpha", "E"],
                rows,
                f"The {len(best)} runs that no other beats with as little compute.",
            )
        )
        return found

    def _allocation(self, parametric: Parametric, isoflop: IsoFlop | None) -> Table:
        """What each answer would train with the largest budget and with 100 times as much."""
        largest = max(run.compute for run in self.runs)
        rows: list[list[Any]] = []
        for factor in (1, 10, 100):
            flops = factor * largest
            N, D = parametric.optimal(flops)
            row = [
                f"{flops:.2g}",
                short_count(N),
                short_count(D),
                round(D / N, 1),
                parametric.figure(N, D),
            ]
            known = isoflop is not None and isoflop.a.value == isoflop.a.value
            row.append(
                short_count(isoflop.optimal(flops)[0]) if isoflop is not None and known else ""
            )
            rows.append(row)
        columns = ["FLOPs", "N", "D", "D / N", "loss", "N, isoFLOP"]
        return Table(f"What to train with a budget{self.title}", columns, rows)

    def _held_out(self, found: dict[str, Any]) -> None:
        from gristmill.core.errors import GristmillError
        from gristmill.scaling.held_out import predict_largest

        if not self.config.held_out:
            return
        try:
            test = predict_largest(
                self.runs, resamples=self.config.resamples, seed=self.output.seed
            )
        except GristmillError as error:
            self._note(f"The largest run was not predicted{self.title}: {error.what}.")
            return
        self._tell(
            "held_out.",
            {
                "error": Figure(test.error, n=test.fitted),
                "predicted": test.predicted,
                "measured": Figure(test.measured, n=test.runs),
            },
        )
        found["held_out"] = {
            "predicted": test.predicted.to_json(),
            "measured": test.measured,
            "error": test.error,
            "by": test.by,
        }
        run = (
            f"{short_count(test.point.parameters)} parameters, {short_count(test.point.tokens)} "
            f"tokens, {test.point.compute:.2g} FLOPs"
        )
        where = {True: "inside it", False: "outside it", None: "no interval"}[test.inside]
        rows = [
            ["run", run],
            ["compute, times the next run's", f"{test.reach:.3g}"],
            ["predicted", str(test.predicted)],
            ["measured", f"{test.measured:.4g}, {where}"],
            ["error", f"{test.error:+.2%}"],
        ]  # fmt: skip
        note = f"By {test.by}, from {test.fitted} smaller runs; the interval is for one new run."
        self.output.tables.append(
            Table(f"The largest run, predicted from the others{self.title}", ["", ""], rows, note)
        )

    def _repetition(self) -> None:
        from gristmill.core.errors import GristmillError
        from gristmill.scaling.repetition import GRID, PUBLISHED, fit_repetition

        if all(run.unique_tokens is None for run in self.runs):
            self._note(
                f"Repeated text is not looked at{self.title}: there is no column unique_tokens. "
                "The laws count every token as new."
            )
            return
        try:
            told = fit_repetition(self.runs, resamples=self.config.resamples, seed=self.output.seed)
        except GristmillError as error:
            self._note(f"Repeated text is not looked at{self.title}: {error.what}.")
            return
        self._tell("repetition.", {"half_life": Figure(told.best, told.low, told.high)})
        self.output.charts.append(
            Chart(
                f"How well each half-life of repeated text fits{self.title}",
                "R*, passes until repeats are worth little",
                "objective",
                [Series("objective", list(GRID), list(told.objective_G))],
                log_x=True,
            )
        )
        verdict = "identify it" if told.identified else "do not identify it: take it as unknown"
        self._note(
            f"Half-life of repeated text{self.title}: R* {told.best:.3g}, 95% range "
            f"{told.low:.3g} to {told.high:.3g}; these runs {verdict} (Muennighoff et al. 2023 "
            f"give {PUBLISHED}, which their runs do not identify either)."
        )

    def _tell(self, below: str, figures: dict[str, Figure]) -> None:
        for name, figure in figures.items():
            self.output.figures[f"{self.prefix}.{below}{name}"] = figure

    def _note(self, text: str) -> None:
        self.output.notes.append(text)


def _exponents(
    counted: str, parametric: Parametric | None, isoflop: IsoFlop | None
) -> list[Figure | str]:
    return [
        counted,
        parametric.figures()["a"] if parametric is not None else "",
        isoflop.a if isoflop is not None else "",
    ]


def _isoflop_json(isoflop: IsoFlop) -> dict[str, Any]:
    return {
        "a": isoflop.a.to_json(),
        "b": isoflop.b.to_json(),
        "profiles": [
            {
                "flops": profile.flops,
                "runs": len(profile.loss_R),
                "N": profile.N_optimal,
                "D": profile.D_optimal,
                "loss": profile.loss_optimal,
                "inside": profile.inside,
            }
            for profile in isoflop.profiles
        ],
    }
