"""One thread for small matrices: threads that wait for each other cost more than they save."""

import contextlib
import functools

from threadpoolctl import ThreadpoolController


def one_thread() -> contextlib.AbstractContextManager:
    """Within it, numpy's and scipy's linear algebra runs in one thread."""
    return _libraries().limit(limits=1)


@functools.cache
def _libraries() -> ThreadpoolController:
    """What is loaded, looked for once: it takes 9 ms, as long as a small fit."""
    import scipy.linalg  # noqa: F401, a library of its own, which must not come later

    return ThreadpoolController()
