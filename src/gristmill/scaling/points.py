"""The points that scaling laws are fitted to: one training each, read from CSV.

A table of anyone's runs is read as it is: the names of columns are matched without regard to case,
spaces and underscores, and columns that are not needed are left alone.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.core.errors import GristmillError

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0
"""Forward and backward operations, attention left out (Kaplan et al. 2020, section 2.1)."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "parameters": ("parameters", "params", "n", "modelsize", "nparams", "numparameters"),
    "tokens": ("tokens", "d", "trainingtokens", "ntokens", "datasetsize"),
    "loss": ("loss", "finalloss", "validationloss", "valloss", "heldoutloss"),
    "flops": ("flops", "c", "flop", "trainingflop", "trainingflops", "compute"),
    "non_embedding": ("nonembedding", "nonembeddingparameters", "nonembeddingparams"),
    "unique_tokens": ("uniquetokens", "unique"),
    "bits_per_byte": ("bitsperbyte", "bpb"),
    "family": ("family", "architecture"),
    "seed": ("seed",),
    "name": ("name", "run"),
}
"""What a column may be called, in small letters, without spaces and underscores."""
_CSV_COLUMNS = (
    "name", "family", "parameters", "non_embedding", "tokens", "flops", "loss", "bits_per_byte",
    "seed", "unique_tokens",
)  # fmt: skip
Rejects = list[dict[str, str]]


@dataclass(frozen=True)
class Point:
    """One training: all parameters, tokens seen (repeats included), held-out loss in nats a token.

    flops: of the whole training; None where the table has none. non_embedding: parameters without
    embedding and head. unique_tokens: tokens of the text before it repeats.
    """

    parameters: float
    tokens: float
    loss: float
    flops: float | None = None
    family: str = ""
    seed: int = 0
    name: str = ""
    non_embedding: float | None = None
    bits_per_byte: float | None = None
    unique_tokens: float | None = None

    @property
    def compute(self) -> float:
        """FLOPs as the table has them, else 6 N D."""
        if self.flops is not None:
            return self.flops
        return FLOPS_PER_PARAMETER_AND_TOKEN * self.parameters * self.tokens


def read_points(path: str | Path) -> list[Point]:
    """The points of a CSV file; see `read_points_and_rejects`."""
    return read_points_and_rejects(path)[0]


def read_points_and_rejects(path: str | Path) -> tuple[list[Point], Rejects]:
    """The points of a CSV file (or a tab-separated one), and the rows that are none, with reasons.

    Needs a column for parameters, one for the loss, and one for tokens or FLOPs; what of the two is
    missing follows from C = 6 N D. Raises GristmillError for a file without these or without a row
    that can be used.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise GristmillError(f"cannot be read: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise GristmillError("is not UTF-8 text", where=path) from error
    header = text.partition("\n")[0]
    delimiter = "\t" if "\t" in header and "," not in header else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    points: list[Point] = []
    rejects: Rejects = []
    try:
        places = _places(next(rows, []), path)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            try:
                points.append(_point({n: row[i] for n, i in places.items() if i < len(row)}))
            except ValueError as error:
                where = f"{path.name}:{rows.line_num}"
                sample = ",".join(row)[:200]
                rejects.append({"where": where, "reason": str(error), "sample": sample})
    except csv.Error as error:
        raise GristmillError(f"is not CSV: {error}", where=f"{path}:{rows.line_num}") from error
    if not points:
        why = f"; {rejects[0]['where']}: {rejects[0]['reason']}" if rejects else ""
        raise GristmillError(f"no point in it{why}", where=path, mend="give one row for each run")
    return points, rejects


def write_points(path: str | Path, points: Iterable[Point]) -> None:
    """Writes points as CSV, every number so that it reads back as it was."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CSV_COLUMNS)
        for point in points:
            writer.writerow([_cell(getattr(point, name)) for name in _CSV_COLUMNS])


def drop_highest(points: Sequence[Point], count: int) -> list[Point]:
    """The points without the `count` of highest loss, in their order.

    Runs that a table stopped early or read badly lie far above the rest; the replication of
    Hoffmann et al.'s fit drops 5 of 245 (Besiroglu et al. 2024).
    """
    order = sorted(range(len(points)), key=lambda i: (-points[i].loss, i))
    dropped = set(order[:count])
    return [point for i, point in enumerate(points) if i not in dropped]


def by_family(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of each family, families in the order of their first point."""
    families: dict[str, list[Point]] = {}
    for point in points:
        families.setdefault(point.family, []).append(point)
    return families


def _places(header: Sequence[str], path: Path) -> dict[str, int]:
    spelt = [name.strip().lower().replace(" ", "").replace("_", "") for name in header]
    places: dict[str, int] = {}
    for name, aliases in COLUMNS.items():
        for alias in aliases:
            if alias in spelt:
                places[name] = spelt.index(alias)
                break
    wanted = [name for name in ("parameters", "loss") if name not in places]
    if "tokens" not in places and "flops" not in places:
        wanted.append("tokens (or flops)")
    if wanted:
        raise GristmillError(
            f"has no column for {' and '.join(wanted)}",
            where=path,
            mend="its first line names the columns: parameters,tokens,loss",
        )
    return places


def _point(cells: Mapping[str, str]) -> Point:
    parameters = _positive(cells, "parameters")
    loss = _positive(cells, "loss")
    if parameters is None or loss is None:
        raise ValueError(f"no {'loss' if loss is None else 'parameters'}")
    tokens, flops = _positive(cells, "tokens"), _positive(cells, "flops")
    if tokens is None:
        if flops is None:
            raise ValueError("neither tokens nor flops")
        tokens = flops / (FLOPS_PER_PARAMETER_AND_TOKEN * parameters)
    seed = cells.get("seed", "").strip()
    try:
        seed_number = int(seed) if seed else 0
    except ValueError:
        raise ValueError(f"the seed is no whole number: {seed[:40]!r}") from None
    return Point(
        parameters,
        tokens,
        loss,
        flops,
        cells.get("family", "").strip(),
        seed_number,
        cells.get("name", "").strip(),
        _positive(cells, "non_embedding"),
        _positive(cells, "bits_per_byte"),
        _positive(cells, "unique_tokens"),
    )


def _positive(cells: Mapping[str, str], name: str) -> float | None:
    """The number of a cell, None where it is empty. Raises ValueError unless above 0 and finite."""
    text = cells.get(name, "").strip()
    if not text:
        return None
    try:
        # Python alone reads 1_000; a table that means it elsewhere means something else.
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is no number above 0: {text[:40]!r}")
    return value


def _cell(value: object) -> object:
    if value is None:
        return ""
    # A number of numpy is a float too, but does not spell itself as one.
    return repr(float(value)) if isinstance(value, float) else value
