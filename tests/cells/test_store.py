"""The cell store: every cell in its place, and nothing of the future in how it is written."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowgraph.artifacts import Draft
from rowgraph.cells.columns import Tables
from rowgraph.cells.scales import MISSING
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.cells.store import FIRST_WORD, NEW_WORD, NO_WORD, Cells, words_of, write_cell_store
from rowgraph.databases.database import NEVER, Database
from tests.worlds.schemas import random_task


def stored(database, folder, **changes):
    folder.mkdir()
    write_cell_store(database, CellStoreSettings(**changes), Draft(folder))
    return Cells.open(folder, database)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_schema_is_stored_and_every_cell_is_there_or_missing(seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    database = random_task(seed, folder / "db", late=True).database
    cells = stored(database, folder / "cells")
    tables = Tables(database, 0)
    for table, sheets in cells.sheets.items():
        for name, sheet in sheets.items():
            assert len(sheet.values) == database.num_rows(table)
            for place, cell in enumerate(sheet.cells):
                values = sheet.values[:, sheet.kept[place]]
                there = ~np.isnan(tables.values(cell.column))
                if name == "numbers":  # without a past there is no scale, and all is missing
                    has_scale = cell.statistics[1] > 0
                    assert ((values != MISSING) == (there & has_scale)).all()
                elif name == "moments":
                    assert ((values != NEVER) == there).all()
                else:
                    assert ((values >= FIRST_WORD) == there).all()
                assert np.isfinite(cell.vector).all()


def test_the_future_decides_no_scale_no_word_and_no_statistic(lab, tmp_path):
    tables = lab.frames()
    after = lab.corrupted(tables, start=lab.VAL)
    one, two = (stored(lab.build_world(tmp_path / name, t).database, tmp_path / f"{name} cells")
                for name, t in (("one", tables), ("two", after)))
    for table in one.sheets:
        for name in one.sheets[table]:
            mine, theirs = one.sheets[table][name], two.sheets[table][name]
            assert [c.column for c in mine.cells] == [c.column for c in theirs.cells]
            assert all((a.vector == b.vector).all() and (a.shares == b.shares).all()
                       for a, b in zip(mine.cells, theirs.cells, strict=True))
    assert (tmp_path / "one cells" / "columns.json").read_bytes() == (
        tmp_path / "two cells" / "columns.json").read_bytes()


def test_a_word_that_the_past_did_not_have_is_new_and_an_empty_cell_is_none(lab, tmp_path):
    tables = lab.frames()
    drivers = tables["drivers"].with_columns(country=pl.Series(
        ["x", "new", None] + ["x", "y"] * 18 + ["y"]))  # row 1 comes in the test span
    database = lab.build_world(tmp_path / "db", {**tables, "drivers": drivers}).database
    sheet = stored(database, tmp_path / "cells").sheets["drivers"]["codes"]
    place = [c.column.name for c in sheet.cells].index("country")
    codes = sheet.values[:, sheet.kept[place]]
    assert (codes[1], codes[2]) == (NEW_WORD, NO_WORD)
    assert (codes[[0, 3]] >= FIRST_WORD).all()
    words = words_of(sheet.cells[place])
    assert not words[NO_WORD].any()
    assert words[NEW_WORD].any()


def test_a_task_does_not_see_what_it_hides(world, tmp_path):
    stored(world.database, tmp_path / "cells")
    database = world.database.without([("drivers", "height")])
    names = [c.column.name for c in Cells.open(tmp_path / "cells", database).sheets[
        "drivers"]["numbers"].cells]
    assert "height" not in names
    assert "rookie" in names


def test_a_store_of_another_database_is_refused(world, tmp_path):
    stored(world.database, tmp_path / "cells")
    tables = {k: v for k, v in world.database.tables.items() if k != "circuits"}
    with pytest.raises(ValueError, match="make cell_store again"):
        Cells.open(tmp_path / "cells", dataclasses.replace(world.database, tables=tables))


def test_many_columns_go_through_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("rowgraph.cells.store.AT_ONCE", 4096)
    (tmp_path / "db").mkdir()
    random = np.random.default_rng(0)
    frame = {"at": pl.Series(np.arange(3000) * 86_400_000_000).cast(pl.Datetime("us"))}
    frame |= {f"c{i}": random.normal(size=3000) for i in range(200)}
    frame |= {"empty": pl.Series([None] * 3000, dtype=pl.Float64), "one": np.ones(3000)}
    pl.DataFrame(frame).write_parquet(tmp_path / "db" / "wide.parquet")
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "wide", "val_timestamp": "1975-01-01", "test_timestamp": "1976-01-01",
        "tables": {"wide": {"time_col": "at"}}}))
    cells = stored(Database.open(tmp_path), tmp_path / "cells", sample=500)
    sheet = cells.sheets["wide"]["numbers"]
    assert sheet.values.shape == (3000, 202)
    by_name = {c.column.name: sheet.values[:, k] for c, k in zip(sheet.cells, sheet.kept,
                                                                 strict=True)}
    assert (by_name["empty"] == MISSING).all()
    assert (by_name["one"] != MISSING).all()
    rank = np.argsort(np.argsort(frame["c7"]))
    assert np.corrcoef(rank, by_name["c7"])[0, 1] > 0.99
