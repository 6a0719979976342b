"""Charts as pictures: bars and points whose intervals are missing or upside down still draw."""

from dataclasses import asdict

import pytest

from gristmill.core.figure import Chart, Series
from gristmill.report.charts import chart_svg


@pytest.mark.parametrize("style", ["bar", "points"])
def test_an_interval_beside_its_value_does_not_stop_the_report(style: str) -> None:
    series = Series("base", [0, 1], [0.25, 0.5], low=[0.0, 0.6], high=[0.0, 0.7])
    chart = Chart("Accuracy", "way", "share", [series], style=style, categories=("a", "b"))
    svg = chart_svg(asdict(chart))
    assert svg.startswith("<svg") and 'aria-label="Accuracy"' in svg and svg.endswith("</svg>\n")


def test_a_name_is_text_in_a_picture() -> None:
    series = [Series("<script>x</script>", [1, 2], [1, 2]), Series("b", [1, 2], [2, 1])]
    svg = chart_svg(asdict(Chart("<script>y</script>", "x", "y", series)))
    assert "<script>" not in svg and "&lt;script&gt;y" in svg
