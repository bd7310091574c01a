from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.databases import columns, truncating
from rowgraph.databases.checking import check_database
from rowgraph.databases.truncating import kept_rows, truncate


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_without_a_cap_every_file_is_copied_byte_for_byte(world, tmp_path):
    for cap in (None, 6, 1000):
        summary = truncate(world.folder, tmp_path / "copy", cap)
        assert contents(tmp_path / "copy") == contents(world.folder)
        assert summary["rows"] == summary["source_rows"] == {"teams": 3, "players": 5, "games": 6}
        assert summary["dropped_edges"] == summary["dropped_labels"] == {}


def test_files_that_no_truncated_table_touches_are_copied_byte_for_byte(world, tmp_path):
    truncate(world.folder, tmp_path / "copy", 5)
    whole, copy = contents(world.folder), contents(tmp_path / "copy")
    assert {n for n in copy if copy[n] != whole.get(n)} == {"db/games.parquet", "rows/games.npy"}


def test_the_copy_loads_in_relbench_and_passes_the_check(world, tmp_path):
    import relbench

    truncate(world.folder, tmp_path / "copy", 2)
    check_database(tmp_path / "copy").raise_if_broken()
    dataset = relbench.load_dataset(tmp_path / "copy")
    tables = dataset.get_db(upto_test_timestamp=False).table_dict
    assert {name: len(t) for name, t in tables.items()} == {"teams": 2, "players": 2, "games": 2}
    for name in dataset.get_task_names():
        dataset.load_task(name).get_table("train")


def test_a_smaller_cap_keeps_a_subset_and_another_seed_other_rows():
    large = kept_rows(1000, 300, "a", "t", 0)
    assert set(kept_rows(1000, 100, "a", "t", 0)) < set(large)
    assert set(kept_rows(1000, 300, "a", "t", 1)) != set(large)
    assert set(kept_rows(1000, 300, "a", "u", 0)) != set(large)
    # Uniform over the table: 300 of 1000 in each tenth, binomial within five deviations.
    assert np.abs(np.histogram(large, 10, (0, 1000))[0] - 30).max() < 25


def test_an_interrupted_copy_is_no_database_and_the_next_one_is_whole(
        world, tmp_path, monkeypatch):
    truncate(world.folder, tmp_path / "clean", 3)
    target = tmp_path / "copy"
    truncate(world.folder, target, None)
    (target / "state").mkdir()

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(truncating, "_write_tasks", stop)
        with pytest.raises(KeyboardInterrupt):
            truncate(world.folder, target, 2)
    assert not (target / "manifest.yaml").exists()
    truncate(world.folder, target, 3)
    assert contents(target) == contents(tmp_path / "clean")
    assert (target / "state").is_dir()


def test_a_source_is_never_its_own_target(world):
    before = contents(world.folder)
    with pytest.raises(ValueError, match="choose another target"):
        truncate(world.folder, world.folder.parent / "." / "tiny", 2)
    assert contents(world.folder) == before


def test_a_task_whose_extra_files_name_removed_entities_is_left_out(world, tmp_path):
    world.manifest(lambda m: m.update(kind="external", extra_files=["pairs.npy"]), "player-active")
    (world.folder / "tasks" / "player-active" / "pairs.npy").write_bytes(b"ids")
    assert truncate(world.folder, tmp_path / "a", 2)["left_out_tasks"] == ["player-active"]
    assert not (tmp_path / "a" / "tasks" / "player-active").exists()
    assert truncate(world.folder, tmp_path / "b", 5)["left_out_tasks"] == []
    assert (tmp_path / "b" / "tasks" / "player-active" / "pairs.npy").exists()


def test_what_pandas_wrote_beside_the_data_survives_a_cut(world, tmp_path):
    frame = pd.DataFrame({
        "date": pd.to_datetime(["2020-05-01"] * 7).astype("datetime64[ns]"),
        "player_id": [0.0, None, 2.0, 1.0, None, 4.0, 0.0],
        "team_id": [0, 1, 2, 0, 1, 2, 0],
        "kind": pd.Categorical(["a", "b", None, "c", "a", "b", "c"]),
    })
    frame.to_parquet(world.path("games"), row_group_size=3)
    truncate(world.folder, tmp_path / "copy", 4)
    kept = np.load(tmp_path / "copy" / "rows" / "games.npy")
    copy = pd.read_parquet(tmp_path / "copy" / "db" / "games.parquet")
    assert list(copy.index) == [0, 1, 2, 3]
    assert copy["kind"].astype(object).fillna("-").tolist() == (
        frame["kind"].astype(object).fillna("-").iloc[kept].tolist())
    schema = pq.read_schema(tmp_path / "copy" / "db" / "games.parquet")
    assert schema.field("player_id").type == schema.field("team_id").type == pa.int64()
    assert schema.field("date").type == pa.timestamp("ns")


@st.composite
def databases(draw):
    """Two tables with keys (one references itself) and one without; a task on each kind of key."""
    sizes = {"a": draw(st.integers(1, 8)), "b": draw(st.integers(1, 8)),
             "c": draw(st.integers(0, 12))}

    def keys(rows: int, table: str) -> list[int | None]:
        return [draw(st.one_of(st.none(), st.integers(0, sizes[table] - 1))) for _ in range(rows)]

    tables = {
        "a": {"a_id": list(range(sizes["a"])), "b_id": keys(sizes["a"], "b")},
        "b": {"b_id": list(range(sizes["b"])), "up_id": keys(sizes["b"], "b")},
        "c": {"a_id": keys(sizes["c"], "a"), "b_id": keys(sizes["c"], "b")},
    }
    for name, size in sizes.items():
        tables[name]["text"] = [f"{name}{i}" for i in range(size)]
    labels = draw(st.lists(st.integers(0, sizes["a"] - 1), max_size=8))
    lists = [(draw(st.integers(0, sizes["a"] - 1)),
              draw(st.lists(st.integers(0, sizes["b"] - 1), max_size=4)))
             for _ in range(draw(st.integers(0, 6)))]
    return tables, labels, lists, draw(st.booleans())


def write(folder: Path, tables: dict, labels: list, lists: list, as_float: bool) -> None:
    fkeys = {"a": {"b_id": "b"}, "b": {"up_id": "b"}, "c": {"a_id": "a", "b_id": "b"}}
    (folder / "db").mkdir(parents=True)
    spec = {name: {"pkey": None if name == "c" else f"{name}_id", "time_col": None,
                   "fkeys": fkeys[name]} for name in tables}
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "random", "val_timestamp": "2020-01-01", "test_timestamp": "2021-01-01",
        "tables": spec}, sort_keys=False))
    for name, table in tables.items():
        kinds = {c: pa.float64() if as_float else pa.int64() for c in fkeys[name]}
        kinds |= {"text": pa.string(), spec[name]["pkey"]: pa.int64()}
        pq.write_table(pa.table({c: pa.array(v, kinds[c]) for c, v in table.items()}),
                       folder / "db" / f"{name}.parquet")
    for task, manifest, table in (
            ("node", {"task_type": "regression", "entity_table": "a", "entity_col": "a_id",
                      "target_col": "y"},
             {"a_id": pa.array(labels, pa.int64()), "y": pa.array(range(len(labels)), pa.int64())}),
            ("link", {"task_type": "recommendation", "src_entity_table": "a",
                      "src_entity_col": "a_id", "dst_entity_table": "b", "dst_entity_col": "b_id",
                      "eval_k": 2},
             {"a_id": pa.array([a for a, _ in lists], pa.int64()),
              "b_id": pa.array([b for _, b in lists], pa.list_(pa.int64()))})):
        (folder / "tasks" / task).mkdir(parents=True)
        (folder / "tasks" / task / "manifest.yaml").write_text(
            yaml.safe_dump({"name": task, "kind": "external", **manifest}))
        for split in ("train", "val", "test"):
            pq.write_table(pa.table(table), folder / "tasks" / task / f"{split}.parquet")


@settings(max_examples=30, deadline=None)
@given(databases(), st.integers(1, 9), st.integers(0, 3), st.integers(1, 5))
def test_a_cut_database_is_what_dictionaries_say(database, cap, seed, batch):
    tables, labels, lists = database[:3]
    home = Path(tempfile.mkdtemp())
    try:
        write(home / "whole", *database)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(truncating, "BATCH_ROWS", batch)
            patch.setattr(columns, "BATCH_ROWS", batch)
            summary = truncate(home / "whole", home / "cut", cap, seed)
            assert check_database(home / "cut").problems == ()
        cut = {n: pq.read_table(home / "cut" / "db" / f"{n}.parquet").to_pydict() for n in tables}
        task = {n: pq.read_table(home / "cut" / "tasks" / n / "train.parquet").to_pydict()
                for n in ("node", "link")}
        rows = {n: np.load(home / "cut" / "rows" / f"{n}.npy").tolist() for n in tables
                if (home / "cut" / "rows" / f"{n}.npy").exists()}
    finally:
        shutil.rmtree(home)

    size = {name: len(table["text"]) for name, table in tables.items()}
    assert set(rows) == {name for name in tables if size[name] > cap}
    rows |= {name: list(range(size[name])) for name in tables if name not in rows}
    new = {name: {old: i for i, old in enumerate(kept)} for name, kept in rows.items()}
    lost: dict[str, int] = {}
    for name, kept in rows.items():
        assert len(kept) == min(size[name], cap)
        assert kept == sorted(set(kept))
        assert cut[name]["text"] == [tables[name]["text"][old] for old in kept]
    for name, key, target in (("a", "b_id", "b"), ("b", "up_id", "b"), ("c", "a_id", "a"),
                              ("c", "b_id", "b")):
        old = [tables[name][key][i] for i in rows[name]]
        assert cut[name][key] == [new[target].get(k) for k in old]
        if count := sum(k is not None and k not in new[target] for k in old):
            lost[f"{name}.{key}"] = count
    for name in ("a", "b"):
        assert cut[name][f"{name}_id"] == list(range(len(rows[name])))
    assert summary["dropped_edges"] == lost
    assert summary["rows"] == {name: len(kept) for name, kept in rows.items()}

    kept_labels = [(new["a"][a], y) for y, a in enumerate(labels) if a in new["a"]]
    assert list(zip(task["node"]["a_id"], task["node"]["y"], strict=True)) == kept_labels
    links = [(new["a"][a], [new["b"][b] for b in bs if b in new["b"]], bs)
             for a, bs in lists if a in new["a"]]
    links = [(a, kept) for a, kept, before in links if kept or not before]
    assert list(zip(task["link"]["a_id"], task["link"]["b_id"], strict=True)) == links
    gone = {"node": len(labels) - len(kept_labels), "link": len(lists) - len(links)}
    assert summary["dropped_labels"] == {f"{name}/{split}": count for name, count in gone.items()
                                         if count for split in ("train", "val", "test")}
