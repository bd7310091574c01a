"""Label tables that are not shipped are made as RelBench makes them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowgraph.databases.database import Database
from rowgraph.databases.label_schema import LabelSchema
from rowgraph.databases.labelling import Span, make_labels, why_no_query, why_not

SPLITS = ("train", "val", "test")
SQL = """
SELECT t.timestamp, p.player_id, COUNT(g.player_id) > 2 AS active
FROM timestamps t CROSS JOIN players p
LEFT JOIN games g ON g.player_id = p.player_id AND g.date > t.timestamp
  AND g.date <= t.timestamp + INTERVAL '{timedelta}'
WHERE p.joined <= t.timestamp GROUP BY 1, 2
"""


@pytest.fixture
def busy(world) -> Database:
    """The world with a game every ten days of six years, and no labels."""
    moments = np.datetime64("2017-01-03", "us") + 10 * np.arange(220) * np.timedelta64(1, "D")
    players = [None if i % 17 == 0 else i % 3 for i in range(220)]
    pq.write_table(pa.table({
        "date": pa.array([None if i % 23 == 0 else m for i, m in enumerate(moments)],
                         pa.timestamp("us")),
        "player_id": pa.array(players, pa.float64()), "team_id": [i % 3 for i in range(220)],
        "score": pa.array([None if i % 5 == 0 else float(i % 7) for i in range(220)]),
        "won": pa.array([None if i % 11 == 0 else i % 2 == 0 for i in range(220)])},
    ), world.path("games"))
    for split in SPLITS:
        world.path(f"player-active/{split}").unlink()
    world.manifest(lambda m: m.update(sql=SQL, timedelta="90 days"), "player-active")
    return Database.open(world.folder)


def schema(database: Database, name: str) -> LabelSchema:
    return LabelSchema.read(database.folder / "tasks" / name / "manifest.yaml", database.tables)


def autocomplete(database: Database, table: str, target: str, task_type: str = "regression",
                 **more: object) -> LabelSchema:
    """A task about a column, with its folder."""
    folder = database.folder / "tasks" / f"{table}-{target}"
    folder.mkdir()
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": folder.name, "kind": "autocomplete", "task_type": task_type,
        "entity_table": table, "target_col": target, **more}))
    return schema(database, folder.name)


def relbench_labels(folder: Path, name: str,
                    splits: tuple[str, ...] = SPLITS) -> dict[str, pa.Table]:
    import relbench

    task = relbench.load_dataset(folder).load_task(name, regenerate=True)
    return {s: pa.Table.from_pandas(task.get_table(s, mask_input_cols=False).df,
                                    preserve_index=False) for s in splits}


def test_labels_of_a_query_are_those_that_relbench_makes(busy):
    made = make_labels(busy, schema(busy, "player-active"), SPLITS)
    for split, table in relbench_labels(busy.folder, "player-active").items():
        assert made[split].to_pydict() == table.to_pydict()
        assert len(set(made[split]["active"].to_pylist())) == 2


def test_lists_of_destinations_are_those_that_relbench_makes(busy):
    busy.folder.joinpath("tasks/player-teams/manifest.yaml").write_text(yaml.safe_dump({
        "name": "player-teams", "kind": "forecast", "task_type": "recommendation", "eval_k": 2,
        "src_entity_table": "players", "src_entity_col": "player_id", "dst_entity_table": "teams",
        "dst_entity_col": "team_id", "time_col": "timestamp", "timedelta": "90 days",
        "sql": "SELECT t.timestamp, CAST(g.player_id AS BIGINT) AS player_id, "
               "LIST(DISTINCT g.team_id) AS team_id FROM timestamps t JOIN games g "
               "ON g.date > t.timestamp AND g.date <= t.timestamp + INTERVAL '{timedelta}' "
               "WHERE g.player_id IS NOT NULL GROUP BY 1, 2"}))
    made = make_labels(busy, schema(busy, "player-teams"), SPLITS)
    for split, table in relbench_labels(busy.folder, "player-teams").items():
        assert made[split].to_pydict() == table.to_pydict()
        assert len(made[split])


@pytest.mark.parametrize(("target", "task_type"), [
    ("score", "regression"), ("won", "binary_classification"),
    ("score", "multiclass_classification")])
def test_cells_of_a_column_are_the_labels_that_relbench_makes(busy, target, task_type):
    # Without a primary key RelBench wants the rows sorted, and reads missing times last.
    games = pq.read_table(busy.path("games"))
    pq.write_table(games.sort_by([("date", "ascending")]), busy.path("games"))
    task = autocomplete(busy, "games", target, task_type)
    made = make_labels(busy, task, SPLITS)
    judge = relbench_labels(busy.folder, task.name)
    for split in SPLITS:
        assert made[split].to_pydict() == judge[split].select(
            made[split].column_names).to_pydict()
        assert len(made[split]) > 5


def test_entities_are_primary_keys_where_there_are_any(busy, world):
    world.column("players", "size", [1.0, 2.0, None, 4.0, 5.0])
    task = autocomplete(busy, "players", "size")
    made = make_labels(busy, task, SPLITS)
    judge = relbench_labels(busy.folder, task.name, ("train", "test"))  # it trips over none
    for split in ("train", "test"):
        assert made[split].to_pydict() == judge[split].select(
            ["joined", "player_id", "size"]).to_pydict()
    assert [made[s]["player_id"].to_pylist() for s in SPLITS] == [[0, 1], [], [3]]


def test_a_foreign_key_is_a_label_wherever_a_row_has_one(busy):
    task = autocomplete(busy, "games", "player_id", "recommendation", eval_k=2)
    made = make_labels(busy, task, SPLITS)
    games = busy.read("games")
    times = busy.times("games")
    cuts = (-2**62, busy.val_timestamp, busy.test_timestamp, 2**62)
    for place, split in enumerate(SPLITS):
        wanted = [(int(t), row, int(p)) for row, (t, p) in enumerate(
            zip(times, games["player_id"], strict=True))
            if p is not None and cuts[place] < t <= cuts[place + 1]]
        table = made[split].to_pydict()
        found = zip(table["primary_key"], table["player_id"], strict=True)
        assert [(int(times[r]), r, p) for r, p in found] == sorted(wanted)


@settings(max_examples=15, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 900), st.dates(np.datetime64("2018-06-01").item(),
                                     np.datetime64("2022-12-01").item()),
       st.integers(1, 900))
def test_labels_are_refused_exactly_where_relbench_refuses_them(busy, days, val, apart):
    import relbench

    test = np.datetime64(val) + np.timedelta64(apart, "D")
    path = busy.folder / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(manifest | {"val_timestamp": str(val),
                                               "test_timestamp": str(test)}))
    task_path = busy.folder / "tasks/player-active/manifest.yaml"
    task_path.write_text(yaml.safe_dump(yaml.safe_load(task_path.read_text())
                                        | {"timedelta": f"{days} days", "sql":
                                           "SELECT timestamp, 0 AS player_id, 1 AS active "
                                           "FROM timestamps"}))
    database = Database.open(busy.folder)
    task = schema(database, "player-active")
    for split in SPLITS:
        try:
            relbench.load_dataset(busy.folder).load_task("player-active").get_table(split)
            refused = False
        except (RuntimeError, ValueError):
            refused = True
        assert (why_not(Span(database), task, split) is not None) == refused, split


def test_a_refusal_names_the_timestamp_the_date_and_the_newest_row(busy):
    task = schema(busy, "player-active")
    late = Database(busy.name, busy.folder, busy.tables, busy.val_timestamp,
                    busy.test_timestamp + 900 * 86_400_000_000)
    with pytest.raises(ValueError, match=r"test_timestamp \+ timedelta is 2023-09-18, later than "
                                         r"the newest row \(2023-01-02\)"):
        make_labels(late, task, ["test"])
    early = Database(busy.name, busy.folder, busy.tables, busy.val_timestamp - 900 * 86_400_000_000,
                     busy.test_timestamp)
    said = why_not(Span(early), task, "train")
    assert "only 2 windows of 90 days lie before val_timestamp" in said


@pytest.mark.parametrize(("sql", "message"), [
    ("SELECT timestamp FROM timestampz", "Table with name timestampz does not exist"),
    ("SELECT timestamp, player_id, actve FROM timestamps, players", "actve"),
    ("SELECT timestamp, player_id FROM timestamps, players", "yields no column active"),
    ("SELEC 1", "syntax error"),
    ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
    ("COPY players TO 'stolen.csv'", "of the kind COPY"),
    ("SET enable_external_access = true", "of the kind SET"),
    ("ATTACH 'x.duckdb'", "of the kind ATTACH"),
    ("INSTALL httpfs", "of the kind LOAD"),
    ("DELETE FROM players", "of the kind DELETE"),
    ("SELECT 1; SELECT 2", "2 statements"),
    ("SELECT * FROM 'players.parquet'", "disabled"),
    ("", "cannot be run"),
])
def test_a_query_that_cannot_be_run_is_known_from_names_alone(
        busy, world, sql, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world.manifest(lambda m: m.update(sql=sql or ";"), "player-active")
    task = schema(busy, "player-active")
    assert message in why_no_query(busy, task)
    with pytest.raises(ValueError, match=r"RelBench cannot make its labels|its SQL yields no"):
        make_labels(busy, task, ["train"])
    assert [p for p in os.listdir() if p != "databases"] == []


def test_a_sound_query_passes_and_equal_folders_give_equal_labels(busy):
    task = schema(busy, "player-active")
    assert why_no_query(busy, task) is None
    assert make_labels(busy, task, ["val"])["val"].equals(make_labels(busy, task, ["val"])["val"])


def test_external_labels_are_fetched_not_made(busy, world):
    world.manifest(lambda m: m.update(kind="external"), "player-active")
    with pytest.raises(ValueError, match=r"cannot be made from the database; fetch val\.parquet"):
        make_labels(busy, schema(busy, "player-active"), ["val"])
