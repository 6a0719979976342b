"""What the report shows of a pre-training."""

from pathlib import Path

import pytest

from gristmill.core.run import Run
from gristmill.stages.stage import Execution, Output
from gristmill.stages.train_results import present_training


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        # The last step is hardly later than the interval before it: a tenth is not less.
        ((225, 450, 900, 903), ("225", "450", "903")),
        ((100, 200, 209), ("100", "209")),
        ((100, 200, 210), ("100", "200", "210")),
        ((100, 200, 300), ("100", "200", "300")),
        ((900, 903), ("903",)),
        ((800, 903), ("800", "903")),
        ((903,), ("903",)),
    ],
)
def test_samples_of_nearly_the_same_step_are_shown_once(
    steps: tuple[int, ...], shown: tuple[str, ...], tmp_path: Path
) -> None:
    records = [{"step": step, "tokens": 10 * step, "bits_per_byte": 2.0} for step in range(1, 904)]
    for record in records:
        if record["step"] in steps:
            record |= {"samples.The": f"The {record['step']}", "samples.Music": "Music is"}
    output = Output(tmp_path, Run(tmp_path / "run"), 0, Execution())
    present_training(records, output)
    (written,) = output.samples
    assert written.rows[::2] == [
        {"step": step, "prompt": "The", "text": f"The {step}"} for step in shown
    ]
    assert len(written.rows) == 2 * len(shown)
