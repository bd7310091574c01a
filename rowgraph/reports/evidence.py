"""Everything that a profile's stages wrote and a report shows, in frames of one kind each.

Each stage's rows are given what their folder's name says and their columns do not: database, task
and stage. Nothing is computed here but the order in which people read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.statistics import graph_sizes
from rowgraph.reports.filled_cells import FilledCells
from rowgraph.reports.groups import GROUPS, groups_of
from rowgraph.reports.kept import KeptModel, kept_models
from rowgraph.reports.late_cells import late_cells_frame
from rowgraph.reports.paper import ABLATION
from rowgraph.reports.pretraining_tables import (
    graph_use_rows,
    pretraining_frame,
    transfer_frame,
)
from rowgraph.reports.schemas import Schema, schemas_of
from rowgraph.reports.settings import ReportSettings
from rowgraph.tasks.kinds import HIGHER_IS_BETTER, METRICS

DOWNSTREAM, EVALUATION = "downstream_metrics", "evaluation"
CHOOSERS = (DOWNSTREAM, "rowgraph_metrics", "baseline_metrics", "peer_metrics", EVALUATION)
WHERE = ("database", "task")
MEASURED = "measured"
ORDER = list(dict.fromkeys(m for metrics in METRICS.values() for m in metrics))


@dataclass(frozen=True)
class Evidence:
    """What a report is made of.

    Args:
        results: metrics of every variant and published figures beside them, with `group`.
        validation: by what validation picked. comparisons: paired tests.
        choices: every score that a choice was made by, with `stage`.
        importances: of features, where a baseline gives them.
        calibration, calibration_error: reliability curves and their errors.
        curves: of adaptations: database, task, variant, seed, epoch, split, regime, metric, value.
        predictions: `test_predictions_<regime>.parquet` by database, task and regime.
        row_maps, purity: by database.
        pretraining, graph_use, transfer, graphs, filled: as `pretraining_tables` reads them.
        late_cells: columns that were written after their row, as `late_cells` reads them.
        trainings: folders of the two pre-trainings, for their curves.
        elsewhere: published figures whose task is not in this profile.
        kept: models that are asked about today.
        schemas: of the held-out databases.
    """

    results: pl.DataFrame
    validation: pl.DataFrame
    comparisons: pl.DataFrame
    choices: pl.DataFrame
    importances: pl.DataFrame
    calibration: pl.DataFrame
    calibration_error: pl.DataFrame
    curves: pl.DataFrame
    predictions: Mapping[tuple[str, str, str], Path]
    row_maps: Mapping[str, pl.DataFrame]
    purity: Mapping[str, pl.DataFrame]
    pretraining: pl.DataFrame
    graph_use: pl.DataFrame
    transfer: pl.DataFrame
    graphs: pl.DataFrame
    filled: FilledCells
    late_cells: pl.DataFrame
    trainings: Mapping[str, Path]
    elsewhere: int
    kept: tuple[KeptModel, ...]
    schemas: tuple[Schema, ...]

    @classmethod
    def read(cls, folders: Mapping[str, Path], settings: ReportSettings) -> Evidence:
        """From artifact folders by input name.

        Raises:
            ValueError: no evaluation is among them.
        """
        places = _places(folders)
        if not places:
            raise ValueError("report: no evaluation was handed in, so there is nothing to report; "
                             "the profile needs a held-out database with at least one task")
        results = _results(folders, places, settings)
        maps = {n.partition("__")[2]: f for n, f in folders.items() if n.startswith("row_map__")}
        stages = [(n, f, places.get(n.partition("__")[2])) for n, f in folders.items()
                  if n.startswith(CHOOSERS)]
        asked = set(places.values())
        filled, graph_use = FilledCells.read(folders), graph_use_rows(folders)
        # Folders are named by what a key may hold; rows know what a database is called.
        said = (frame["database"] for frame in (results, filled.kinds, graph_use) if frame.height)
        called = {name.replace("-", "_"): name for column in said for name in column.unique()}
        return cls(
            results=results,
            validation=_evaluated(folders, "validation"),
            comparisons=_evaluated(folders, "comparisons"),
            choices=_of_tasks(stages, "choices"),
            importances=_of_tasks(stages, "importances"),
            calibration=_evaluated(folders, "calibration"),
            calibration_error=_evaluated(folders, "calibration_error"),
            curves=_of_tasks([s for s in stages if s[0].startswith(DOWNSTREAM)], "curves"),
            predictions=dict(_predictions(folders, places)),
            row_maps={called.get(n, n): pl.read_parquet(f / "row_map.parquet")
                      for n, f in maps.items()},
            purity={called.get(n, n): pl.read_parquet(f / "purity.parquet")
                    for n, f in maps.items()},
            pretraining=pretraining_frame(folders), graph_use=graph_use,
            transfer=transfer_frame(folders), graphs=collect_graphs(folders, called),
            filled=filled, late_cells=late_cells_frame(folders),
            trainings={n: folders[n] for n in ("bart_checkpoint", "sage_weights") if n in folders},
            elsewhere=sum((f.database, f.task) not in asked for f in settings.published),
            kept=tuple(kept_models(folders)), schemas=tuple(schemas_of(folders)))

    @property
    def questions(self) -> list[tuple[str, str, str]]:
        """Database, task and regime of everything that was asked, in reading order."""
        measured = self.results.filter(pl.col("group") != "published")
        return measured.select(*WHERE, "regime").unique(maintain_order=True).rows()

    def of(self, frame: pl.DataFrame, database: str, task: str,
           regime: str | None = None) -> pl.DataFrame:
        """The rows of one task, or of one question."""
        if frame.is_empty():
            return frame
        found = frame.filter(database=database, task=task)
        return found if regime is None else found.filter(regime=regime)

    def files(self) -> dict[str, pl.DataFrame]:
        """What the report hands on to programs, by name of the Parquet file."""
        return {
            "results": self.results, "validation": self.validation,
            "comparisons": self.comparisons, "choices": self.choices,
            "importances": self.importances, "calibration": self.calibration,
            "calibration_error": self.calibration_error, "graphs": self.graphs,
            "pretraining": self.pretraining, "graph_use": self.graph_use,
            "transfer": self.transfer, "imputation": self.filled.columns,
            "imputation_skipped": self.filled.skipped, "late_cells": self.late_cells,
            "purity": pl.concat([f.select(pl.lit(n).alias("database"), pl.all())
                                 for n, f in self.purity.items()] or [pl.DataFrame()])}


def _places(folders: Mapping[str, Path]) -> dict[str, tuple[str, str]]:
    """Database and task, by what follows the stage in a folder's name."""
    found = {}
    for name, folder in folders.items():
        if name.startswith(f"{EVALUATION}__"):
            first = pl.scan_parquet(folder / "metrics.parquet").select(WHERE).first().collect()
            if first.height:
                found[name.partition("__")[2]] = first.row(0)
    return found


def _evaluated(folders: Mapping[str, Path], file: str) -> pl.DataFrame:
    frames = [pl.read_parquet(folder / f"{file}.parquet") for name, folder in folders.items()
              if name.startswith(f"{EVALUATION}__") and (folder / f"{file}.parquet").exists()]
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


def _of_tasks(stages: list[tuple[str, Path, tuple[str, str] | None]], file: str) -> pl.DataFrame:
    frames = []
    for name, folder, place in stages:
        if place is not None and (folder / f"{file}.parquet").exists():
            known = {"database": place[0], "task": place[1], "stage": name.partition("__")[0]}
            frame = pl.read_parquet(folder / f"{file}.parquet")
            frames.append(frame.select(*(pl.lit(v).alias(k) for k, v in known.items()),
                                       pl.exclude(*known)))
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


def _predictions(folders: Mapping[str, Path], places: Mapping[str, tuple[str, str]],
                 ) -> Iterator[tuple[tuple[str, str, str], Path]]:
    prefix = "test_predictions_"
    for where, place in places.items():
        for path in sorted(folders[f"{EVALUATION}__{where}"].glob(f"{prefix}*.parquet")):
            yield (*place, path.stem.removeprefix(prefix)), path


def _results(folders: Mapping[str, Path], places: Mapping[str, tuple[str, str]],
             settings: ReportSettings) -> pl.DataFrame:
    """Measured rows and published figures of the same tasks, in reading order: tasks as the
    profile lists them, the primary metric first, then regimes, groups, and variants as their
    stages list them (the paper's in its own order)."""
    groups = {(*places[where], variant): group
              for (where, variant), group in groups_of(folders).items() if where in places}
    measured = _evaluated(folders, "metrics")
    published = [{**f.model_dump(exclude={"value", "kind"}), "mean": f.value, "kind": f.kind,
                  "group": "published"}
                 for f in settings.published if (f.database, f.task) in set(places.values())]
    # A model of which no stage holds a prediction has no figure either: a peer that could not run.
    keys = measured.select(*WHERE, "variant").rows()
    measured = measured.with_columns(
        pl.Series("group", [groups.get(key, "peer") for key in keys], pl.String))
    if published:
        schema = {"kind": pl.String, **{c: measured.schema[c] for c in published[0]
                                        if c != "kind"}}
        frame = pl.DataFrame(published, schema=schema, orient="row")
        facts = measured.select(*WHERE, "task_type").unique()
        frame = frame.join(facts, on=WHERE, how="left", maintain_order="left").with_columns(
            higher_is_better=pl.col("metric").replace_strict(
                HIGHER_IS_BETTER, default=None, return_dtype=pl.Boolean))
        measured = pl.concat([measured, frame], how="diagonal_relaxed")
    ranks = {
        "_task": {place: i for i, place in enumerate(places.values())},
        "_metric": {m: i for i, m in enumerate(ORDER)},
        "_group": {g: i for i, g in enumerate(GROUPS)},
        "_variant": {v: i for i, v in enumerate(dict.fromkeys(
            [*ABLATION, *(key[2] for key in groups)]))}}
    rows = measured.with_columns(
        pl.Series("_task", [ranks["_task"][place] for place in measured.select(WHERE).rows()],
                  pl.Int64),
        *(pl.col(of).replace_strict(ranks[name], default=len(ranks[name]),
                                    return_dtype=pl.Int64).alias(name)
          for of, name in (("metric", "_metric"), ("group", "_group"), ("variant", "_variant"))),
        _value=pl.when(pl.col("group") == "published").then(
            pl.when(pl.col("higher_is_better")).then(-pl.col("mean")).otherwise(pl.col("mean"))))
    return rows.sort("_task", "_metric", "metric", "regime", "_group", "_value", "_variant",
                     "variant", nulls_last=True, maintain_order=True).drop(*ranks, "_value")


def collect_graphs(folders: Mapping[str, Path], called: Mapping[str, str]) -> pl.DataFrame:
    """Nodes and edges of every database, as the paper's Table 1 counts them.

    Args:
        called: names of databases by what their folders are named by.
    """
    prefix = "entity_graph__"
    graphs = {name.removeprefix(prefix): folder for name, folder in folders.items()
              if name.startswith(prefix)}
    found = {called.get(name, name): EntityGraph.load(folder) for name, folder in graphs.items()}
    return graph_sizes(found) if found else pl.DataFrame()
