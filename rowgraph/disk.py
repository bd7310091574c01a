"""Files of arrays, and room on a disk: whether an error comes of a full one, and arrays that take
theirs at once."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np

WORDS = ("No space left on device", "database or disk is full", "Disk quota exceeded")
NOTHING = 2**18  # bytes: with less free than this, whatever failed failed for want of room


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an error comes of a full disk below `folder`.

    Libraries say it in many ways (PyTorch names a position in its archive, SQLite an I/O error),
    so besides their words what is free decides.
    """
    link: BaseException | None = error
    while link is not None:
        if getattr(link, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(link) for words in WORDS):
            return True
        link = link.__cause__ or link.__context__
    return free_bytes(folder) < NOTHING


def free_text(folder: Path) -> str:
    """What is free below a folder, for people."""
    free = free_bytes(folder)
    return f"{free / 1e9:.1f} GB free" if free >= 1e9 else f"{free / 1e6:.1f} MB free"


def free_bytes(folder: Path) -> int:
    """What is free below a folder, or where it would be made, bytes."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def new_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A new memory-mapped .npy file of zeros whose place on the disk is taken.

    Without that a full disk would show only as a page is written, and end the process without
    a word (SIGBUS).

    Raises:
        OSError: there is no room.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if array.size and hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, os.fstat(handle.fileno()).st_size)
    return array


def write_arrays(path: Path, *arrays: np.ndarray, **named: np.ndarray) -> None:
    """An .npz file that is there whole or not at all, whoever else writes the same one.

    Args:
        arrays, named: as `numpy.savez` has them.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    with open(part, "wb") as handle:
        np.savez(handle, *arrays, **named)
    part.replace(path)
