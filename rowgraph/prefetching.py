"""Values made in other threads a few ahead of where they are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


def ahead(function: Callable[..., T], questions: Iterable[tuple], pool: Executor,
          most: int) -> Iterator[T]:
    """What a function gives for each tuple of its arguments, in order.

    Args:
        pool: where it is called; several threads call it side by side.
        most: values that may be waiting or in work while one is used.

    Raises:
        Exception: what the function raised, in its place in the order.
    """
    waiting: deque = deque()
    try:
        for question in questions:
            waiting.append(pool.submit(function, *question))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
