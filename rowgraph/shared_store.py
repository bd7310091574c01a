"""A home whose artifacts and records are shared by URL: docs/decisions/shared-store.md

The home itself stays an ordinary folder of this machine: what is read and memory-mapped lies in it,
and so do drafts, training state, locks and the databases of Dagster and MLflow. `remote.json` names
the URL. There an artifact is `artifacts/<key>/<recipe>/<digest of a file>/<name of the file>` and a
manifest beside those, written last by one conditional write, so that of two machines that finish
the same artifact one is first and the other adopts it. Records (which artifact is a profile's
latest, who is champion, what audits found) are small files that the last writer wins.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rowgraph.artifacts import (
    FORMAT_VERSION,
    Artifact,
    ArtifactError,
    ArtifactStore,
    DiskFullError,
    Draft,
    Key,
    file_digest,
    json_bytes,
    parse_manifest,
    read_manifest,
    write_json,
)
from rowgraph.disk import free_text, is_full
from rowgraph.locks import held
from rowgraph.remote import Remote, RemoteError

NAMED_IN = "remote.json"
RECORDS = ("handles", "champions", "audits")
RECIPE = re.compile(r"[0-9a-f]{16}")
MANIFEST = "manifest.json"
WORTH_A_WORD = 100e6  # bytes
log = logging.getLogger(__name__)


class DamagedError(ArtifactError):
    """An artifact whose bytes in the shared store are not those that were published."""


def share(home: Path, url: str) -> None:
    """Make a folder the home of what is shared by a URL; a home with artifacts brings them along.

    Raises:
        ArtifactError: it is the home of another URL's.
        OSError: it cannot be written.
    """
    known = shared_url(home)
    if known is None:
        home.mkdir(parents=True, exist_ok=True)
        write_json(home / NAMED_IN, {"url": url})
    elif known != url:
        raise ArtifactError(f"{home} holds what is shared by {Remote(known).url}; set "
                            "ROWGRAPH_CACHE to another folder, or ROWGRAPH_HOME to that URL")


def shared_url(home: Path) -> str | None:
    """The URL by which a home is shared; None for a home of this machine alone.

    Raises:
        ArtifactError: the file that names it is broken.
    """
    path = Path(home) / NAMED_IN
    try:
        return str(json.loads(path.read_bytes())["url"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        raise ArtifactError(f"{path} is broken; delete it") from None


def open_store(home: Path) -> ArtifactStore:
    """The artifacts of a home, shared ones where it is shared.

    Raises:
        RemoteError: its URL cannot be used.
    """
    url = shared_url(home)
    return ArtifactStore(home) if url is None else SharedStore(home, Remote(url))


def write_record(home: Path, path: Path, content: Any) -> None:
    """Write a record of a home: in a shared one first where all see it.

    Raises:
        RemoteError: it cannot be written there; then it is not written here either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    url = shared_url(home)
    if url is None:
        return write_json(path, content)
    with held(Path(home) / "records.lock", "the records of the home"):
        Remote(url).replace(str(path.relative_to(home)), json_bytes(content))
        return write_json(path, content)


def pull(home: Path, profile: str | None = None) -> None:
    """Bring the records of a shared home up to date; nothing in any other home.

    Args:
        profile: whose handles are brought; None = of every one.

    Raises:
        RemoteError: the URL cannot be read.
    """
    url = shared_url(home)
    if url is None:
        return
    remote = Remote(url)
    remote.check()
    handles = f"handles/{profile}" if profile else "handles"
    with held(home / "records.lock", "the records of the home"):
        for folder in (handles, *RECORDS[1:]):
            there = remote.read_many(n for n in remote.names(folder) if n.endswith(".json"))
            here = {str(p.relative_to(home)) for p in (home / folder).rglob("*.json")}
            for name in here - there.keys():
                if folder == handles:
                    (home / name).unlink()  # its asset is recorded again, and made where it must
                else:
                    remote.replace(name, (home / name).read_bytes())
            for name, data in there.items():
                if ".." not in Path(name).parts:
                    _take(home, name, data)


def _take(home: Path, name: str, data: bytes) -> None:
    path = home / name
    if path.exists() and path.read_bytes() == data:
        return
    if name.startswith("handles/"):
        try:
            handle = json.loads(data)
            if not all(re.fullmatch(r"\w+", word) for word in (*handle["key"], handle["recipe"])):
                return
            _forget_older(home, tuple(handle["key"]), handle["recipe"], handle["data_version"])
        except (ValueError, KeyError, TypeError):
            return  # a broken handle is none
        except ArtifactError:
            return  # a process here is at it; the next time asks again
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def _forget_older(home: Path, key: Key, recipe: str, data_version: str) -> None:
    """Remove this machine's copy of an artifact that another has made again, to other bytes."""
    store = ArtifactStore(home)
    manifest = read_manifest(store.folder(key, recipe) / MANIFEST)
    if manifest is not None and manifest["data_version"] != data_version:
        store.delete(key, store.folder(key, recipe))


class SharedStore(ArtifactStore):
    """The artifacts of a home and of the URL that it is shared by.

    What is not here is looked for there: its manifest at once, its files when its folder is asked
    for, each compared with its digest on arrival. All that is finished here is finished there too.
    """

    def __init__(self, home: Path, remote: Remote):
        super().__init__(home)
        self.remote = remote

    def find(self, key: Key, recipe: str) -> Artifact | None:
        """As the home's own; an artifact that is only there brings its files when asked for its
        folder.

        Raises:
            RemoteError: the shared store cannot be read.
        """
        damage = None
        try:
            if found := super().find(key, recipe):
                return found
        except ArtifactError as error:
            damage = error
        manifest = self._manifest(key, recipe)
        if manifest is not None:
            return Artifact(key, recipe, self.folder(key, recipe), manifest, self._bring)
        if damage:
            raise damage
        return None

    def here(self, key: Key, recipe: str) -> Artifact | None:
        """As `usable`, once its files have arrived."""
        with self._held(key, recipe):
            return self._reusable(key, recipe)

    def finished(self, key: Key) -> list[Artifact]:
        """Every finished artifact of a key here and there, the one that was made last first."""
        found = {a.recipe: a for a in super().finished(key)}
        names = {f"{_place(key, recipe)}/{MANIFEST}": recipe
                 for recipe in self.remote.folders("/".join(("artifacts", *key)))
                 if RECIPE.fullmatch(recipe) and recipe not in found}
        for name, data in self.remote.read_many(names).items():
            manifest, recipe = parse_manifest(data), names[name]
            if manifest is not None and (manifest["key"], manifest["recipe"]) == (
                    list(key), recipe):
                found[recipe] = Artifact(key, recipe, self.folder(key, recipe), manifest,
                                         self._bring)
        return sorted(found.values(), reverse=True,
                      key=lambda a: a.manifest["origin"].get("made_at", ""))

    def _held(self, key: Key, recipe: str) -> contextlib.AbstractContextManager[None]:
        path = self.folder(key, recipe).with_name(recipe + ".lock")
        return held(path, "/".join(key))

    def _bring(self, artifact: Artifact) -> None:
        with self._held(artifact.key, artifact.recipe):
            with contextlib.suppress(ArtifactError):
                found = super().find(artifact.key, artifact.recipe)
                if found and found.data_version == artifact.data_version:
                    return
            self._fetch(artifact.key, artifact.recipe, artifact.manifest)

    def _reusable(self, key: Key, recipe: str) -> Artifact | None:
        found = self.usable(key, recipe)
        if found is None:
            return None
        if found.bring is None:
            self._offer(key, recipe, found.manifest, found.place)
            return found
        try:
            self._fetch(key, recipe, found.manifest)
        except DamagedError as error:
            warnings.warn(f"{error} (doing so now)", stacklevel=2)
            return None
        return super().find(key, recipe)

    def _finish(self, draft: Draft, folder: Path, force: bool) -> None:
        """Publish there, then here: an interruption between the two leaves a whole draft."""
        manifest = json.loads((draft.folder / MANIFEST).read_text())
        key, recipe = tuple(manifest["key"]), manifest["recipe"]
        while True:
            if self._offer(key, recipe, manifest, draft.folder, replace=force):
                return super()._finish(draft, folder, force)
            try:
                theirs = self._manifest(key, recipe)
                if theirs == manifest:  # the answer to an earlier try was lost
                    return super()._finish(draft, folder, force)
                if theirs is not None:
                    log.warning("%s was finished elsewhere meanwhile, and that one is taken",
                                "/".join(key))
                    self._fetch(key, recipe, theirs)
                    return shutil.rmtree(draft.folder)
            except ArtifactError as error:
                log.warning("%s; the one that was made here takes its place", error)
                force = True

    def _offer(self, key: Key, recipe: str, manifest: dict[str, Any], folder: Path,
               replace: bool = False) -> bool:
        """Copy an artifact there unless it is finished there; whether this one is now."""
        place = _place(key, recipe)
        name = f"{place}/{MANIFEST}"
        if not replace and self.remote.read(name) is not None:
            return False
        with self._room():
            there = self.remote.names(place)
            self.remote.send({
                folder / file: named for file, facts in manifest["files"].items()
                if there.get(named := _named(place, file, facts)) != facts["bytes"]})
        data = json_bytes(manifest)
        if not replace:
            return self.remote.create(name, data)
        self.remote.replace(name, data)
        return True

    def _fetch(self, key: Key, recipe: str, manifest: dict[str, Any]) -> None:
        """Copy an artifact here, while its lock is held. What an earlier try brought counts.

        Raises:
            DamagedError: a file is not there, or twice arrived with other bytes; then the artifact
                counts as unfinished there as well.
        """
        folder, place = self.folder(key, recipe), _place(key, recipe)
        arriving = folder.with_name(recipe + ".arriving")
        arriving.mkdir(parents=True, exist_ok=True)
        name, size = "/".join(key), sum(f["bytes"] for f in manifest["files"].values())
        again = f"`rowgraph run --select {name}` makes it again"
        if size > WORTH_A_WORD:
            log.warning("%s: %.1f GB come from %s", name, size / 1e9, self.remote.url)
        waiting = _unlike(arriving, manifest["files"])
        for _ in range(2):
            if waiting:
                there = self.remote.names(place)
                lost = [named for f in waiting.items() if (named := _named(place, *f)) not in there]
                if lost:
                    self._withdraw(place, lost)
                    raise DamagedError(f"{self.remote.url}/{lost[0]} is missing; {again}")
                with self._room():
                    self.remote.fetch({_named(place, file, facts): arriving / file
                                       for file, facts in waiting.items()})
                waiting = _unlike(arriving, waiting)
        if waiting:
            shutil.rmtree(arriving)
            wrong = [_named(place, *item) for item in waiting.items()]
            self._withdraw(place, wrong)
            raise DamagedError(f"{self.remote.url}/{wrong[0]}: the bytes are not those that were "
                               f"published; {again}")
        write_json(arriving / MANIFEST, manifest)
        super()._finish(Draft(arriving), folder, False)

    def _withdraw(self, place: str, wrong: list[str]) -> None:
        """Remove a manifest that says what is not so, and the files that are not what it says."""
        with contextlib.suppress(RemoteError):  # one may read there, but not write
            for name in (f"{place}/{MANIFEST}", *wrong):
                self.remote.remove(name)

    def _manifest(self, key: Key, recipe: str) -> dict[str, Any] | None:
        name = f"{_place(key, recipe)}/{MANIFEST}"
        data = self.remote.read(name)
        if data is None:
            return None
        manifest = parse_manifest(data)
        if manifest is None or (manifest["format_version"], manifest["recipe"]) != (
                FORMAT_VERSION, recipe):
            raise ArtifactError(f"{self.remote.url}/{name}: the manifest is broken; `rowgraph run "
                                f"--select {'/'.join(key)}` makes it again")
        return manifest

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not is_full(error, self.root):
                raise
            raise DiskFullError(
                f"the disk is full on the way between {self.remote.url} and {self.root} "
                f"({free_text(self.root)} here); free space, then run again: what is finished is "
                "kept") from error


def _place(key: Key, recipe: str) -> str:
    return "/".join(("artifacts", *key, recipe))


def _named(place: str, file: str, facts: dict[str, Any]) -> str:
    """By its digest: whoever writes it writes the same bytes."""
    return f"{place}/{facts['digest']}/{file}"


def _unlike(folder: Path, files: dict[str, Any]) -> dict[str, Any]:
    """Those whose bytes are not what their digests say."""
    return {file: facts for file, facts in files.items()
            if not (folder / file).is_file() or file_digest(folder / file) != facts["digest"]}
