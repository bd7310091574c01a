"""Interruptions that arrive at a bad moment: one that is raised where Python cannot pass it on is
asked for again, and one in the middle of a transaction waits for its end.

A signal becomes an exception in whatever the main thread happens to do. In a callback of the
garbage collector or of a C library, Python prints such an exception and goes on: the run would
finish as if nobody had pressed Ctrl-C or "Terminate".
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

AGAIN = 0.2  # seconds; the callback is over by then


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Within it, no interruption gets lost."""
    before = sys.unraisablehook
    over = threading.Event()

    def _hook(lost: Any) -> None:
        if issubclass(lost.exc_type, Exception) or lost.exc_type in (GeneratorExit, SystemExit):
            before(lost)
        else:
            threading.Thread(target=_ask_again, args=(over,), daemon=True).start()

    sys.unraisablehook = _hook
    try:
        yield
    finally:
        over.set()
        sys.unraisablehook = before


def _ask_again(over: threading.Event) -> None:
    if not over.wait(AGAIN):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Within it, no interruption is raised; one that came is raised at the end.

    MLflow rolls a transaction back for an `Exception` alone: interrupted in one, a process would
    lock itself out of the database, until it gives up closing its run there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: not set from Python
                signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
