"""How many threads: one a core at most, and one alone for small matrices."""

import contextlib
import functools

from threadpoolctl import ThreadpoolController


def cores() -> int:
    """Those that this process may use: by its affinity, and by the quota of its container."""
    import joblib

    return joblib.cpu_count()


def one_thread() -> contextlib.AbstractContextManager:
    """Within it, numpy's and scipy's linear algebra runs in one thread: of small matrices several
    wait for each other more than they save."""
    return _libraries().limit(limits=1)


@functools.cache
def _libraries() -> ThreadpoolController:
    """What is loaded, looked for once: it takes 9 ms, as long as a small fit."""
    import scipy.linalg  # noqa: F401, a library of its own, which must not come later

    return ThreadpoolController()
