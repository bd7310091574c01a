"""Places that homes are shared by: a folder, and a bucket of an S3 server on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Shared:
    """A URL that homes are shared by, and its files as they lie there."""

    url: str
    names: Callable[[], list[str]]
    read: Callable[[str], bytes]
    write: Callable[[str, bytes], object]

    def flip(self, ending: str) -> str:
        """Flip a bit of the one file whose name ends so; returns its name."""
        (name,) = (n for n in self.names() if n.endswith(ending))
        data = bytearray(self.read(name))
        data[0] ^= 1
        self.write(name, bytes(data))
        return name


def shared_folder(folder: Path) -> Shared:
    folder.mkdir()
    return Shared(f"file://{folder}",
                  lambda: [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()],
                  lambda name: (folder / name).read_bytes(),
                  lambda name, data: (folder / name).write_bytes(data))


class Server:
    """An S3 server that starts each time at the same address and with the same buckets."""

    def __init__(self, make: Callable[[int], Any]):
        self._make, self._running, self.port = make, None, 0
        self.start()

    def start(self) -> None:
        """Begin to serve."""
        self._running = self._make(self.port)
        self._running.start()
        self.port = self._running.get_host_and_port()[1]

    def stop(self) -> None:
        """No longer answer."""
        self._running.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """One for all tests."""
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = Server(lambda port: moto.ThreadedMotoServer("127.0.0.1", port, verbose=False))
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch) -> Iterator[Server]:
    """The server, and the environment that leads to it."""
    import s3fs

    for name, value in {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_server.port}",
                        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
                        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield s3_server
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(s3, tmp_path) -> Shared:
    """A bucket of its own for each test."""
    import boto3

    client, name = boto3.client("s3"), tmp_path.name.replace("_", "-").lower()[:60].strip("-")
    client.create_bucket(Bucket=name)

    def names():
        found = client.list_objects_v2(Bucket=name).get("Contents", ())
        return [one["Key"].removeprefix("rows/") for one in found]

    return Shared(
        f"s3://{name}/rows", names,
        lambda key: client.get_object(Bucket=name, Key=f"rows/{key}")["Body"].read(),
        lambda key, data: client.put_object(Bucket=name, Key=f"rows/{key}", Body=data))


@pytest.fixture(params=["folder", "bucket"])
def shelf(request, tmp_path) -> Shared:
    """Either of them."""
    if request.param == "folder":
        return shared_folder(tmp_path / "shared")
    return request.getfixturevalue("bucket")
