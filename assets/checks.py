"""Asset checks: numbers that a person decides on, shown beside the asset that they are about.

They only show. What must not be published raises before it is (`rowgraph.language.health`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from rowgraph.artifacts import Key

HEALTH = {
    "embeddings_spread": "Embeddings of held-out rows differ: root mean square distance from their "
                         "mean over root mean square norm.",
    "embeddings_effective_rank": "They differ in many directions: exponential of the entropy of "
                                 "the singular values.",
    "tables_told_apart": "The nearest other row of most rows is of their own table.",
}
SUSPECTS = {"no_open_suspects": "No column looks as if it was written after its row without "
                                "anything being done about it."}
ROWS_FIT = {"rows_fit_max_tokens": "Rows are read whole, not cut at max_tokens."}
PURE_ENOUGH = 0.5
CUT_TOO_OFTEN = 0.05  # share of a table's rows


def check_specs(key: Key, texts: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """Checks of an asset by name, as `@dg.asset` takes them."""
    return [dg.AssetCheckSpec(name, asset=list(key), description=text)
            for name, text in texts.items()]


def health_checks(health: Mapping[str, Any],
                  settings: Mapping[str, Any]) -> Iterator[dg.AssetCheckResult]:
    """The figures that gate a checkpoint, with the floors that it passed."""
    floors = {"embeddings_spread": ("spread", settings["min_spread"]),
              "embeddings_effective_rank": ("effective_rank", settings["min_effective_rank"]),
              "tables_told_apart": ("table_purity", PURE_ENOUGH)}
    for name, (figure, floor) in floors.items():
        yield dg.AssetCheckResult(
            check_name=name, passed=health[figure] >= floor, severity=dg.AssetCheckSeverity.WARN,
            description=f"{figure} {health[figure]:.3f}, at least {floor:g} is expected",
            metadata={figure: health[figure], "norm_of_mean": health["norm_of_mean"],
                      "table_spread": dg.MetadataValue.json(health["table_spread"])})


def no_open_suspects(summary: Mapping[str, Any]) -> dg.AssetCheckResult:
    """How many columns may tell the future, and how many are hidden until they were known."""
    count = summary["open_suspects"]
    return dg.AssetCheckResult(
        check_name=next(iter(SUSPECTS)), passed=not count, severity=dg.AssetCheckSeverity.WARN,
        description=f"{count} of {summary['suspects']} suspects are left as they stand; look at "
        "them with `rowgraph databases`" if count else "nothing is left that looks as if it was "
        "written after its row",
        metadata={name: summary[name] for name in ("suspects", "open_suspects", "late_columns")})


def rows_fit(rates: Mapping[str, float], max_tokens: int) -> dg.AssetCheckResult:
    """Which tables are too wide for `max_tokens`, and how many of their rows were cut."""
    wide = {table: rate for table, rate in rates.items() if rate > CUT_TOO_OFTEN}
    said = ", ".join(f"{table} ({rate:.0%} of rows)" for table, rate in wide.items())
    return dg.AssetCheckResult(
        check_name=next(iter(ROWS_FIT)), passed=not wide, severity=dg.AssetCheckSeverity.WARN,
        description=f"cut at {max_tokens} tokens: {said}; raise bart_checkpoint.max_tokens to read "
        "them whole" if wide else f"hardly any row is cut at {max_tokens} tokens",
        metadata={"truncation_rate": dg.MetadataValue.json(dict(rates))})
