"""A fresh place for each bad input, and the console script within this process."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.cli import main
from tests.bad_inputs.place import PROFILE, Place
from tests.pipeline.conftest import write_league, write_shop


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Path:
    """The two databases, not to be changed."""
    folder = tmp_path_factory.mktemp("sound")
    write_shop(folder / "tiny-shop")
    write_league(folder / "tiny-league")
    return folder


@pytest.fixture
def place(sound, tmp_path, monkeypatch) -> Place:
    """Everything in order, for this test alone."""
    shutil.copytree(sound, tmp_path / "databases")
    (tmp_path / "tiny.yaml").write_text(PROFILE)
    for name in ("ROWGRAPH_PROFILE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROWGRAPH_DATABASES", str(tmp_path / "databases"))
    monkeypatch.setenv("ROWGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return Place(tmp_path, monkeypatch.setenv)


@dataclass(frozen=True)
class Answer:
    """What a command said, and how long it took."""

    status: int
    out: str
    err: str
    seconds: float


@pytest.fixture
def rowgraph(capsys, monkeypatch):
    """Runs a command of the console script in this process."""
    def command(*words: object) -> Answer:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["rowgraph", *map(str, words)])
        started = time.perf_counter()
        with pytest.raises(SystemExit) as left:
            main()
        seconds = time.perf_counter() - started
        return Answer(left.value.code or 0, *capsys.readouterr(), seconds)
    return command
