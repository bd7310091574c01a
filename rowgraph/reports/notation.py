"""Figures as people of the field read them: `.713 ± .011 [.678, .753]`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rowgraph.reports.settings import UNBOUNDED

NONE = "–"
NAMES = {"roc_auc": "ROC-AUC", "average_precision": "average precision", "f1": "F1",
         "macro_f1": "macro F1", "log_loss": "log loss", "roc_auc_ovr": "ROC-AUC (one vs. rest)",
         "mae": "MAE", "nmae": "MAE / spread", "r2": "R²", "map": "MAP", "recall": "recall"}
BETTER = {True: "↑", False: "↓"}


def metric_name(metric: str, higher_is_better: bool | None = None) -> str:
    """A metric as people write it, with an arrow that points to better.

    >>> from rowgraph.reports.notation import metric_name
    >>> metric_name("roc_auc", True)
    'ROC-AUC ↑'
    """
    name = NAMES.get(metric, metric.replace("_", " "))
    return name if higher_is_better is None else f"{name} {BETTER[higher_is_better]}"


def digits_of(metric: str, value: float | None) -> int:
    """Decimals that carry a metric: three of those between 0 and 1, three or four figures else."""
    if metric not in UNBOUNDED or not value or not math.isfinite(value):
        return 3
    magnitude = math.floor(math.log10(abs(value)))
    return max(0, min(8, 3 - max(magnitude, 0) if magnitude >= 0 else 2 - magnitude))


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number without the zero before its point; a dash where there is none.

    >>> from rowgraph.reports.notation import number
    >>> number(0.7134), number(-0.02, sign=True), number(None), number(1234.5, 1)
    ('.713', '−.020', '–', '1,234.5')
    """
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{abs(value):,.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    if not text.strip("0.,"):  # nothing is left of it, so it has no sign either
        return text
    return ("−" if value < 0 else "+" if sign else "") + text


def interval(low: float | None, high: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """`[.678, .753]`, or nothing."""
    if low is None or high is None:
        return ""
    return f"[{number(low, digits, sign=sign)}, {number(high, digits, sign=sign)}]"


def common_digits(rows: Iterable[Mapping[str, Any]]) -> int:
    """Decimals for results rows of one metric that stand in a column: those of the largest."""
    return min((digits_of(r["metric"], r["mean"]) for r in rows if r["mean"] is not None),
               default=3)


def figure(row: Mapping[str, Any], *, whole: bool = True, digits: int | None = None) -> str:
    """A results row's figure: mean, spread over seeds and, if `whole`, its interval.

    Args:
        digits: decimals; None for what its own size asks for.
    """
    mean = row["mean"]
    if mean is None:
        return NONE
    digits = digits_of(row["metric"], mean) if digits is None else digits
    text = number(mean, digits)
    if row.get("std") is not None:
        text += f" ± {number(row['std'], digits)}"
    if whole and row.get("ci_low") is not None:
        text += f" {interval(row['ci_low'], row['ci_high'], digits)}"
    return text


def difference(row: Mapping[str, Any], digits: int) -> str:
    """A comparison's difference with its interval."""
    return (f"{number(row['difference'], digits, sign=True)} "
            f"{interval(row['ci_low'], row['ci_high'], digits, sign=True)}").strip()


def p_value(value: float | None) -> str:
    """`p = .012`, never `p = 0`."""
    if value is None or not math.isfinite(value):
        return NONE
    return "p < .001" if value < 0.001 else f"p = {number(value)}"


def seconds(value: float | None) -> str:
    """A duration: 8.2 s, 3 min 20 s, 2 h 05 min."""
    if value is None:
        return NONE
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def memory(mib: float | None) -> str:
    """Memory: 640 MiB, 1.4 GiB."""
    if mib is None:
        return NONE
    return f"{mib:,.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"
