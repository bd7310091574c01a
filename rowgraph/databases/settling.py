r"""Which columns were written after their row, as far as the data themselves can tell.

A database as it stands holds cells that nobody had when the row was made: a closing time, a
status, an accepted answer, a running total, a last login. Used as they stand they tell every model
the future. Here each is measured, and what follows is written down as a rule
(`rowgraph.databases.knowledge`). The thresholds are chosen so that a wrong alarm costs a cell and a
missed one costs the truth: docs/decisions/knowledge.md.

| sign | measured | by default |
|---|---|---|
| `later` | times after their row's own, or, without one, its first mention | known once reached; \
    overwritten ones, and those of tables without times, at `export` |
| `later key` | keys to rows that came later, in a column that is sometimes empty | likewise |
| `goes along` | emptiness, value or size follows from one of these | known with it |
| `running total` | a number that grows with the rows that came later | at `export` |
| `grows with age` | emptier, or smaller, among the newest rows than among older ones | said |
| `answers labels` | one column alone tells a task's validation labels | said |

Rows are sampled by a digest of their number (`rowgraph.databases.looking`); columns are streamed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from rowgraph.databases.association import (
    agreement,
    explained,
    growth,
    rank_correlation,
    smaller_share,
    within,
)
from rowgraph.databases.database import NEVER, TIMELESS, Database
from rowgraph.databases.knowledge import EXPORT, ITSELF, Knowledge, Rule
from rowgraph.databases.looking import Look
from rowgraph.databases.suspects import Suspect

LATER = 0.01  # share of given cells from which on a column is one of later times
FEWEST = 10  # cells of either kind below which nothing is said
ALONG = 0.9  # agreement, explained share or rank correlation from which on a column goes along
TOTAL = (0.6, 0.9)  # rank correlation with later rows: said, and acted upon
OVERWRITTEN = 0.5  # growth of the delay with the row's age: 0 written once, 1 written at the end
EMPTY = (0.005, 0.995)  # shares between which a column is sometimes empty
EMPTIER = 0.1  # how much emptier the newest tenth is than the older half
SMALLER = 0.7  # chance that a new row's number is smaller than an old one's
DAY = 86_400e6


def settle(database: Database, said: Knowledge) -> tuple[Knowledge, list[Suspect]]:
    """What is known when, in the whole database.

    Args:
        database: as it stands; its own `knowledge` is not looked at.
        said: by a person; it stands, whatever the measures say.

    Returns:
        The rules of everybody, and the suspects that nobody has said anything about.
    """
    whole = Database(database.name, database.folder, database.tables, database.val_timestamp,
                     database.test_timestamp)
    look = Look(whole)
    suspects: list[Suspect] = []
    for table in whole.tables:
        suspects += _of_table(look, table, said)
    rules = {(s.table, s.column): Rule(s.rule.known_at, s.evidence) for s in suspects if s.rule}
    return said.over(Knowledge(rules)), suspects


@dataclass(frozen=True, eq=False)
class _Moment:
    """A column of later times, on the sampled rows.

    Args:
        column: its name.
        given: bool [n].
        delay: float64 [n], days after the row; NaN where not given.
        rule: of the column.
    """

    column: str
    given: np.ndarray
    delay: np.ndarray
    rule: Rule


def _of_table(look: Look, table: str, said: Knowledge) -> Iterator[Suspect]:
    kinds, since = look.kinds(table), look.since(table)
    if not kinds or not len(since):
        return
    rows, frame = look.sample(table, list(kinds))
    there = since[rows] < NEVER
    rows, frame, since_rows = rows[there], frame.filter(pl.Series(there)), since[rows[there]]
    sources: list[_Moment] = []
    for column, kind in kinds.items():
        if kind == "other":
            continue
        rule = said.rules.get((table, column))
        every = look.moments(table, column, TIMELESS)
        if rule is None and (found := _later(look, table, column, kind, every, since)):
            yield found
            rule = found.rule
        if rule is not None and rule.late and len(rows):
            moment = every[rows]
            given = moment != TIMELESS
            sources.append(_Moment(column, given, np.where(
                given, (moment - since_rows) / DAY, np.nan), rule))
    for column, kind in kinds.items():
        if kind != "other" or (table, column) in said.rules or not len(rows):
            continue
        values = frame[column].alias("")
        if suspect := (_along(table, column, values, sources) or _total(look, table, column, values,
                                                                        rows, since_rows)
                       or _young(look, table, column, values, since_rows)):
            yield suspect


def _later(look: Look, table: str, column: str, kind: str, every: np.ndarray,
           since: np.ndarray) -> Suspect | None:
    """A time, or a key, later than its row."""
    timed = bool(look.database.tables[table].time_col)
    if not timed and kind == "time" and not (since < NEVER).any() and (every != TIMELESS).any():
        return Suspect(table, column, "later", 0.0, "no row with a time names its rows, so that "
                       "nothing says when they were written", Rule(ITSELF))
    there = (every != TIMELESS) & (every != NEVER) & (since < NEVER)
    late = there & (every > since)
    if not late.any():
        return None
    share = late.sum() / there.sum()
    delay = (every[late] - since[late]) / DAY
    row = int(np.flatnonzero(late)[late.sum() // 2])
    from_when = "its row" if timed else "the first row that names its row"
    text = (f"{late.sum():,} of {there.sum():,} are later than {from_when} ({share:.1%}), by "
            f"{np.median(delay):,.3g} days in the median; row {row}: {_date(every[row])} after "
            f"{_date(since[row])}")
    known_at = ITSELF
    if kind == "fkey":
        empty = 1 - (every != TIMELESS).mean()
        if share < LATER or late.sum() < FEWEST:
            return None  # the row that it names is hidden until its own time in any case
        if not EMPTY[0] <= empty <= EMPTY[1]:
            return Suspect(
                table, column, "later key", share, f"{text}; it is never empty, so that it tells "
                "nothing before the row that it names is there", None)
    if share >= LATER:
        age = (look.database.read_at - since[late]) / DAY
        grown = growth(delay, age)
        if not timed:
            known_at, text = EXPORT, f"{text}; what was there before is not known"
        elif grown is not None and grown >= OVERWRITTEN:
            known_at = EXPORT
            text += (f"; the older the row the longer it takes (growth {grown:.2f}), as of what is "
                     "overwritten")
    return Suspect(table, column, "later key" if kind == "fkey" else "later", float(share), text,
                   Rule(known_at))


def _along(table: str, column: str, values: pl.Series, sources: list[_Moment]) -> Suspect | None:
    """Emptiness, value or size follows from a later time."""
    best: Suspect | None = None
    empty = values.is_null().to_numpy()
    for source in sources:
        found = {"emptiness": agreement(empty, ~source.given, FEWEST),
                 "value": explained(values, ~source.given, FEWEST),
                 "size": rank_correlation(values, source.delay)}
        how, figure = max(found.items(), key=lambda item: item[1])
        if figure < ALONG or (best is not None and best.figure >= figure):
            continue
        known_at = EXPORT if source.rule.known_at == EXPORT else source.column
        open_row = np.flatnonzero(~source.given if how != "size" else source.given)[0]
        said = (f"its {how} goes along with {source.column} ({figure:.2f}); where that is "
                f"{'given' if how == 'size' else 'empty'} it is, for example, "
                f"{_short(values[int(open_row)])}")
        best = Suspect(table, column, "goes along", figure, said, Rule(known_at))
    return best


def _total(look: Look, table: str, column: str, values: pl.Series, rows: np.ndarray,
           since: np.ndarray) -> Suspect | None:
    """A number that grows with the rows that came later, among rows of about the same age."""
    if not values.dtype.is_numeric() or values.n_unique() < 3:
        return None
    best: Suspect | None = None
    for child, fkey in look.children(table):
        if not look.database.tables[child].time_col:
            continue
        later = look.later_children(table, child, fkey)[rows].astype(np.float64)
        figure = within(since, partial(_grows_with, values, later))
        if figure < TOTAL[0] or (best is not None and best.figure >= figure):
            continue
        at = int(np.argmax(later))
        said = (f"it grows with the rows of {child} that came later ({figure:.2f}); row "
                f"{rows[at]}: {_short(values[at])} where {later[at]:,.0f} came")
        best = Suspect(table, column, "running total", figure, said,
                       Rule(EXPORT) if figure >= TOTAL[1] else None)
    return best


def _grows_with(values: pl.Series, later: np.ndarray, some: np.ndarray) -> float:
    return rank_correlation(values.filter(some), later[some])


def _young(look: Look, table: str, column: str, values: pl.Series,
           since: np.ndarray) -> Suspect | None:
    """Emptier, or smaller, among the newest tenth of rows than among the older half, and than
    among the tenth before: what changes from one half to the other alone is a custom."""
    if look.database.tables[table].time_col is None or len(since) < 20 * FEWEST:
        return None
    half, tenth, last = np.quantile(since, [.5, .8, .9])
    new, old, before = since > last, since <= half, (since > tenth) & (since <= last)
    if not (new.any() and before.any()):
        return None
    empty = values.is_null().to_numpy()
    newest, older = empty[new].mean(), empty[old].mean()
    if newest - older >= EMPTIER and newest - empty[before].mean() >= EMPTIER / 2:
        return Suspect(table, column, "grows with age", float(newest - older),
                       f"empty in {newest:.0%} of the newest tenth of rows and in {older:.0%} of "
                       "the older half", None)
    if values.dtype.is_integer():
        numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
        share = smaller_share(numbers[new], numbers[old])
        if np.nanmin(numbers, initial=0) >= 0 and share >= SMALLER and smaller_share(
                numbers[new], numbers[before]) >= (SMALLER + .5) / 2:
            return Suspect(table, column, "grows with age", share,
                           "smaller in the newest tenth of rows than in the older half "
                           f"({share:.2f} of pairs): {np.nanmedian(numbers[new]):g} and "
                           f"{np.nanmedian(numbers[old]):g} in the median", None)
    return None


def _date(moment: int) -> str:
    return str(np.datetime64(int(moment), "us"))[:16].replace("T", " ")


def _short(value: object) -> str:
    text = "empty" if value is None else f"'{value}'" if isinstance(value, str) else f"{value}"
    return text if len(text) <= 40 else text[:39] + "…"
