"""Loops that Numba compiles once for a machine, not once for a process.

Compiling all kernels takes a core some ten seconds, and a run has many processes. Numba's own cache
looks at the file that a function stands in; what else is compiled into the machine code, constants
and functions of other files, it does not see. Here both are part of the place where the code is
kept, so that an edit anywhere is never answered by the code of before.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
import platformdirs
from numba.core.dispatcher import Dispatcher

from rowgraph.randomness import digest

CONSTANTS = (bool, int, float, str, tuple, frozenset, np.generic)


def kernel(*signature: Any, **options: Any) -> Callable[[Callable], Callable]:
    """As `numba.njit`, with the machine code kept beside the package or in the user's cache.

    Where neither place can be written, each process compiles for itself. The code holds for this
    machine's processor, this version of Numba and these sources; Numba looks at the first two.

    Args:
        signature: argument types: compiled at once. Without: at the first call.
        options: of `numba.njit`.

    Raises:
        TypeError: the function reaches for something through a module of ours.
    """
    def compiled(function: Callable) -> Callable:
        place = _place()
        if place is None:
            return numba.njit(*signature, **options)(function)
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(place / _what_else(function, options))
        try:
            return numba.njit(*signature, cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before
    return compiled


@functools.cache
def _place() -> Path | None:
    """The first folder that can be written; None if there is none."""
    for place in (Path(__file__).parent / "__pycache__" / "kernels",
                  platformdirs.user_cache_path("rowgraph") / "kernels"):
        try:
            place.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=place).close()
            return place
        except OSError:
            continue
    return None


def _what_else(function: Callable, options: dict[str, Any]) -> str:
    """A digest of what is compiled in and does not stand in the function's own file."""
    found: dict[str, Any] = {
        "options": sorted((name, sorted(value) if isinstance(value, set | frozenset) else value)
                          for name, value in options.items())}
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, Dispatcher):
            inner = value.py_func
            found[name] = [_file(inner.__code__.co_filename), _what_else(inner, {})]
        elif isinstance(value, CONSTANTS):
            found[name] = repr(value)
        elif isinstance(value, np.ndarray):
            found[name] = [str(value.dtype), value.tolist()]
        elif isinstance(value, ModuleType) and value.__name__.startswith("rowgraph"):
            raise TypeError(f"{function.__qualname__}: what {value.__name__} holds would be "
                            "compiled in unseen; import the name itself")
    return digest(found)[:16]


@functools.cache
def _file(name: str) -> str:
    return hashlib.blake2b(Path(name).read_bytes(), digest_size=16).hexdigest()
