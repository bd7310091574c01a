"""Locks between processes: files that the operating system frees when their holder is gone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LACKING = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
log = logging.getLogger(__name__)


class LockError(RuntimeError):
    """A file system without locks; the message names the file and the next move."""


class BusyError(LockError):
    """Another process has the lock; the message says which."""


@contextlib.contextmanager
def held(path: Path, what: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file; wait, and say for whom, while another process has it.

    The wait sleeps in the kernel and ends at a signal. A lock file stays behind; that it exists
    says nothing.

    Args:
        path: of the lock file; made where it is missing.
        what: is locked, for people.
        wait: for whoever has it.

    Raises:
        LockError: the file system has no locks.
        BusyError: another process has it, and `wait` is not set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b", buffering=0) as handle:
        try:
            _acquire(handle, what, wait)
        except OSError as error:
            if error.errno not in LACKING:
                raise
            raise LockError(f"{path}: this file system has no locks ({error.strerror}); set "
                            "ROWGRAPH_HOME to a folder on a local disk") from error
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the name
            handle.truncate(0)
            handle.write(str(os.getpid()).encode())
        yield


def _acquire(handle: BinaryIO, what: str, wait: bool) -> None:
    for _ in range(10):  # a second's wait is not worth a word
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.1)
    handle.seek(0)
    holder = handle.read().decode().strip()
    who = f"process {holder}" if holder else "another process"
    if not wait:
        raise BusyError(f"{what} is in use by {who}; wait for it or stop it, then run again")
    log.warning("%s is in use by %s; waiting until it is free (Ctrl-C gives up)", what, who)
    return fcntl.flock(handle, fcntl.LOCK_EX)
