"""A world of two tiny databases and a profile over them, small enough to run end to end."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from pipeline.environment import Environment
from pipeline.plan import plan, select_assets, with_upstream
from pipeline.running import run
from rowgraph.locks import held
from rowgraph.profiles import load_profile

DAY = np.timedelta64(1, "D")


def write_database(folder: Path, tables: dict, frames: dict) -> None:
    """A RelBench 3 folder from frames; the first table's times set the split timestamps."""
    (folder / "db").mkdir(parents=True)
    manifest = {"name": folder.name, "manifest_version": 1, "val_timestamp": "2020-08-01",
                "test_timestamp": "2020-10-01", "tables": tables}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    for name, frame in frames.items():
        frame.write_parquet(folder / "db" / f"{name}.parquet")


def write_shop(folder: Path) -> None:
    rng = np.random.default_rng(7)
    dates = np.sort(np.datetime64("2020-01-01", "us") + rng.integers(0, 360, 240) * DAY)
    write_database(folder, {
        "customers": {"pkey": "customer_id", "time_col": None, "fkeys": {}},
        "orders": {"pkey": None, "time_col": "date", "fkeys": {"customer_id": "customers"}},
    }, {
        "customers": pl.DataFrame({
            "customer_id": np.arange(40), "city": rng.choice(["Ulm", "Bonn", "Köln"], 40),
            "age": rng.integers(18, 80, 40)}),
        "orders": pl.DataFrame({
            "date": dates, "customer_id": rng.integers(0, 40, 240),
            "item": rng.choice(["tea", "rice", "soap", "salt"], 240),
            "price": rng.normal(9, 3, 240).round(2)}),
    })


def write_league(folder: Path) -> None:
    rng = np.random.default_rng(8)
    players, games = 30, 600
    player = rng.integers(0, players, games)
    dates = np.sort(np.datetime64("2020-01-01", "us") + rng.integers(0, 390, games) * DAY)
    points = (player % 2) * 4 + rng.integers(0, 3, games)
    write_database(folder, {
        "players": {"pkey": "player_id", "time_col": None, "fkeys": {}},
        "games": {"pkey": None, "time_col": "date", "fkeys": {"player_id": "players"}},
    }, {
        "players": pl.DataFrame({"player_id": np.arange(players),
                                 "name": [f"player {i}" for i in range(players)]}),
        "games": pl.DataFrame({"date": dates, "player_id": player, "points": points}),
    })
    write_task(folder, "wins", "binary_classification", rng, lambda p: (p % 2).astype(float))
    write_task(folder, "score", "regression", rng,
               lambda p: (p % 2) * 4.0 + rng.normal(0, 1, len(p)))


def write_task(folder: Path, name: str, task_type: str, rng, target) -> None:
    task = folder / "tasks" / name
    task.mkdir(parents=True)
    (task / "manifest.yaml").write_text(yaml.safe_dump({
        "name": name, "kind": "external", "task_type": task_type, "entity_table": "players",
        "entity_col": "player_id", "target_col": "target", "time_col": "timestamp",
        "timedelta": "30 days", "manifest_version": 1}, sort_keys=False))
    months = {"train": range(2, 8), "val": [8, 9], "test": [10, 11]}
    for split, chosen in months.items():
        stamps = np.repeat([np.datetime64(f"2020-{m:02d}-01", "us") for m in chosen], 20)
        players = np.concatenate([rng.permutation(30)[:20] for _ in chosen])
        values = target(players)
        if task_type.startswith("binary"):
            values = np.where(rng.random(len(values)) < 0.1, 1 - values, values).astype(np.int64)
        pl.DataFrame({"timestamp": stamps, "player_id": players, "target": values}).write_parquet(
            task / f"{split}.parquet")


PROFILE = """
databases:
  - {name: tiny-shop, role: pretrain}
  - {name: tiny-league, role: heldout, tasks: [wins, score]}
sampled_rows: {rows: 200}
bart_checkpoint:
  {checkpoint: null, vocabulary: 400, d_model: 16, encoder_layers: 1, decoder_layers: 1, heads: 2,
   ffn_dim: 32, max_tokens: 48, epochs: 1, effective_batch: 32, device_batch: 32,
   learning_rate: 0.001, min_spread: 0.0, min_effective_rank: 1.0, health_rows: 40,
   precision: fp32}
sage_weights:
  {hidden: 16, batch: 64, epochs: 2, fan_out: [4, 2], learning_rate: 0.01}
downstream_metrics:
  {seeds: [0, 1], epochs: 2, batch: 64, fan_out: [4, 2], head_hidden: 8, workers: 1}
baseline_metrics: {seeds: [0, 1], trees: 10}
forecast_weights: {steps: 4, width: 8, output: 8, batch: 16, questions: 4, synthetic: 2}
own_past_weights: {seeds: [0], steps: 4, width: 8, output: 8, batch: 16, questions: 4, workers: 1}
rowgraph_metrics:
  {seeds: [0, 1], untrained: 1, trees: 10, bags: 1, linear_features: 20, steps: 4, workers: 1}
splits: {folds: 2}
evaluation: {bootstrap: 50}
row_map: {rows: 60}
imputation_metrics:
  {rows_per_column: 10, min_rows: 5, fit_rows: 100, trees: 5, classes: 5, max_new_tokens: 6,
   bootstrap: 50}
"""


@contextlib.contextmanager
def only_once(tmp_path_factory, name: str):
    """A folder that all workers of a run share, and whether it is still to be filled."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with held(root / f"{name}.lock", f"the tests' {name}"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
        yield folder, not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def databases(tmp_path_factory) -> Path:
    """A folder with the two databases; tests that break one copy it first."""
    with only_once(tmp_path_factory, "databases") as (folder, missing):
        if missing:
            write_shop(folder / "tiny-shop")
            write_league(folder / "tiny-league")
    return folder


@pytest.fixture(scope="session")
def profile_path(tmp_path_factory) -> Path:
    """The profile over the two."""
    with only_once(tmp_path_factory, "profiles") as (folder, missing):
        if missing:
            folder.mkdir()
            (folder / "tiny.yaml").write_text(PROFILE)
    return folder / "tiny.yaml"


class Listener:
    """Remembers what was made and what was reused, in order."""

    def __init__(self):
        self.made, self.reused, self.steps = [], [], 0

    def note(self, text):
        """Something is said."""

    def start(self, name):
        """An asset starts."""

    def update(self, step, metrics, of=None):
        """It moves."""
        self.steps += 1

    def finish(self, name, *, reused, seconds, peak_mib):
        """It ends."""
        (self.reused if reused else self.made).append(name)


class World:
    """A home over the tiny databases, with profiles that extend the tiny one."""

    def __init__(self, home: Path, databases: Path, profile: Path):
        self.home, self.databases, self.profile = home, databases, profile

    def environment(self, changes: str = "") -> Environment:
        """The tiny profile with YAML changes on top; equal changes share a profile name."""
        path = self.profile
        if changes:
            # A folder of its own: another worker may change the same world's profile now.
            path = Path(tempfile.mkdtemp(dir=self.home.parent)) / "changed.yaml"
            path.write_text(f"extends: {self.profile}\n{changes}")
        return Environment(load_profile(path), self.home, self.databases, None, hub=False)

    def due(self, changes: str = "") -> list[str]:
        """Names of the assets that would run."""
        return [p.node.name for p in plan(self.environment(changes)) if p.action == "run"]

    def run(self, changes: str = "", select=None, force=False, tracked=False):
        """As `rowgraph run`; returns the failures and who was made or reused."""
        environment = self.environment(changes)
        planned = plan(environment)
        chosen = select_assets(planned, select) if select else planned
        todo = with_upstream(planned, [p for p in chosen if force or p.action != "current"])
        listener = Listener()
        forced = {p.node.key for p in chosen} if force else set()
        failures = run(environment, todo, forced, listener, tracked) if todo else []
        return failures, listener


@pytest.fixture(scope="session")
def finished(tmp_path_factory, databases, profile_path) -> World:
    """A home in which the tiny profile has run once, tracked. Not to be changed.

    A minute's work, so it is done once for all workers; each has a copy, for what is open in one
    leaves files beside Dagster's and MLflow's records that are gone while another copies them.
    """
    with only_once(tmp_path_factory, "finished") as (folder, missing):
        if missing:
            world = World(folder / "home", databases, profile_path)
            failures, listener = world.run(tracked=True)
            assert not failures, failures
            assert len(listener.made) == len(plan(world.environment()))
            assert listener.steps > 0
        home = tmp_path_factory.mktemp("finished") / "home"
        shutil.copytree(folder / "home", home)
    return World(home, databases, profile_path)


@pytest.fixture
def world(finished, tmp_path) -> World:
    """A copy of the finished world that a test may change."""
    shutil.copytree(finished.home, tmp_path / "home")
    shutil.copytree(finished.databases, tmp_path / "databases")
    profile = tmp_path / "tiny.yaml"
    shutil.copy(finished.profile, profile)
    return World(tmp_path / "home", tmp_path / "databases", profile)
