"""What of a store may be deleted: what is there, what is kept and why.

Only folders that a store itself writes are looked at; a link is never followed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rowgraph.artifacts import ArtifactError, ArtifactStore, Key

OURS = re.compile(r"[0-9a-f]{16}(\.draft|\.old|\.arriving)?")
DEEPEST = 4  # parts of a key
RECORDS = {"predictions": "lists are kept to be scored when their horizon has passed"}


@dataclass(frozen=True)
class Stored:
    """A folder of the store.

    Args:
        kind: `finished`; `draft`: begun and interrupted, or in work; `old`: being deleted or
            replaced when its process ended; `arriving`: on its way out of a shared store.
        bytes: of all its files.
        written: when its newest file was, seconds since 1970.
        manifest: of a finished one.
    """

    key: Key
    folder: Path
    kind: Literal["finished", "draft", "old", "arriving"]
    bytes: int
    written: float
    manifest: Mapping[str, Any] | None = None


def stored(store: ArtifactStore) -> list[Stored]:
    """All that lies in a store, by key and then newest first.

    Raises:
        ArtifactError: the store itself is a link to somewhere else, or cannot be read.
    """
    root = store.root
    if root.resolve() != root.parent.resolve() / root.name:
        raise ArtifactError(f"{root} is a link to {root.resolve()}, which is not followed; clean "
                            "it up from the home that it belongs to")
    found = []
    try:
        for key, folder in _folders(root, ()):
            with contextlib.suppress(FileNotFoundError):  # a run beside this one moves on
                found.append(_read(key, folder))
    except PermissionError as error:
        raise ArtifactError(f"{error.filename} cannot be read; give yourself the right to read it, "
                            "then try again") from None
    return sorted(found, key=lambda s: (s.key, -s.written))


def kept(found: list[Stored], newest: int, needed: Mapping[Path, str]) -> dict[Path, str]:
    """Why a folder is kept, by folder; what is not among them may be deleted.

    Args:
        found: as `stored` gives it.
        newest: so many of each key are kept in any case, drafts among them.
        needed: why something else needs a folder.
    """
    reasons, ranks = {}, {}
    for one in found:
        rank = 0
        if one.kind in ("finished", "draft"):
            rank = ranks[one.key] = ranks.get(one.key, 0) + 1
        if one.folder in needed:
            reasons[one.folder] = needed[one.folder]
        elif one.key[0] in RECORDS and one.kind == "finished":
            reasons[one.folder] = RECORDS[one.key[0]]
        elif 0 < rank <= newest:
            reasons[one.folder] = f"among the newest {newest}"
    return reasons


def ancestors(found: list[Stored], folders: Mapping[Path, str]) -> dict[Path, str]:
    """What some finished artifacts were made from, all the way up, and for which of them."""
    by_folder = {one.folder: one for one in found}
    by_version: dict[str, list[Stored]] = {}
    for one in found:
        if one.manifest:
            by_version.setdefault(one.manifest["data_version"], []).append(one)
    needed, waiting = {}, [by_folder[f] for f in folders if f in by_folder]
    while waiting:
        one = waiting.pop()
        for version in (one.manifest or {}).get("inputs", {}).values():
            same = by_version.get(version, [])
            if same and not any(s.folder in folders or s.folder in needed for s in same):
                needed[same[0].folder] = f"{'/'.join(one.key)} was made from it"
                waiting.append(same[0])
    return needed


def _folders(folder: Path, key: Key) -> Iterator[tuple[Key, Path]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        inside = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    for name in inside:
        if key and OURS.fullmatch(name):
            yield key, folder / name
        elif len(key) < DEEPEST:
            yield from _folders(folder / name, (*key, name))


def _read(key: Key, folder: Path) -> Stored:
    files = []
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                files.append(os.lstat(os.path.join(path, name)))
    written = max(s.st_mtime for s in files or [os.lstat(folder)])
    suffix = folder.suffix.removeprefix(".")
    manifest = None
    if not suffix:
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            manifest["data_version"], dict(manifest["inputs"])
            written = (folder / "manifest.json").stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            manifest = None  # damaged: neither an ancestor nor worth a rebuild here
    return Stored(key, folder, suffix or "finished", sum(s.st_size for s in files), written,
                  manifest)
