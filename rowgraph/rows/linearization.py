r"""A row as text (Section 4.2).

    <table> Table Name <attr> Attr1 Name <value> Attr1 Value <attr> Attr2 Name <value> ...

Markers and contents are joined by single spaces; an empty content leaves no second space, so a
missing value reads `<value> <attr>`, or `<value>` at the end. The text of a cell, see
docs/decisions/linearization.md:

| cell | text |
|---|---|
| null, NaN, NaT, empty text | empty ("Missing and NaN values are replaced with empty strings") |
| boolean | `true`, `false` |
| integer | decimal digits |
| float | shortest that gives the number back; no `.0`, since a null turns integers into floats |
| decimal | all its digits, never an exponent |
| date; timestamp at midnight | `2009-03-29` |
| timestamp | `2009-03-29 06:00:00`, in UTC if it has a zone; microseconds only where not zero |
| time of day | `06:00:00`, microseconds only where not zero |
| duration | seconds, as a float |
| bytes | hexadecimal digits |
| list | its items joined by `, ` |
| struct | `name: item` joined by `, ` |
| text | as it is |

Contents cannot forge structure: where one holds a special token such as `<value>`, a backslash goes
after the `<`, and one more where backslashes already stand there, so `parse` gives every table
name, attribute name and text back exactly.
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

TABLE, ATTRIBUTE, VALUE = MARKERS = ("<table>", "<attr>", "<value>")
SPECIAL = (*MARKERS, "<s>", "<pad>", "</s>", "<unk>", "<mask>")  # what contents may not spell

_NAMES = "|".join(token[1:-1] for token in SPECIAL)
_SPELLED = rf"<(\\*(?:{_NAMES})>)"
_ESCAPED = rf"<\\(\\*(?:{_NAMES})>)"
_MICROSECONDS_A_DAY = 86_400_000_000


def linearize(table: str, attributes: Sequence[str], values: Sequence[object]) -> str:
    """One row as text; the reference for `linearize_frame`.

    Args:
        table: its name.
        attributes: column names, in order.
        values: one for each attribute.

    Examples:
        >>> from rowgraph.rows.linearization import linearize
        >>> linearize("books", ["title", "price", "series"], ["Emma", 8.0, None])
        '<table> books <attr> title <value> Emma <attr> price <value> 8 <attr> series <value>'
    """
    parts = [TABLE, escape(table)]
    for attribute, value in zip(attributes, values, strict=True):
        parts += [ATTRIBUTE, escape(attribute), VALUE, escape(text_of(value))]
    return " ".join(part for part in parts if part)


def linearize_frame(table: str, frame: pl.DataFrame, attributes: Sequence[str]) -> pl.Series:
    """Every row of a table as text, column by column; equal to `linearize` row by row.

    Args:
        table: its name.
        frame: holds at least the columns `attributes`.
        attributes: in the order in which they are to appear.

    Returns:
        Strings, one for each row of `frame`.
    """
    pieces = [pl.lit(" ".join(part for part in (TABLE, escape(table)) if part))]
    columns = {}
    for place, attribute in enumerate(attributes):
        head = " ".join(part for part in (ATTRIBUTE, escape(attribute), VALUE) if part)
        columns[f"{place}"] = _escaped_texts(frame[attribute])
        text = pl.col(f"{place}")
        pieces += [pl.lit(f" {head}"), pl.when(text == "").then(pl.lit("")).otherwise(" " + text)]
    if not columns:
        return pl.Series("text", [linearize(table, [], [])] * frame.height, pl.String)
    return pl.DataFrame(columns).select(pl.concat_str(pieces).alias("text"))["text"]


def parse(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The table and the (attribute, value) pairs of a linearized row; values stay text.

    Raises:
        ValueError: the text is not a linearized row.
    """
    head, *pairs = text.split(ATTRIBUTE)
    if not head.startswith(TABLE):
        raise ValueError(f"a linearized row starts with {TABLE}, found {text[:80]!r}")
    row = []
    for place, pair in enumerate(pairs):
        name, found, value = pair.partition(VALUE)
        if not found or VALUE in value:
            raise ValueError(f"expected one {VALUE} after each {ATTRIBUTE}, found {pair[:80]!r}")
        row.append((_between(name), _between(value, last=place == len(pairs) - 1)))
    return _between(head.removeprefix(TABLE), last=not pairs), row


def _between(gap: str, last: bool = False) -> str:
    """The content between two markers, or between the last one and the end of the text."""
    if gap in ("", " "):
        return ""
    return unescape(gap[1:] if last else gap[1:-1])


def escape(text: str) -> str:
    """A text that spells no special token."""
    return re.sub(_SPELLED, r"<\\\1", text)


def unescape(text: str) -> str:
    """The inverse of `escape`."""
    return re.sub(_ESCAPED, r"<\1", text)


def text_of(value: object) -> str:
    """The text of one cell, not escaped; the module's table has the rules."""
    if value is None or (isinstance(value, float | np.floating | np.datetime64 | np.timedelta64
                                    | dt.datetime) and value != value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        # NumPy prints the shortest text that gives this width back; Python fixes its form.
        return _float_text(float(str(value)) if isinstance(value, np.floating) else value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, np.timedelta64):
        value = value.astype("timedelta64[us]").item()
    if isinstance(value, dt.datetime):
        return _timestamp_text(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return _float_text(value.total_seconds())
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text_of(item)}" for name, item in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(text_of(item) for item in value)
    return str(value)


def _float_text(value: float) -> str:
    if value == 0:
        return "0"
    return repr(value).removesuffix(".0")


def _timestamp_text(value: dt.datetime) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    if value.time() == dt.time():
        return value.date().isoformat()
    return value.isoformat(sep=" ", timespec="auto")


def texts_of(column: pl.Series) -> pl.Series:
    """The text of every cell of a column, not escaped; equal to `text_of` cell by cell."""
    column = column.alias("")  # for polars' own methods a name such as `^a.*$` is a pattern
    kind = column.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum, pl.Boolean) or kind.is_integer():
        texts = column.cast(pl.String)
    elif kind in (pl.Float32, pl.Float64):
        texts = _float_texts(column)
    elif kind in (pl.Date, pl.Datetime):
        texts = _timestamp_texts(column)
    else:
        texts = pl.Series([text_of(v) for v in column.to_list()], dtype=pl.String)
    return texts.fill_null("")


def _escaped_texts(column: pl.Series) -> pl.Series:
    texts, kind = texts_of(column), column.dtype
    if kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean:
        return texts  # cannot spell a special token
    return texts.str.replace_all(_SPELLED, r"<\${1}")


def _float_texts(column: pl.Series) -> pl.Series:
    """As `_float_text`: polars and Python agree where neither writes an exponent."""
    size = pl.col("v").abs()
    plain = size.is_between(1e-3, 1e6 if column.dtype == pl.Float32 else 1e15)
    frame = pl.DataFrame({"v": column.fill_nan(None)})
    texts = frame.select(
        pl.when(size == 0).then(pl.lit("0"))
        .when(plain).then(pl.col("v").cast(pl.String).str.strip_suffix(".0"))
        .when(pl.col("v").is_null()).then(pl.lit("")).alias("t"))["t"]
    odd = texts.is_null().arg_true()
    if len(odd):
        values = column.gather(odd).to_numpy()  # NumPy keeps the width of a Float32 column
        texts = texts.scatter(odd, [text_of(v) for v in values])
    return texts


def _timestamp_texts(column: pl.Series) -> pl.Series:
    """Texts of dates and timestamps, each distinct one formatted once."""
    distinct = column.unique()
    if column.dtype == pl.Date:
        texts = distinct.dt.strftime("%Y-%m-%d")
    else:
        moments = distinct.cast(pl.Datetime("us", getattr(column.dtype, "time_zone", None)))
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if (
            moments.dtype.time_zone) else moments
        ticks = pl.col("m").to_physical()
        texts = pl.DataFrame({"m": moments}).select(
            pl.when(ticks % _MICROSECONDS_A_DAY == 0).then(pl.col("m").dt.strftime("%Y-%m-%d"))
            .when(ticks % 1_000_000 == 0).then(pl.col("m").dt.strftime("%Y-%m-%d %H:%M:%S"))
            .otherwise(pl.col("m").dt.strftime("%Y-%m-%d %H:%M:%S%.6f")))["m"]
    return column.replace_strict(distinct, texts.fill_null(""), default="", return_dtype=pl.String)
