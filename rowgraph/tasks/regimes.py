"""What may this seed see? One function, asked by sampler, features, baselines and label history.

RelBench names two cuts: `test_timestamp`, up to which (inclusive) its `get_db()` shows rows, and
the label row's own timestamp. Both become one number per label row, the effective `seed_time`,
with one rule: **a row is visible if it is strictly older**. So:

- a cut at `test_timestamp` inclusive is the effective time `test_timestamp` + 1 microsecond;
- nothing at or after a seed's own timestamp is ever visible: the effective time is never later
  than the label row's own. The first test row usually lies at `test_timestamp` exactly; it sees
  what is strictly older, although RelBench's cut alone would show it rows of that day too;
- rows of tables without a time column (`TIMELESS`) are visible always, rows whose time is missing
  (`NEVER`) never.

See docs/decisions/regimes.md.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from rowgraph.databases.database import Database

Regime = Literal["frozen_db", "rolling"]
Split = Literal["train", "val", "test"]
INCLUSIVE = 1  # microseconds from "up to and including" to "strictly older than"


def visible_before(times: np.ndarray, regime: Regime, split: Split, database: Database, *,
                   static: bool = False) -> np.ndarray:
    """The effective seed time of each label row: what is strictly older is visible.

    | split | rolling | frozen_db |
    |---|---|---|
    | train | own time | own time |
    | val | own time | own time, at most `val_timestamp` inclusive |
    | test | own time | own time, at most `test_timestamp` inclusive |

    RelBench's own validation rows are the `rolling` ones in both regimes: fresh, while its test
    rows under `frozen_db` grow stale by years. Whatever is chosen on validation for `frozen_db`
    (an epoch, a number of trees) is therefore chosen with the database frozen at
    `val_timestamp`, which ages validation as `test_timestamp` ages test.

    Args:
        times: int64 [n], microseconds: the label rows' own timestamps.
        regime: `frozen_db` or `rolling`.
        split: of the label rows.
        database: its `val_timestamp` and `test_timestamp` are used.
        static: training and validation rows see the database up to `test_timestamp` whatever
            their own time. This leaks the outcome of their own labels, and is here because the
            paper seems to do it (`variants.Variant`). Test rows obey the regime.

    Returns:
        int64 [n], microseconds.

    Raises:
        ValueError: an unknown regime or split.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from rowgraph.example import write_example
        >>> from rowgraph.tasks.regimes import visible_before
        >>> database = write_example(tempfile.mkdtemp())
        >>> asked = np.array(["2024-12-01"], "datetime64[us]").astype("int64")
        >>> for regime in ("rolling", "frozen_db"):
        ...     print(visible_before(asked, regime, "test", database).astype("datetime64[us]")[0])
        2024-12-01T00:00:00.000000
        2024-11-01T00:00:00.000001
    """
    if regime not in get_args(Regime):
        raise ValueError(f"regime '{regime}' does not exist; known: {', '.join(get_args(Regime))}")
    if split not in get_args(Split):
        raise ValueError(f"split '{split}' does not exist; known: {', '.join(get_args(Split))}")
    times = np.asarray(times, dtype=np.int64)
    if static and split != "test":
        return np.full_like(times, database.test_timestamp + INCLUSIVE)
    if split == "train":
        return times.copy()
    return seen_before(times, regime,
                       database.val_timestamp if split == "val" else database.test_timestamp)


def seen_before(times: np.ndarray, regime: Regime, cut: int) -> np.ndarray:
    """The effective seed time of rows that are scored after a cut, of a split or of a fold.

    Args:
        times: int64 [n], microseconds: the label rows' own timestamps.
        cut: microseconds; under `frozen_db` the database is seen up to it, inclusive.

    Returns:
        int64 [n], microseconds.
    """
    times = np.asarray(times, dtype=np.int64)
    return np.minimum(times, cut + INCLUSIVE) if regime == "frozen_db" else times.copy()


def hidden(row_times: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Which rows a seed may not see.

    Args:
        row_times: int64 [n], microseconds, `TIMELESS` or `NEVER`: one row per seed.
        before: int64 [n]: that seed's effective time, from `visible_before`.

    Returns:
        bool [n].
    """
    return row_times >= before
