"""Whatever a table holds, peers get columns that they can read, row by row."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing.parametric import dataframes

from rowgraph.baselines.peers.columns import LARGEST, past_rows, plain_columns
from rowgraph.databases.database import Database

DAY = dt.datetime(2020, 1, 1)
KINDS = [pl.Boolean, pl.Int8, pl.Int64, pl.UInt64, pl.Float32, pl.Float64, pl.Date, pl.Time,
         pl.Datetime("us"), pl.Duration("us"), pl.String, pl.Binary, pl.Categorical]


def database_of(folder, frame: pl.DataFrame) -> Database:
    """A database of one table `things`, its rows a day apart."""
    (folder / "db").mkdir(parents=True, exist_ok=True)
    times = [DAY + dt.timedelta(days=i) for i in range(len(frame))]
    frame = frame.with_columns(pl.Series("made", times, dtype=pl.Datetime("us")),
                               pl.Series("id", range(len(frame)), dtype=pl.Int64))
    frame.write_parquet(folder / "db" / "things.parquet")
    (folder / "manifest.yaml").write_text(yaml.safe_dump({
        "name": "rel-things", "val_timestamp": "2020-01-11", "test_timestamp": "2020-01-21",
        "tables": {"things": {"pkey": "id", "time_col": "made"}}}))
    return Database.open(folder)


def test_numbers_are_finite_or_missing_and_the_rest_has_few_types(tmp_path):
    frame = pl.DataFrame({
        "float": [1.0, float("nan"), float("inf"), None, 1e300], "whole": [2**60, None, -1, 0, 1],
        "money": pl.Series(["1.50", "2.25", None, "0", "3"]).cast(pl.Decimal(9, 2)),
        "day": pl.Series([dt.date(2020, 1, 1)] * 5),
        "zoned": pl.Series([DAY] * 5).dt.replace_time_zone("Europe/Berlin"),
        "span": pl.Series([dt.timedelta(seconds=1)] * 5),
        "level": pl.Series(["a", "b", "a", None, "a"], dtype=pl.Enum(["a", "b"])),
        "tags": [["a"], [], None, ["a", "b"], ["c"]], "^a.*$": ["x"] * 5,
        "bytes": [b"x"] * 5, "sizes": [[1.0, 2.0]] * 5})
    found = plain_columns(database_of(tmp_path, frame), "things")
    assert {n: c.dtype for n, c in found.items()} == {
        "float": pl.Float64, "whole": pl.Int64, "money": pl.Float64, "day": pl.Datetime("us"),
        "zoned": pl.Datetime("us"), "span": pl.Float64, "level": pl.String,
        "tags": pl.List(pl.String), "^a.*$": pl.String, "made": pl.Datetime("us")}
    assert found["float"].to_list() == [1.0, None, None, None, None]
    assert found["whole"].to_list() == [2**60, None, -1, 0, 1]
    assert found["zoned"][0] == DAY - dt.timedelta(hours=1)


def test_only_rows_strictly_older_than_the_cut_are_past(tmp_path):
    database = database_of(tmp_path, pl.DataFrame({"x": range(20)}))
    assert np.array_equal(past_rows(database, "things", database.val_timestamp),
                          np.arange(20) < 10)


@settings(max_examples=25, deadline=None,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(frame=dataframes(min_cols=1, max_cols=4, min_size=0, max_size=30, allowed_dtypes=KINDS),
       cut=st.integers(-1, 31))
def test_any_table_becomes_a_tensor_frame_of_its_rows(frame, cut, tmp_path):
    torch_frame = pytest.importorskip("torch_frame", reason="pip install 'rowgraph[rdl]'")
    from rowgraph.baselines.peers.rdl_frames import RowReader
    from rowgraph.databases.database import microseconds

    database = database_of(tmp_path, frame)
    at = microseconds(DAY + dt.timedelta(days=cut))
    found = RowReader(database, 4).frames(at).frames["things"]
    assert isinstance(found, torch_frame.TensorFrame)
    assert found.num_rows == len(frame)
    numbers = found.feat_dict.get(torch_frame.numerical)
    assert numbers is None or not (numbers.abs() > LARGEST).any()


def test_statistics_of_numbers_are_those_of_pytorch_frame():
    pytest.importorskip("torch_frame", reason="RDL needs: pip install 'rowgraph[rdl]'")
    import pandas as pd
    from torch_frame import stype
    from torch_frame.data.stats import compute_col_stats

    from rowgraph.baselines.peers.rdl_frames import statistics_of

    past = pd.Series([1.5, np.nan, -3.0, 1e9, 0.1])
    assert statistics_of(past, stype.numerical) == compute_col_stats(past, stype.numerical)


@pytest.mark.parametrize(("cells", "whole"), [
    ([1, 2] * 6, True), ([1, 2, 3] * 2, True), ([1.0, 2.0] * 6, False), ([0.5, 2.0] * 6, False),
    ([1.0, None] * 6, False), ([0.5, None] * 6, False), ([True, False] * 6, False),
    (["a", "b"] * 6, False), (["a word or two", "another"], False), ([DAY] * 3, False),
    ([["a"], ["a", "b"]] * 6, False), ([None] * 3, False)])
def test_types_are_those_of_pytorch_frame(cells, whole):
    pytest.importorskip("torch_frame", reason="RDL needs: pip install 'rowgraph[rdl]'")
    import pandas as pd
    from torch_frame.utils import infer_series_stype

    from rowgraph.baselines.peers.rdl_frames import kind_of

    plain = isinstance(cells[0], list | bool)
    past = pd.Series(cells, dtype=object if plain else None)
    assert kind_of(past, whole) == infer_series_stype(past)


def test_text_is_taken_neither_for_dates_nor_for_lists():
    torch_frame = pytest.importorskip("torch_frame", reason="pip install 'rowgraph[rdl]'")
    import pandas as pd

    from rowgraph.baselines.peers.rdl_frames import kind_of

    for cells in (["2020-01-01", "2021-01-01"], ["a,b", "b,c", "a,b", "b,c", "b", "a,c", "a,c,b"]):
        assert kind_of(pd.Series(cells, dtype=object), False) == torch_frame.text_embedded


def test_a_gap_in_the_future_changes_no_type(tmp_path):
    pytest.importorskip("torch_frame", reason="RDL needs: pip install 'rowgraph[rdl]'")
    from rowgraph.baselines.peers.rdl_frames import RowReader

    whole, kinds = [1, 2] * 10, []
    for i, last in enumerate((3, None)):
        database = database_of(tmp_path / str(i), pl.DataFrame({"x": [*whole[:-1], last]}))
        kinds.append(RowReader(database, 4).frames(database.val_timestamp).kinds())
    assert kinds[0] == kinds[1]


def test_a_missing_text_is_zero_and_equal_texts_are_equal_vectors(tmp_path):
    torch_frame = pytest.importorskip("torch_frame", reason="pip install 'rowgraph[rdl]'")
    from rowgraph.baselines.peers.rdl_frames import RowReader

    words = ["a first text", None, "another", "a first text", "", "a last text"]
    database = database_of(tmp_path, pl.DataFrame({"words": words}))
    frame = RowReader(database, 16).frames(database.val_timestamp).frames["things"]
    vectors = frame.feat_dict[torch_frame.embedding].values
    assert vectors.any(1).tolist() == [True, False, True, True, False, True]
    assert vectors[0].equal(vectors[3])
    assert not vectors[0].equal(vectors[5])
