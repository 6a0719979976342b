"""A user's own function, named `package.module:function` (or `path/to/file.py:function`).

The hash of its source is part of the identity of what it makes, so an edited function runs again.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gristmill.core.errors import GristmillError


def load_extension(name: str) -> Callable[..., Any]:
    """The function that `name` names.

    Raises GristmillError where the module, the file or the function does not exist.
    """
    place, _, attribute = name.rpartition(":")
    if not place or not attribute:
        raise GristmillError(
            f"'{name}' names no function",
            mend="write package.module:function or path/to/file.py:function",
        )
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place, name)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise GristmillError(f"'{place}' has no function '{attribute}'", where=name)
    return function  # type: ignore[no-any-return]


def absolute_name(name: str) -> str:
    """A name that means the same in every working directory."""
    place, colon, attribute = name.rpartition(":")
    return f"{Path(place).resolve()}{colon}{attribute}" if place.endswith(".py") else name


def extension_hash(name: str) -> str:
    """SHA-256 of the source file in which the function stands: a helper beside it counts too."""
    function = load_extension(name)
    try:
        source = Path(inspect.getsourcefile(function) or "").read_bytes()
    except (OSError, TypeError) as error:
        raise GristmillError(
            f"the source of '{name}' cannot be read, so its identity is unknown",
            mend="give a function written in Python in a file",
        ) from error
    return hashlib.sha256(source).hexdigest()


def _load_module(module: str, name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise GristmillError(f"cannot import '{module}': {error}", where=name) from error
    except Exception as error:
        raise _broken(module, error) from error


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise GristmillError("no such file", where=path)
    # The name must not depend on where the file lies, and must be the same in worker processes.
    spec = importlib.util.spec_from_file_location(f"gristmill_extension_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _broken(str(path), error) from error
    return module


def _broken(place: str, error: Exception) -> GristmillError:
    """The error of a file that a user wrote, with its line."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    if line is None:
        inside = [
            f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename
        ]
        line = inside[-1].lineno if inside else None
    where = f"{place}:{line}" if line else place
    return GristmillError(f"{type(error).__name__}: {error}", where=where, mend="mend the file")
