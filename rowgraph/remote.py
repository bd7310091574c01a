"""Files behind a URL, by fsspec: an object store (`s3://bucket/prefix`) or a shared folder
(`file:///folder`).

A name is a path below the URL. What is written appears whole or not at all: object stores do that
by themselves, in folders a file is written beside its place and renamed. fsspec is imported when a
URL is opened.
"""

from __future__ import annotations

import errno
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

WAITS = (1.0, 4.0)  # seconds before a lost connection is tried again
BATCH = 16  # files that are on their way at a time: so much is lost with a connection
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
MARKER = "rowgraph.json"  # its presence tells an empty store from a wrong address
MOVE = "write s3://bucket/prefix, file:///folder or the path of a folder"
REFUSALS = {errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS}

T = TypeVar("T")


class RemoteError(RuntimeError):
    """A shared store that cannot be used or reached; the message names it and the next move."""


class Remote:
    """The files below one URL.

    Raises:
        RemoteError: of this and of every method: the protocol is not known or its library missing,
            there is no such bucket or folder, it refuses, or the connection is lost.
    """

    def __init__(self, url: str):
        from fsspec.core import url_to_fs

        self.url = re.sub(r"//[^/@]*@", "//", url)  # for people, without a password
        protocol, _, rest = url.partition("://")
        if not rest.strip("/"):
            raise RemoteError(f"ROWGRAPH_HOME: {self.url} names no bucket or folder; {MOVE}")
        try:
            self._files, root = url_to_fs(url, use_listings_cache=False)
        except ImportError:
            extra = "'rowgraph[s3]'" if protocol in ("s3", "s3a") else "its fsspec package"
            raise RemoteError(f"ROWGRAPH_HOME: {self.url} needs a library that is not installed; "
                              f"`pip install {extra}`, or set ROWGRAPH_HOME to a folder") from None
        except ValueError as error:
            raise RemoteError(f"ROWGRAPH_HOME: {self.url} cannot be opened ({_reason(error)}); "
                              f"{MOVE}") from None
        self.root = root.rstrip("/")
        self._local, self._objects = protocol in ("file", "local"), protocol in OBJECT_STORES

    def check(self) -> None:
        """See that it can be read, and begin it where it is empty."""
        missing = f"{self.url}: there is no such bucket or folder; make it, or mend ROWGRAPH_HOME"
        if self._local and not os.path.isdir(self.root):  # as where a share is not mounted
            raise RemoteError(missing)
        if self.read(MARKER) is None:
            try:
                self.replace(MARKER, b'{"format_version": 1}\n')
            except FileNotFoundError:
                raise RemoteError(missing) from None

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file, None where there is none."""
        try:
            return self._tried(f"reading {name}", lambda: self._files.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The bytes of several small files at once; those that are gone are left out."""
        paths = {self._path(name): name for name in names}
        if not paths:
            return {}
        found = self._tried("reading", lambda: self._files.cat(
            list(paths), on_error="return"))
        lost = [e for e in found.values() if isinstance(e, Exception)]
        if any(not isinstance(e, FileNotFoundError) for e in lost):  # once more, by itself
            both = {name: self.read(name) for name in paths.values()}
            return {name: data for name, data in both.items() if data is not None}
        return {paths[path]: data for path, data in found.items() if isinstance(data, bytes)}

    def names(self, folder: str) -> dict[str, int]:
        """The files below a folder and their bytes."""
        try:
            found = self._tried(f"listing {folder}", lambda: self._files.find(
                self._path(folder), detail=True))
        except FileNotFoundError:
            return {}
        return {path.removeprefix(self.root + "/"): facts["size"] for path, facts in found.items()}

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""
        try:
            found = self._tried(f"listing {folder}", lambda: self._files.ls(
                self._path(folder), detail=True))
        except FileNotFoundError:
            return []
        return [facts["name"].rstrip("/").rsplit("/", 1)[-1] for facts in found
                if facts["type"] == "directory"]

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one, by one conditional write where the store has it;
        returns whether it was written."""
        path = self._path(name)

        def once() -> bool:
            try:
                if self._objects:
                    self._files.pipe_file(path, data, mode="create")
                else:
                    self._beside(path, lambda part: self._files.pipe_file(part, data), new=True)
            except Exception:
                if self._files.exists(path):
                    return False
                raise
            return True

        return self._tried(f"writing {name}", once)

    def replace(self, name: str, data: bytes) -> None:
        """Write a file, or replace the one that is there."""
        path = self._path(name)

        def once() -> None:
            if self._objects:
                self._files.pipe_file(path, data)
            else:
                self._beside(path, lambda part: self._files.pipe_file(part, data))

        self._tried(f"writing {name}", once)

    def send(self, files: Mapping[Path, str]) -> None:
        """Copy files of this machine, each to a name."""
        for batch in _batches(list(files.items())):
            here, there = [str(p) for p, _ in batch], [self._path(name) for _, name in batch]

            def once(here: list[str] = here, there: list[str] = there) -> None:
                if self._objects:
                    self._files.put(here, there)
                    return
                for one, path in zip(here, there, strict=True):
                    self._beside(path, lambda part, one=one: self._files.put_file(one, part))

            self._tried(f"sending {batch[0][1]}", once)

    def fetch(self, files: Mapping[str, Path]) -> None:
        """Copy files, each from a name, to this machine.

        Raises:
            FileNotFoundError: one is not there.
        """
        for batch in _batches(list(files.items())):
            there, here = [self._path(name) for name, _ in batch], [str(p) for _, p in batch]
            for _, path in batch:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._tried(f"fetching {batch[0][0]}",
                        lambda there=there, here=here: self._files.get(there, here))

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone."""
        try:
            self._tried(f"removing {name}", lambda: self._files.rm_file(self._path(name)))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _beside(self, path: str, write: Callable[[str], Any], new: bool = False) -> None:
        """Write a file of a folder under another name, then give it its own."""
        part = f"{path}.{uuid.uuid4().hex[:8]}.part"
        self._files.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            write(part)
            if not new:
                self._files.mv(part, path)
            elif self._local:
                os.link(part, path)  # refuses where there is one
            elif self._files.exists(path):
                raise FileExistsError(path)
            else:
                self._files.mv(part, path)
        finally:
            if self._files.exists(part):
                self._files.rm_file(part)

    def _tried(self, what: str, do: Callable[[], T]) -> T:
        for wait in (*WAITS, None):
            try:
                return do()
            except (FileNotFoundError, FileExistsError):
                raise
            except Exception as error:
                if "Credentials" in type(error).__name__:
                    raise RemoteError(
                        f"{self.url}: no credentials were found; set AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY, or what this store takes, then run again") from None
                number = getattr(error, "errno", None)
                if number in (errno.ENOSPC, errno.EDQUOT):
                    raise
                if isinstance(error, (PermissionError, ValueError)) or number in REFUSALS or (
                        type(error).__name__ == "ParamValidationError"):
                    raise RemoteError(
                        f"{self.url}: {what} was refused ({_reason(error)}); mend the address, the "
                        "credentials or the rights there, then run again") from None
                if wait is None:
                    raise RemoteError(
                        f"{self.url}: the connection was lost while {what} ({_reason(error)}); see "
                        "that it can be reached, then run again: what was made is kept") from None
                time.sleep(wait)
        raise AssertionError


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rstrip(".")[:200]


def _batches(items: list[T]) -> Iterable[list[T]]:
    return (items[i:i + BATCH] for i in range(0, len(items), BATCH))
