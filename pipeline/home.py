"""The home folder: whether it can be written, and has locks."""

import errno
import os
import tempfile
from pathlib import Path

from rowgraph.artifacts import ArtifactError
from rowgraph.disk import free_text
from rowgraph.locks import LockError, held


class HomeError(ArtifactError):
    """A home folder that cannot be used."""


def make_home(home: Path) -> None:
    """Make the home folder where it is missing, and try what every run needs of it.

    Raises:
        HomeError: it cannot be written, is full, or its file system has no locks.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".try-") as folder:
            (Path(folder) / "file").write_bytes(b"\0" * 4096)
            with held(Path(folder) / "lock", "the home"):
                pass
    except LockError:
        raise HomeError(f"{home}: this file system has no locks, which Dagster's and MLflow's "
                        "databases need; set ROWGRAPH_HOME to a folder on a local disk") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = f"the disk is full ({free_text(home)}); free space"
        else:
            why = f"cannot be written ({os.strerror(error.errno)}); change its permissions"
        raise HomeError(f"{home}: {why}, or set ROWGRAPH_HOME to another folder") from None
