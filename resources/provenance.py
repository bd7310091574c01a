"""Which code is running, and who runs it."""

import getpass
import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("assets", "pipeline", "resources", "rowgraph")


@cache
def code_facts(root: Path = ROOT) -> dict[str, Any]:
    """`version` of RowGraph, `python`, and `commit` and `dirty` of the checkout that runs.

    Dirty: a file of the code differs from the commit or is not in it. Both are None where the code
    is no git checkout. Read once a process: what is edited later is not what runs.
    """
    commit, dirty = _checkout(root)
    try:
        version = importlib.metadata.version("rowgraph")
    except importlib.metadata.PackageNotFoundError:
        version = None
    return {"version": version, "commit": commit, "dirty": dirty,
            "python": platform.python_version()}


def _checkout(root: Path) -> tuple[str | None, bool | None]:
    if not (root / ".git").exists():  # an installed copy may lie within another's checkout
        return None, None
    command = ["git", "--no-optional-locks", "-C", str(root), "status", "--porcelain=v2",
               "--branch", "--", *ROOMS]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10,
                               env=environ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None, None
    oid = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    if oid in (None, "(initial)"):
        return None, None
    return oid, any(not line.startswith("#") for line in lines)


def code_in_words(code: dict[str, Any] | None) -> str:
    """A commit as people read it: `1a2b3c4d5e6f, with changes that are not committed`."""
    if not code or not code.get("commit"):
        version = (code or {}).get("version")
        return f"version {version}, no git commit" if version else "not recorded"
    changed = ", with changes that are not committed" if code.get("dirty") else ""
    return f"{code['commit'][:12]}{changed}"


def user() -> str | None:
    """The login name, None where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None
