"""An artifact's tables as Dagster shows them: columns and rows in its own keys, scores, inputs."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from rowgraph.artifacts import Artifact

# The table that stands for an artifact of several files.
MAIN_TABLE = {
    "linearized_corpus": "corpus.parquet",
    "window_features": "known.parquet",
    "rowgraph_metrics": "predictions.parquet",
    "downstream_metrics": "predictions.parquet",
    "baseline_metrics": "predictions.parquet",
    "peer_metrics": "predictions.parquet",
    "predictions": "predictions.parquet",
    "evaluation": "metrics.parquet",
    "transfer_metrics": "transfer.parquet",
    "imputation_metrics": "metrics.parquet",
    "row_map": "row_map.parquet",
}


def table_metadata(artifact: Artifact) -> dict[str, Any]:
    """`dagster/column_schema` and `dagster/row_count` of an artifact of tables; of a database and
    of sampled rows every table's columns, as `<table>.<column>`, and the rows of all of them; none
    of a report, whose page shows the results themselves and nothing before them."""
    stage = artifact.key[0]
    if stage == "source":
        return _database(artifact)
    if stage == "sampled_rows":
        files = sorted(artifact.folder.glob("*.parquet"))
        return _schema([column for path in files for column in _columns(path, f"{path.stem}.")],
                       sum(map(_rows, files)))
    if stage in ("cell_store", "node_embeddings"):  # arrays, a row of the database each
        return {"dagster/row_count": sum(t["rows"] for t in artifact.summary["tables"].values())}
    path = artifact.folder / MAIN_TABLE.get(stage, "")
    return _schema(list(_columns(path)), _rows(path)) if path.is_file() else {}


def _database(artifact: Artifact) -> dict[str, Any]:
    from rowgraph.databases.database import Database

    database = Database.open(artifact.folder)
    columns, tables = [], []
    for name, schema in database.tables.items():
        path = artifact.folder / "db" / f"{name}.parquet"
        notes = {schema.pkey_col: "primary key", schema.time_col: "time of the row",
                 **{column: f"refers to {table}" for column, table in schema.fkeys.items()}}
        mine = list(_columns(path, f"{name}.", notes))
        columns += mine
        tables.append({
            "table": name, "rows": _rows(path), "columns": len(mine),
            "primary key": schema.pkey_col or "", "time": schema.time_col or "",
            "refers to": ", ".join(schema.fkeys.values())})
    return {"tables": dg.MetadataValue.table([dg.TableRecord(row) for row in tables]),
            **_schema(columns, sum(row["rows"] for row in tables))}


def _columns(path: Path, prefix: str = "",
             notes: Mapping[str | None, str] | None = None) -> Iterator[dg.TableColumn]:
    import pyarrow.parquet as pq

    for column in pq.read_schema(path):
        yield dg.TableColumn(f"{prefix}{column.name}", str(column.type),
                             description=(notes or {}).get(column.name))


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows


def _schema(columns: list[dg.TableColumn], rows: int) -> dict[str, Any]:
    return {"dagster/column_schema": dg.TableSchema(columns), "dagster/row_count": rows}


def score_table(rows: Iterable[Mapping[str, Any]], metrics: Iterable[str]) -> Any:
    """Scores for people: a line a variant, a column a regime; None where there are none.

    Args:
        rows: as `rowgraph.evaluation.scores.score_rows` gives them.
        metrics: only these.
    """
    rows = [row for row in rows if row["metric"] in set(metrics)]
    regimes = sorted({row["regime"] for row in rows})
    several = len({(row["database"], row["task"]) for row in rows}) > 1
    counted = [name for name in ("n_test", "seeds") if all(row[name] for row in rows)]
    lines: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault((row["database"], row["task"], row["variant"]), {
            **({"task": f"{row['database']}/{row['task']}"} if several else {}),
            "variant": row["variant"], **dict.fromkeys(regimes, ""), "metric": row["metric"],
            **{name: row[name] for name in counted}})
        line[row["regime"]] = figure(row)
    if not lines:
        return None
    return dg.MetadataValue.table([dg.TableRecord(line) for line in lines.values()])


def figure(row: Mapping[str, Any]) -> str:
    """`0.731 [0.690, 0.770]`, or without its interval where none is known."""
    if row["mean"] is None:
        return "undefined"
    if row["ci_low"] is None:
        return f"{row['mean']:.3f}"
    return f"{row['mean']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
