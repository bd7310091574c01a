"""What a process keeps from one piece of work to the next: of one token at a time.

What was opened for a stage is of no use to the next one, and would lie in memory beside that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Thing = TypeVar("Thing")

_KEPT: dict[str, dict[str, Any]] = {}  # by token, of which there is one, and by name


def kept(token: str, name: str, make: Callable[[], Thing]) -> Thing:
    """A thing by its name, made the first time; whatever another token stands for goes.

    Args:
        token: tells what things are made from apart.
        make: called where this process has no such thing.
    """
    if token not in _KEPT:
        _KEPT.clear()
        _KEPT[token] = {}
    found = _KEPT[token]
    if name not in found:
        found[name] = make()
    return found[name]


def forget() -> None:
    """Nothing is kept any longer."""
    _KEPT.clear()
