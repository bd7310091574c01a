import numpy as np
import polars as pl
import pytest

from rowgraph.cells.columns import Tables
from rowgraph.databases.database import Database, TableSchema

PAST, LATER = 40, 10


def tables_of(tmp_path, columns: dict[str, list | pl.Series], frequent: int = 2,
              hidden: tuple = ()) -> Tables:
    """One table of 40 rows of the past and 10 of later; `key` names rows of itself."""
    (tmp_path / "db").mkdir()
    time = pl.Series(range(PAST + LATER)).cast(pl.Datetime("us"))
    frame = pl.DataFrame({"id": range(PAST + LATER), "time": time, **columns})
    frame.write_parquet(tmp_path / "db" / "t.parquet")
    fkeys = {"key": "t"} if "key" in columns else {}
    database = Database("d", tmp_path, {"t": TableSchema("t", "id", "time", fkeys)}, PAST, 45)
    return Tables(database.without(hidden), frequent)


def labels(tables: Tables, single: bool = False) -> list[str]:
    return [f"{c.kind} {c.label}" for c in tables.columns("t", single)]


def values(tables: Tables, label: str, single: bool = False) -> np.ndarray:
    column = next(c for c in tables.columns("t", single) if f"{c.kind} {c.label}" == label)
    return tables.values(column)


def test_the_past_alone_decides_what_is_frequent_and_what_has_a_code(tmp_path):
    words = ["a"] * 20 + ["b"] * 15 + ["c"] * 5 + ["z"] * 10
    tables = tables_of(tmp_path, {"word": words})
    assert labels(tables) == ["share word = a", "share word = b"]
    assert labels(tables, single=True) == ["date time", "code word"]
    assert values(tables, "code word", True)[[0, 20, 35]].tolist() == [0, 1, 2]
    assert np.isnan(values(tables, "code word", True)[40:]).all()  # never seen in the past
    assert values(tables, "share word = a")[-1] == 0


def test_kinds_of_columns_and_their_values(tmp_path):
    n = PAST + LATER
    tables = tables_of(tmp_path, {
        "flag": [i % 2 == 0 for i in range(n)],
        "number": [None if i % 4 == 0 else float(i) for i in range(n)],
        "money": pl.Series([f"{i}.50" for i in range(n)]).cast(pl.Decimal(10, 2)),
        "lap": pl.Series([36 * 3600 * 10**6] * n).cast(pl.Duration("us")),
        "clock": pl.Series([6 * 3600 * 10**9] * n).cast(pl.Time),
        "born": pl.Series([3] * n).cast(pl.Date),
        "zoned": pl.Series([7] * n).cast(pl.Datetime("us", "Europe/Berlin")),
        "text": [f"a text that is long enough {i}" for i in range(n)],
        "name": [f"n{i}" for i in range(n)],
        "list": [[1, 2]] * n,
        "kind": pl.Series(["x", "y"] * (n // 2), dtype=pl.Enum(["x", "y"])),
        "nothing": pl.Series([None] * n, dtype=pl.Null),
        "key": [None if i % 2 else i for i in range(n)]}, frequent=0)
    assert labels(tables) == [
        "number flag", "number number", "given number is given", "number money", "number lap",
        "number clock", "date born", "date zoned", "number nothing", "given key is given"]
    assert values(tables, "number money")[1] == 1.5
    assert values(tables, "number lap")[0] == 1.5
    assert values(tables, "number clock")[0] == 6
    assert values(tables, "date born")[0] == 3 * 86_400e6
    assert values(tables, "date zoned")[0] == 7
    assert values(tables, "given key is given")[:2].tolist() == [1, 0]
    assert labels(tables, single=True)[-3:] == ["code name", "code kind", "number nothing"]


def test_long_texts_are_known_by_their_length_once_there_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr("rowgraph.cells.columns.MAX_CODES", 30)
    text = [f"a text that is long enough {i}" for i in range(PAST + LATER)]
    tables = tables_of(tmp_path, {"text": text, "name": [f"n{i}" for i in range(PAST + LATER)]})
    assert labels(tables) == ["length length of text"]
    assert values(tables, "length length of text")[0] == len(text[0])


def test_infinite_and_not_a_number_and_blank_are_missing(tmp_path):
    n = PAST + LATER
    tables = tables_of(tmp_path, {"x": [np.inf, np.nan, -np.inf, 1.0, None] * (n // 5),
                                  "word": ["a", " ", "", None, "b"] * (n // 5)})
    assert np.isnan(values(tables, "number x")[[0, 1, 2, 4]]).all()
    assert values(tables, "given word is given")[:5].tolist() == [1, 0, 0, 0, 1]
    assert np.isnan(values(tables, "share word = a")[[1, 2, 3]]).all()


@pytest.mark.parametrize("name", ["", "^a.*$", "a · b", 'say "so"', "größe", "x" * 300])
def test_a_column_of_any_name_is_read_as_itself(tmp_path, name):
    n = PAST + LATER
    tables = tables_of(tmp_path, {"ab": [0.0] * n, name: np.arange(n).astype(float)}, frequent=0)
    assert tables.values(tables.columns("t", False)[1]).tolist() == list(range(n))


def test_a_hidden_column_is_no_column(tmp_path):
    n = PAST + LATER
    tables = tables_of(tmp_path, {"a": range(n), "b": range(n)}, hidden=[("t", "a")])
    assert {c.name for c in tables.columns("t", True)} == {"time", "b"}


def test_keys_that_are_missing_or_no_row_are_no_row(tmp_path):
    keys = pl.Series([None, np.nan, 3.0, -1.0, 99.0] * 10)
    assert tables_of(tmp_path, {"key": keys}).keys("t", "key")[:5].tolist() == [-1, -1, 3, -1, -1]
