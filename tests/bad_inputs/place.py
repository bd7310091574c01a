"""A place that a test may spoil: two sound databases, a profile over them, a home."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline.environment import Environment
from pipeline.plan import plan
from resources.store import handle_path
from rowgraph.artifacts import Artifact, ArtifactStore, write_json

PROFILE = """
databases:
  - {name: tiny-shop, role: pretrain}
  - {name: tiny-league, role: heldout, tasks: [wins, score]}
"""
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
RESULTS = {"database": "tiny-league", "task": "wins", "regime": "rolling", "variant": "rowgraph",
           "metric": "roc_auc", "n_test": 40, "seeds": 1, "mean": 0.5, "std": None, "ci_low": None,
           "ci_high": None, "source": "measured"}


@dataclass(frozen=True)
class Place:
    """Where a test works.

    Args:
        root: holds `tiny.yaml`, `databases/` and, once something is made, `home/`.
        environ: sets an environment variable.
    """

    root: Path
    environ: Callable[[str, str], None]

    @property
    def profile(self) -> Path:
        """The profile's file."""
        return self.root / "tiny.yaml"

    @property
    def home(self) -> Path:
        """ROWGRAPH_HOME."""
        return self.root / "home"

    @property
    def league(self) -> Path:
        """The held-out database."""
        return self.root / "databases/tiny-league"

    def finish(self, stage: str, make: Callable[[Any], dict], database: str | None = None,
               ) -> Artifact:
        """An artifact as `rowgraph run` would leave it, of other content."""
        environment = Environment.read(str(self.profile))
        node = next(p.node for p in plan(environment) if p.node.stage == stage and (
            database is None or p.node.database.name == database))
        origin = {}
        if database is not None:
            from rowgraph.databases.resolving import find_here
            origin = {"origin": find_here(database, folders=environment.databases).fingerprint}
        artifact, _ = ArtifactStore(self.home).build(
            node.key, node.revision, node.section.effective(), origin, make)
        path = handle_path(self.home, "tiny", node.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"key": list(node.key), "recipe": artifact.recipe,
                          "data_version": artifact.data_version})
        return artifact

    def report(self) -> Artifact:
        """A finished report of one row."""
        def make(draft):
            pl.DataFrame([RESULTS]).write_parquet(draft.path("results.parquet"))
            return {}
        return self.finish("report", make)

    def source(self) -> Artifact:
        """The league as a finished source."""
        def make(draft):
            shutil.copytree(self.league, draft.folder, dirs_exist_ok=True)
            return {"warnings": []}
        return self.finish("source", make, "tiny-league")


def profile(text: str | bytes) -> Callable[[Place], object]:
    """Another profile."""
    return lambda place: place.profile.write_bytes(
        text if isinstance(text, bytes) else text.encode())


def setting(text: str) -> Callable[[Place], object]:
    """The profile with more settings."""
    return profile(PROFILE + text)


def written(name: str, content: str | bytes | None, then: Callable[[Place], object],
            ) -> Callable[[Place], object]:
    """A file beside the profile (None: a pipe), and then something else."""
    def make(place):
        path = place.root / name
        if content is None:
            os.mkfifo(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        then(place)
    return make


def manifest(change: Callable[[dict], object], task: str | None = None) -> Callable[[Place], None]:
    """Another manifest of the league or of one of its tasks."""
    def spoil(place):
        path = place.league / (f"tasks/{task}" if task else "") / "manifest.yaml"
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    return spoil


def text(words: str | bytes, where: str = "manifest.yaml") -> Callable[[Place], object]:
    """A file of the league with other content."""
    return lambda place: (place.league / where).write_bytes(
        words if isinstance(words, bytes) else words.encode())


def instead(put: Callable[[Path], object], where: str = "db/games.parquet",
            ) -> Callable[[Place], object]:
    """Something else in the place of a file or a folder of the league."""
    def spoil(place):
        path = place.league / where
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        put(path)
    return spoil


def column(name: str, values: Callable[[int], object] | pa.Array,
           where: str = "db/games.parquet", kind: pa.DataType | None = None,
           ) -> Callable[[Place], None]:
    """A column of a table of the league, replaced or added."""
    def spoil(place):
        table = pq.read_table(place.league / where)
        array = values if isinstance(values, pa.Array) else pa.array(
            [values(i) for i in range(len(table))], kind)
        at = table.schema.get_field_index(name)
        pq.write_table(table.append_column(name, array) if at < 0 else
                       table.set_column(at, name, array), place.league / where)
    return spoil


SQL = """
SELECT t.timestamp, p.player_id, CAST(count(g.points) > 2 AS INT) AS target
FROM timestamps t CROSS JOIN players p LEFT JOIN games g ON g.player_id = p.player_id
AND g.date > t.timestamp AND g.date <= t.timestamp + INTERVAL '{timedelta}' GROUP BY ALL"""


def forecast(sql: object = SQL, **changes: object) -> Callable[[Place], None]:
    """The task `wins` as one whose labels are made by SQL."""
    def spoil(place):
        folder = place.league / "tasks/wins"
        for labels in folder.glob("*.parquet"):
            labels.unlink()
        (folder / "manifest.yaml").write_text(yaml.safe_dump({
            "name": "wins", "kind": "forecast", "task_type": "binary_classification",
            "entity_table": "players", "entity_col": "player_id", "target_col": "target",
            "time_col": "timestamp", "timedelta": "30 days", "sql": sql} | changes))
    return spoil
