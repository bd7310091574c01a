"""A tiny awkward world: a timeless table, an all-null column, null and float keys, a table that
references itself, a row without a time, a same-day event, an entity task and a recommendation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml


@dataclass
class World:
    """A RelBench 3 folder that a test may damage."""

    folder: Path

    def manifest(self, change: Callable[[dict], object], task: str | None = None) -> None:
        """Rewrite the manifest of the database or of a task."""
        path = self.folder / (f"tasks/{task}" if task else "") / "manifest.yaml"
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def column(self, table: str, name: str, values: object,
               kind: pa.DataType | None = None) -> None:
        """Replace or add a column of as many values as the table has rows."""
        path = self.path(table)
        content = pq.read_table(path)
        array = values if isinstance(values, pa.Array) else pa.array(values, kind)
        at = content.schema.get_field_index(name)
        content = (content.append_column(name, array) if at < 0
                   else content.set_column(at, name, array))
        pq.write_table(content, path)

    def path(self, table: str) -> Path:
        """A table's file, or with a slash a label table's ("player-active/train")."""
        parts = ("tasks", *table.split("/")) if "/" in table else ("db", table)
        return self.folder.joinpath(*parts).with_suffix(".parquet")

    def read(self, table: str) -> dict[str, list]:
        """A table as columns of Python values."""
        return pq.read_table(self.path(table)).to_pydict()


def day(text: str | None) -> int | None:
    """Microseconds since 1970 of a date."""
    import numpy as np

    return None if text is None else int(np.datetime64(text, "us").astype(int))


def times(*texts: str | None) -> pa.Array:
    """A timestamp column from dates."""
    return pa.array([day(t) for t in texts], pa.timestamp("us"))


MANIFEST = """
name: tiny
manifest_version: 1
val_timestamp: '2020-01-01'
test_timestamp: '2021-01-01'
tables:
  teams: {pkey: team_id, time_col: null, fkeys: {}}
  players:
    pkey: player_id
    time_col: joined
    fkeys: {team_id: teams, mentor_id: players}
  games: {pkey: null, time_col: date, fkeys: {player_id: players, team_id: teams}}
"""
ACTIVE = """
name: player-active
kind: forecast
task_type: binary_classification
entity_table: players
entity_col: player_id
target_col: active
time_col: timestamp
timedelta: 365 days
sql: SELECT t.timestamp, p.player_id, 1 AS active FROM timestamps t, players p
"""
TEAMS = """
name: player-teams
kind: forecast
task_type: recommendation
src_entity_table: players
src_entity_col: player_id
dst_entity_table: teams
dst_entity_col: team_id
time_col: timestamp
timedelta: 365 days
eval_k: 2
sql: SELECT t.timestamp, p.player_id, [0] AS team_id FROM timestamps t, players p
"""


def write_world(folder: Path) -> World:
    """Write the sound world."""
    tables = {
        "teams": {
            "team_id": pa.array([0, 1, 2]),
            "name": pa.array(["Ants", "Bees", None]),
            "motto": pa.array([None, None, None], pa.string()),
        },
        "players": {
            "player_id": pa.array([0, 1, 2, 3, 4]),
            "joined": times("2018-01-01", "2019-01-01", "2019-01-01", "2021-06-01", None),
            "team_id": pa.array([0, None, 2, 1, 0]),
            "mentor_id": pa.array([None, 0, 0, 2, 4]),
        },
        "games": {
            "date": times("2020-05-01", "2018-05-01", "2018-05-01", "2020-01-01", "2021-02-01",
                          None),
            "player_id": pa.array([0.0, float("nan"), 2.0, None, 3.0, 0.0]),
            "team_id": pa.array([0, 1, 2, 0, None, 1], pa.int32()),
            "score": pa.array([1.5, None, 0.0, 2.0, -1.0, 7.25]),
        },
    }
    labels = {
        "player-active": {
            "train": (times("2018-06-01", "2019-06-01"), pa.array([0, 1]), pa.array([1, 0])),
            "val": (times("2020-01-01"), pa.array([2]), pa.array([1])),
            "test": (times("2021-01-01", "2021-01-01"), pa.array([0, 2]), pa.array([0, 1])),
        },
        "player-teams": {
            "train": (times("2018-06-01", "2019-06-01"), pa.array([0, 1]),
                      pa.array([[0, 1], [2]])),
            "val": (times("2020-01-01"), pa.array([1]), pa.array([[0, 1, 2]])),
            "test": (times("2021-01-01"), pa.array([2]), pa.array([[1]])),
        },
    }
    (folder / "db").mkdir(parents=True)
    (folder / "manifest.yaml").write_text(MANIFEST)
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / "db" / f"{name}.parquet")
    for task, manifest, target in (("player-active", ACTIVE, "active"),
                                   ("player-teams", TEAMS, "team_id")):
        (folder / "tasks" / task).mkdir(parents=True)
        (folder / "tasks" / task / "manifest.yaml").write_text(manifest)
        for split, (when, who, what) in labels[task].items():
            pq.write_table(pa.table({"timestamp": when, "player_id": who, target: what}),
                           folder / "tasks" / task / f"{split}.parquet")
    return World(folder)


@pytest.fixture(scope="session")
def _sound(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("sound") / "tiny").folder


@pytest.fixture
def world(tmp_path: Path, _sound: Path) -> World:
    """The sound world, for this test alone."""
    shutil.copytree(_sound, tmp_path / "databases" / "tiny")
    return World(tmp_path / "databases" / "tiny")


@pytest.fixture
def to_times() -> Callable[..., pa.Array]:
    """Makes a timestamp column from dates."""
    return times


@pytest.fixture
def no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache instead of the user's."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
