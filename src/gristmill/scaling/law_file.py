"""`law.json`: the laws of each family, as `scaling fit` writes and `plan` reads them."""

from __future__ import annotations

import json
from pathlib import Path

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.scaling.parametric import Parametric

LAW = "law.json"


def read_law(path: Path, family: str = "") -> tuple[Parametric, tuple[float, float] | None, str]:
    """A parametric law, the FLOPs of its smallest and largest run where they are known, and whose
    it is, in words.

    path: the file, or an artifact that holds it. family: which law; default: the first. Raises
    GristmillError where there is none.
    """
    path = path / LAW if path.is_dir() else path
    try:
        families = json.loads(path.read_text(encoding="utf-8"))["families"]
        known = {name: law for name, law in families.items() if "parametric" in law}
    except OSError as error:
        raise GristmillError(f"cannot be read: {error.strerror}", where=path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GristmillError(
            "is no law", where=path, mend="give an artifact of gristmill scaling fit"
        ) from error
    if not known:
        raise GristmillError("holds no parametric law", where=path, mend="fit it to more runs")
    family = family or next(iter(known))
    if family not in known:
        raise GristmillError(
            f"no family '{family}'", where=path, mend=did_you_mean(family, list(known))
        )
    entry = known[family]["parametric"]
    low, high = entry.get("fitted_flops") or (None, None)
    return (
        Parametric.from_json(entry),
        None if low is None or high is None else (float(low), float(high)),
        f"{path}{f', {family}' if family else ''}",
    )
