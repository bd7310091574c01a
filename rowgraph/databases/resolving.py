"""Finds a database by its name: a folder of the user, an embedded builder, or the hub, in turn."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rowgraph.artifacts import file_digest
from rowgraph.databases.embedded import EMBEDDED, embedded_fingerprint
from rowgraph.databases.knowledge import FILE as KNOWLEDGE
from rowgraph.databases.report import DatabaseError, reason
from rowgraph.randomness import digest
from rowgraph.yaml_files import UnreadableYaml, read_yaml

MANIFEST = "manifest.yaml"
NEXT_MOVE = ("set ROWGRAPH_DATABASES to a folder that holds {name}/manifest.yaml, choose an "
             "embedded name, or go online")


class DatabaseNotFound(ValueError):
    """No place has the database; the message says where was looked, in order, and what to do."""


@dataclass(frozen=True)
class Origin:
    """Where a database comes from.

    Args:
        kind: `folder` (the user's), `embedded` (built from a PyPI package) or `hub`.
        name: as asked for.
        folder: the RelBench 3 folder; None for an embedded database, which is yet to be built.
        fingerprint: digest of what decides its content.
        detail: the place, for people.
    """

    kind: Literal["folder", "embedded", "hub"]
    name: str
    folder: Path | None
    fingerprint: str | None
    detail: str


def resolve(name: str, *, folders: Path | None, entities: int | None = None,
            hub: bool = True) -> Origin:
    """Find a database; the hub's is downloaded, an embedded one is not yet built.

    Args:
        name: of the database.
        folders: holds one RelBench 3 folder per database (`ROWGRAPH_DATABASES`).
        entities: asks for a sample by entity, which only an embedded builder can draw.
        hub: whether the hub may be asked.

    Raises:
        DatabaseNotFound: no place has it, or the name is none.
    """
    failures: list[str] = []
    origin = _resolve_locally(name, folders, entities, failures)
    if origin is not None:
        return origin
    if entities is None and hub:
        folder = _downloaded(name) or _download(name, failures)
        if folder is not None:
            return _hub(name, folder)
    elif entities is None:
        failures.append("the hub: not asked")
    raise DatabaseNotFound(_not_found(name, entities, failures, folders))


def find_here(name: str, *, folders: Path | None, entities: int | None = None) -> Origin | None:
    """As `resolve`, without building or downloading: None where only the hub can still have it.

    Raises:
        DatabaseNotFound: the name is none, or `entities` asks for a sample that none can draw.
    """
    failures: list[str] = []
    origin = _resolve_locally(name, folders, entities, failures)
    if origin is None and entities is not None:
        raise DatabaseNotFound(_not_found(name, entities, failures, folders))
    if origin is None and (folder := _downloaded(name)) is not None:
        return _hub(name, folder)
    return origin


def known_names(folders: Path | None) -> list[str]:
    """The databases that are here: those in `folders`, then the embedded ones."""
    return list(dict.fromkeys([*_names_in(folders), *EMBEDDED]))


def fingerprint_folder(folder: Path, known: MutableMapping[str, str] | None = None) -> str:
    """A digest over the names and bytes of `manifest.yaml`, `knowledge.yaml`, `db/*.parquet` and
    `tasks/**`.

    Args:
        folder: a RelBench 3 folder.
        known: digests of files by path, size and time of change; read and added to. For callers
            that ask often about large folders.
    """
    folder = Path(folder)
    paths = [folder / MANIFEST, folder / KNOWLEDGE, *folder.glob("db/*.parquet"),
             *folder.glob("tasks/**/*")]
    return digest("database folder", _digests(folder, paths, known))


def extra_tasks_of(profile_folder: Path, database: str) -> tuple[Path | None, str | None]:
    """The tasks that a profile brings along for a database: `tasks/<database>/<task>/` beside it.

    Args:
        profile_folder: holds the profile's file.
        database: its name.

    Returns:
        Their folder and a digest of names and bytes; None and None where there is no such task,
        so that the recipe of a database without them is as if there could be none.

    Raises:
        DatabaseError: a file cannot be read.
    """
    folder = Path(profile_folder) / "tasks" / database
    if not any(folder.glob(f"*/{MANIFEST}")):
        return None, None
    return folder, digest("extra tasks", _digests(folder, folder.glob("*/**/*"), None))


def _digests(folder: Path, paths: Iterable[Path],
             known: MutableMapping[str, str] | None) -> dict[str, str]:
    files = {}
    for path in paths:
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            files[name.as_posix()] = _file_digest(path, known)
    return files


def _file_digest(path: Path, known: MutableMapping[str, str] | None) -> str:
    try:
        if known is None:
            return file_digest(path)
        facts = path.stat()
        key = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
        if key not in known:
            known[key] = file_digest(path)
        return known[key]
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read ({error.strerror}); mend its permissions or "
                            "fetch it again") from error


def _resolve_locally(name: str, folders: Path | None, entities: int | None,
                     failures: list[str]) -> Origin | None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name) or ".." in name:
        raise DatabaseNotFound(f"{name[:50]!r} cannot be the name of a database: expected at most "
                               "100 letters, digits, '-', '_' and single '.', no path; put the "
                               "folder into ROWGRAPH_DATABASES and use its name")
    if entities is None and (folder := _in_folders(name, folders, failures)) is not None:
        return Origin("folder", name, folder, fingerprint_folder(folder), f"folder {folder}")
    if name not in EMBEDDED:
        failures.append(f"embedded builders: none has this name; they have {', '.join(EMBEDDED)}")
        return None
    try:
        fingerprint = embedded_fingerprint(name, entities)
    except ModuleNotFoundError as error:
        failures.append(f"embedded builders: {error}")
        return None
    size = "in full" if entities is None else f"sampled to {entities} {EMBEDDED[name].entity}"
    return Origin("embedded", name, None, fingerprint,
                  f"built from PyPI package {EMBEDDED[name].package}, {size}")


def _in_folders(name: str, folders: Path | None, failures: list[str]) -> Path | None:
    if folders is None:
        failures.append("ROWGRAPH_DATABASES: not set")
    elif not (folders := Path(folders)).is_dir():
        failures.append(f"ROWGRAPH_DATABASES: {folders} is not a folder")
    elif (folders / name / MANIFEST).is_file():
        return folders / name
    elif (folders / name).is_dir():
        failures.append(f"ROWGRAPH_DATABASES: {folders / name} holds no {MANIFEST}")
    else:
        held = ", ".join(_names_in(folders)) or "no database"
        failures.append(f"ROWGRAPH_DATABASES: {folders} has no folder of this name; it holds "
                        f"{held}")
    return None


def _names_in(folders: Path | None) -> list[str]:
    if folders is None:
        return []
    return sorted(path.parent.name for path in Path(folders).glob(f"*/{MANIFEST}"))


def _hub(name: str, folder: Path) -> Origin:
    return Origin("hub", name, folder, fingerprint_folder(folder),
                  f"Hugging Face hub, downloaded to {folder}")


def _downloaded(name: str) -> Path | None:
    """An earlier download of the hub's database with every table in place."""
    from huggingface_hub import try_to_load_from_cache
    from relbench.hf import RELBENCH_REPOS

    for repository in RELBENCH_REPOS:
        path = try_to_load_from_cache(repository, f"{name}/{MANIFEST}", repo_type="dataset")
        if isinstance(path, str) and _complete(folder := Path(path).parent):
            return folder
    return None


def _complete(folder: Path) -> bool:
    try:
        manifest = read_yaml(folder / MANIFEST)
    except UnreadableYaml:
        return False
    tables = (isinstance(manifest, dict) and manifest.get("tables")) or {}
    return bool(tables) and all((folder / "db" / f"{table}.parquet").is_file() for table in tables)


def _download(name: str, failures: list[str]) -> Path | None:
    import relbench

    try:
        return relbench.load_dataset(name).dataset_dir
    except (OSError, ValueError) as error:
        failures.append(f"the hub: {type(error).__name__}: {reason(error)}")
        return None


def _not_found(name: str, entities: int | None, failures: list[str],
               folders: Path | None) -> str:
    looked = "".join(f"\n- {failure}" for failure in failures)
    if entities is not None:
        return (f"database '{name}' with `entities: {entities}`: only an embedded builder can draw "
                f"a sample by entity.{looked}\nRemove `entities` (`max_rows_per_table` makes any "
                "database smaller), or choose an embedded name.")
    close = difflib.get_close_matches(name, known_names(folders), n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return (f"database '{name}' was not found. Looked, in order, in:{looked}\nNext: "
            f"{NEXT_MOVE.format(name=name)}.{hint}")
