"""Artifacts: folders of plain files that know what they were made from.

`<home>/artifacts/<stage>/<database>/<task>/<recipe>/` holds a finished artifact and its
`manifest.json`. While it is being made the folder is `<recipe>.draft`; the manifest is written
last and the rename publishes both at once, so a folder without the suffix is finished. A draft
survives an interruption, with the resumable state under its `state/`; publishing removes that.
Files under `notes/` (figures, curves with wall times) travel along but do not count as content.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rowgraph.disk import free_text, is_full
from rowgraph.locks import BusyError, held
from rowgraph.randomness import digest

FORMAT_VERSION = 1
LIBRARIES = ("torch", "transformers", "torch-geometric", "relbench", "lightgbm", "polars",
             "pyarrow", "numpy")

Key = tuple[str, ...]  # (stage,), (stage, database) or (stage, database, task), as in Dagster


class ArtifactError(RuntimeError):
    """An artifact that cannot be used or written; the message names the file and the next move."""


class DiskFullError(ArtifactError):
    """No room for an artifact."""


@dataclass(frozen=True)
class Artifact:
    """A finished artifact. `folder / name` is one of `files`.

    Args:
        place: where its files lie, or will once `bring` was called.
        bring: brings the files of a shared store; None where they are here.
    """

    key: Key
    recipe: str
    place: Path
    manifest: dict[str, Any]
    bring: Callable[[Artifact], None] | None = field(default=None, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        if self.bring is not None:
            self.bring(self)
        return self.place

    @property
    def data_version(self) -> str:
        """Digest of the produced bytes: equal results have equal data versions."""
        return self.manifest["data_version"]

    @property
    def summary(self) -> dict[str, Any]:
        """The few figures that describe it."""
        return self.manifest["summary"]

    @property
    def size(self) -> int:
        """Bytes of all of its files."""
        return sum(facts["bytes"] for facts in self.manifest["files"].values())

    def path(self, name: str) -> Path:
        """The path of one of its files or folders.

        Raises:
            ArtifactError: it has no such file.
        """
        path = self.folder / name
        if not path.exists():
            raise ArtifactError(f"{path} is missing from a finished artifact; rebuild it with "
                                f"`rowgraph run --force --select {'/'.join(self.key)}`")
        return path

    def verify(self) -> None:
        """Compare every file with the digest in the manifest.

        Raises:
            ArtifactError: a file's bytes are not those that were published.
        """
        folder = self.folder
        for name, facts in self.manifest["files"].items():
            if file_digest(folder / name) != facts["digest"]:
                raise ArtifactError(f"{folder / name}: the bytes are not those that were "
                                    "published; rebuild it with `rowgraph run --force --select "
                                    f"{'/'.join(self.key)}`")


@dataclass(frozen=True)
class Draft:
    """Where a stage writes its files. `state` is for resuming and is not published."""

    folder: Path

    @property
    def state(self) -> Path:
        """A folder for training state that an interrupted run continues from."""
        path = self.folder / "state"
        path.mkdir(exist_ok=True)
        return path

    @property
    def notes(self) -> Path:
        """A folder for figures and curves that are not part of the content."""
        path = self.folder / "notes"
        path.mkdir(exist_ok=True)
        return path

    def path(self, name: str) -> Path:
        """Where to write a file; its parent folder is made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def recipe_of(stage: str, revision: int, settings: Mapping[str, Any],
              inputs: Mapping[str, str]) -> str:
    """What an artifact is made from, as a digest.

    Args:
        stage: name of the stage.
        revision: raised by hand when the stage's code changes its result.
        settings: effective settings (`Section.effective()`).
        inputs: data versions of the upstream artifacts (or fingerprints of outside data), by name.
    """
    return digest(stage, revision, dict(settings), dict(inputs))[:16]


MANIFEST_TYPES = {
    "format_version": int, "key": list, "stage": str, "revision": int, "recipe": str,
    "data_version": str, "settings": dict, "inputs": dict, "summary": dict, "files": dict,
    "libraries": dict, "origin": dict}


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a finished artifact; None where the file is none, whatever it is."""
    try:
        return parse_manifest(path.read_bytes())
    except OSError:
        return None


def parse_manifest(data: bytes) -> dict[str, Any] | None:
    """As `read_manifest`, of a file's bytes."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not all(
            isinstance(content.get(name), kind) for name, kind in MANIFEST_TYPES.items()):
        return None
    sound = content["data_version"] and all(
        isinstance(facts, dict) and isinstance(facts.get("bytes"), int)
        and isinstance(facts.get("digest"), str) and not _leaves(name)
        for name, facts in content["files"].items())
    return content if sound else None


def _leaves(name: str) -> bool:
    """Whether the name of a file leads out of its artifact."""
    return "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts


class ArtifactStore:
    """The artifacts below one home folder."""

    def __init__(self, home: Path):
        self.root = Path(home) / "artifacts"

    def folder(self, key: Key, recipe: str) -> Path:
        """Where the artifact of a recipe lies or will lie."""
        return self.root.joinpath(*key, recipe)

    def find(self, key: Key, recipe: str) -> Artifact | None:
        """The finished artifact of a recipe, or None.

        Raises:
            ArtifactError: its manifest is broken, or a file is missing or has another size.
        """
        folder = self.folder(key, recipe)
        path = folder / "manifest.json"
        if not path.exists():
            return None
        rebuild = f"`rowgraph run --select {'/'.join(key)}` makes it again"
        manifest = read_manifest(path)
        if manifest is None:
            raise ArtifactError(f"{path}: the manifest is broken; {rebuild}")
        if (manifest["format_version"], manifest["recipe"]) != (FORMAT_VERSION, recipe):
            raise ArtifactError(f"{path}: format {manifest['format_version']} and recipe "
                                f"{manifest['recipe']}, expected {FORMAT_VERSION} and {recipe}; "
                                f"{rebuild}")
        for name, facts in manifest["files"].items():
            size = (folder / name).stat().st_size if (folder / name).exists() else None
            if size != facts["bytes"]:
                raise ArtifactError(f"{folder / name}: expected {facts['bytes']} bytes, found "
                                    f"{'no file' if size is None else size}; {rebuild}")
        return Artifact(key, recipe, folder, manifest)

    def usable(self, key: Key, recipe: str) -> Artifact | None:
        """As `find`, but a damaged artifact is a warning and None: it will be made again."""
        try:
            return self.find(key, recipe)
        except ArtifactError as error:
            warnings.warn(f"{error} (doing so now)", stacklevel=2)
            return None

    def here(self, key: Key, recipe: str) -> Artifact | None:
        """As `usable`, with its files in this home."""
        return self.usable(key, recipe)

    def finished(self, key: Key) -> list[Artifact]:
        """Every finished artifact of a key, newest first; broken manifests are passed over."""
        paths = self.root.joinpath(*key).glob("*/manifest.json")
        found = []
        for path in sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True):
            manifest = read_manifest(path)
            if manifest is not None and manifest["key"] == list(key) and (
                    manifest["recipe"] == path.parent.name):
                found.append(Artifact(key, path.parent.name, path.parent, manifest))
        return found

    def others(self, key: Key) -> list[dict[str, Any]]:
        """Manifests of every finished artifact of a key, newest first."""
        return [artifact.manifest for artifact in self.finished(key)]

    def build(self, key: Key, revision: int, settings: Mapping[str, Any],
              inputs: Mapping[str, str], make: Callable[[Draft], Mapping[str, Any]], *,
              force: bool = False,
              origin: Callable[[], Mapping[str, Any]] | None = None) -> tuple[Artifact, bool]:
        """Make an artifact, or find that it is already there.

        While another process makes it, this one waits and then finds it.

        Args:
            key: of the asset.
            revision, settings, inputs: see `recipe_of`.
            make: writes its files below the draft and returns the summary (JSON-able). It may
                find files of an interrupted attempt at the same recipe there.
            force: make it again even if it is finished; the old one stays until then.
            origin: asked once it is made for where and at what cost (run ids, seconds, memory);
                not part of its content.

        Returns:
            The artifact and whether it was reused.

        Raises:
            DiskFullError: there is no room; what was saved for resuming is kept.
            LockError: the file system has no locks.
        """
        recipe = recipe_of(key[0], revision, settings, inputs)
        folder = self.folder(key, recipe)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with held(folder.with_name(recipe + ".lock"), "/".join(key)):
            if not force and (found := self._reusable(key, recipe)) is not None:
                return found, True
            draft = Draft(folder.with_name(recipe + ".draft"))
            if force:
                shutil.rmtree(draft.folder, ignore_errors=True)
            draft.folder.mkdir(exist_ok=True)
            written = draft.folder / "manifest.json"
            try:
                if not written.exists():  # else it was killed on its way to being published
                    summary = make(draft)
                    write_json(written, _manifest(
                        key, recipe, revision, settings, inputs, summary,
                        origin() if origin else {}, draft))
            except Exception as error:
                if not is_full(error, draft.folder):
                    raise
                _remove_halves(draft)  # room for the records of this failure
                raise DiskFullError(f"{draft.folder}: the disk is full ({free_text(self.root)}); "
                                    "free space or set ROWGRAPH_HOME to a larger disk, then run "
                                    "again: what is finished is kept") from error
            self._finish(draft, folder, force)
            manifest = json.loads((folder / "manifest.json").read_text())
        return Artifact(key, recipe, folder, manifest), False

    def _reusable(self, key: Key, recipe: str) -> Artifact | None:
        """What `build` finds while it holds the lock."""
        return self.usable(key, recipe)

    def _finish(self, draft: Draft, folder: Path, force: bool) -> None:
        """Publish what was made."""
        _publish(draft, folder)

    def delete(self, key: Key, folder: Path) -> None:
        """Delete a finished artifact or a draft of a key; links are removed, never followed.

        It is renamed first: whatever stops this leaves nothing that looks finished or resumable.

        Raises:
            ArtifactError: another process is making it, or it cannot be removed.
        """
        recipe = folder.name.split(".")[0]
        old = folder.with_name(recipe + ".old")
        try:
            with held(folder.with_name(recipe + ".lock"), "/".join(key), wait=False):
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
                    folder.rename(old)
                shutil.rmtree(old)
        except BusyError as error:
            raise ArtifactError(str(error)) from None
        except OSError as error:
            raise ArtifactError(f"{folder} cannot be deleted ({error.strerror}); delete it by "
                                "hand") from None


def _manifest(key: Key, recipe: str, revision: int, settings: Mapping[str, Any],
              inputs: Mapping[str, str], summary: Mapping[str, Any], origin: Mapping[str, Any],
              draft: Draft) -> dict[str, Any]:
    _remove_halves(draft)
    files = {}
    for path in sorted(draft.folder.rglob("*")):
        name = path.relative_to(draft.folder)
        if path.is_file() and path.name != "manifest.json" and name.parts[0] != "state":
            files[str(name)] = {"bytes": path.stat().st_size, "digest": file_digest(path)}
    content = {n: f["digest"] for n, f in files.items() if not n.startswith("notes/")}
    return {
        "format_version": FORMAT_VERSION,
        "key": list(key),
        "stage": key[0],
        "revision": revision,
        "recipe": recipe,
        "data_version": digest(key[0], content),
        "settings": dict(settings),
        "inputs": dict(inputs),
        "summary": dict(summary),
        "files": files,
        "libraries": _library_versions(),
        "origin": dict(origin),
    }


def _remove_halves(draft: Draft) -> None:
    """Files whose writing was cut short: of this attempt, or of one that was killed."""
    for half in draft.folder.rglob("*.part"):
        half.unlink()


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _publish(draft: Draft, folder: Path) -> None:
    shutil.rmtree(draft.folder / "state", ignore_errors=True)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.folder.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hexadecimal characters."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def json_bytes(content: Any) -> bytes:
    """JSON as files of ours have it."""
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "wb") as handle:
        handle.write(json_bytes(content))
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
