"""kumo-engine's temporal graph network on the label rows that RowGraph gets: ROC-AUC, seconds, GB.

    python -m benchmarks.kumo          # make bench-kumo makes the engine's environment first

The peer that a person would pick instead: the database, a predictive query, `fit`. It runs in an
environment of its own (benchmarks/kumo_engine.py), in its default plan, run mode FAST: a search of
two networks, the better by validation is kept. Both sides are handed the newest `--fit-rows` label
rows up to the end of validation. The engine trains on the training rows among them and stops and
chooses by the validation rows (its plan fits nothing on them); RowGraph chooses on folds and fits
all. Held out are the test rows, and what the engine says of them is scored here, as everything is.

The engine shows a label row what lies at its moment or before, and counts in whole seconds. Every
moment is therefore handed over one second early, so that the rule is RowGraph's, strictly older,
and the regime `rolling`. A query tells the engine the kind of task, the table asked about and a
link that matters; labels, moments and splits come from the label rows, not from the query.

RowGraph's figures and the baselines' are those of a profile that has run (`--profile`); where it
has not, there are none. Their seconds and GB are of the stages of that database and task, both
regimes, every part and every baseline; without pre-training, which serves all.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assets.catalog import part
from benchmarks.watching import watched
from pipeline.environment import Environment
from pipeline.plan import Planned, plan
from rowgraph.databases.database import Database
from rowgraph.databases.resolving import fingerprint_folder
from rowgraph.evaluation.comparison import compare, sentence
from rowgraph.evaluation.resamples import Resamples
from rowgraph.evaluation.scoring import metric_rows, score_task
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.randomness import generator
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.predictions import Predictions, Run, read_predictions

ENGINE, OURS, REGIME = "kumo_engine", "rowgraph", "rolling"
SHOWN = {"rowgraph_metrics": (OURS,), "baseline_metrics": ("data_scientist", "entity_history")}
QUERIES = {
    "rel-f1/driver-dnf":
        "PREDICT COUNT(results.* WHERE results.statusId != 1, 0, 30, days) > 0 "
        "FOR EACH drivers.driverId",
    "rel-grocery/household-churn":
        "PREDICT COUNT(baskets.*, 0, 14, days) = 0 FOR EACH households.household_id",
    "rel-stack-small/user-engagement":
        "PREDICT COUNT(posts.*, 0, 91, days) > 0 OR COUNT(comments.*, 0, 91, days) > 0 "
        "FOR EACH users.user_id"}
SECOND = 1_000_000  # microseconds


def fitted_rows(task: Task, count: int) -> tuple[LabelTable, int]:
    """The newest label rows that may be fitted or chosen on, and how many of them only train.

    Raises:
        SystemExit: with so few rows nothing would be left to train on.
    """
    training = count - len(task.val)
    if training <= 0:
        raise SystemExit(f"{task.name}: {count} rows are no more than its {len(task.val)} "
                         "validation rows; ask for more")
    train = task.train.newest(training)
    return train.then(task.val), len(train)


def hand_over(task: Task, fit_rows: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Write a database and the label rows of a task as the engine reads them.

    Keys are whole numbers (the engine refuses one that is stored as a float, as nullable ones are),
    times microseconds, text Arrow's smaller string (it reads no other). The kind of a column it
    infers from the first rows, where an old table has nothing but nulls: rows are written in a
    drawn order. Columns without any value are left out, as are those that the task must not see
    and cells that were known later than their row.

    Args:
        folder: gets `source/<table>.parquet` and `rows/labels.parquet`.

    Returns:
        Keys and time of each table.
    """
    database, tables = task.database, {}
    for place in ("source", "rows"):
        (folder / place).mkdir(parents=True)
    for name, table in database.tables.items():
        frame, columns = database.read(name), []
        order = generator("benchmarks.kumo", database.name, name).permutation(frame.height)
        for column in frame[order].iter_columns():
            if column.null_count() == len(column):
                continue
            if column.name in table.key_cols:
                column = column.fill_nan(None) if column.dtype.is_float() else column
                column = column.cast(pl.Int64)
            elif column.dtype in (pl.Date, pl.Datetime):
                column = column.cast(pl.Datetime("us"))
            columns.append(column)
        pq.write_table(with_small_strings(pl.DataFrame(columns).to_arrow()),
                       folder / "source" / f"{name}.parquet")
        tables[name] = {"pkey": table.pkey_col, "time_col": table.time_col, "fkeys": table.fkeys}
    fitted, training = fitted_rows(task, fit_rows)
    labels = fitted.then(task.test)
    split = np.repeat([0, 1, 2], [training, len(fitted) - training, len(task.test)])
    pl.DataFrame({
        "ENTITY1": entities(task)[labels.rows],
        "TIMESTAMP": pl.Series(just_before(labels.times)).cast(pl.Datetime("us")),
        "TARGET1": labels.target.astype(np.int64), "SPLIT": split,
    }).write_parquet(folder / "rows" / "labels.parquet")
    return tables


def with_small_strings(table: pa.Table) -> pa.Table:
    """The same table with texts of type `string`, whatever kind of string they were."""
    text = (pa.types.is_large_string, pa.types.is_string_view, pa.types.is_dictionary)
    return table.cast(pa.schema([
        field.with_type(pa.string()) if any(of(field.type) for of in text) else field
        for field in table.schema]))


def just_before(times: np.ndarray) -> np.ndarray:
    """The last whole second, in microseconds, all of which lies before the second of a time."""
    return (times // SECOND - 1) * SECOND


def entities(task: Task) -> np.ndarray:
    """int64 [rows of the entity table]: its primary key."""
    key = task.database.tables[task.entity_table].pkey_col
    return task.database.column(task.entity_table, key).cast(pl.Int64).to_numpy()


def read_back(task: Task, path: Path) -> np.ndarray:
    """What the engine said of the test rows, in their order.

    Raises:
        ValueError: it did not answer each test row once.
    """
    said = pl.read_parquet(path).select(
        pl.col("ENTITY").cast(pl.Int64),
        pl.col("TIMESTAMP").cast(pl.Datetime("us")).cast(pl.Int64), "True_PROB")
    asked = pl.DataFrame({"ENTITY": entities(task)[task.test.rows],
                          "TIMESTAMP": just_before(task.test.times)})
    found = asked.join(said, on=["ENTITY", "TIMESTAMP"], how="left", maintain_order="left")
    if len(said) != len(asked) or len(found) != len(asked) or found["True_PROB"].has_nulls():
        raise ValueError(f"{path}: expected one answer to each of {len(asked)} test rows, found "
                         f"{len(said)} answers, {found['True_PROB'].null_count()} rows without one")
    return found["True_PROB"].cast(pl.Float64).to_numpy()


def ask(task: Task, query: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let the engine train and answer, in its own environment; or what it said when it was asked
    the same before, where that was kept.

    Returns:
        What `watched` says, the engine's report, and `prediction`, None where there is none.
    """
    asked = {"query": query, "fit_rows": args.fit_rows, "mode": args.mode, "seed": args.seed,
             "optimization": {"max_epochs": args.epochs} if args.epochs else {},
             "threads": args.threads, "database": fingerprint_folder(task.database.folder)}
    answers, kept = folder / "answers.parquet", folder / "facts.json"
    if kept.exists() and (facts := json.loads(kept.read_text()))["asked"] == asked:
        return facts | {"prediction": read_back(task, answers)}
    shutil.rmtree(folder, ignore_errors=True)
    tables = hand_over(task, args.fit_rows, folder)
    (folder / "request.json").write_text(json.dumps(asked | {"tables": tables}))
    child, log = Path(__file__).with_name("kumo_engine.py"), folder / "log.txt"
    # -P: this folder's kumo.py must not stand in the way of the engine's package of that name.
    facts = watched([args.python, "-P", str(child), str(folder)], log, args.minutes, args.threads)
    facts |= {"asked": asked, "report": None, "prediction": None}
    if facts["status"] == 0:
        facts["report"] = json.loads((folder / "report.json").read_text())
        kept.write_text(json.dumps(facts))
        facts["prediction"] = read_back(task, answers)
    elif facts["status"] is not None:
        print("\n".join(log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
    return facts


def finished(planned: Iterable[Planned], task: Task, stage: str) -> tuple[Predictions, dict]:
    """The shown variants of a stage of a profile, and what its stages took; both empty where it
    has not run."""
    by_key = {p.node.key: p for p in planned}
    database = part(task.database.name)
    found = by_key.get((stage, database, part(task.name)))
    if found is None or found.artifact is None:
        return {}, {}
    wanted, stages = [found], {}
    while wanted:
        one = wanted.pop()
        if one.node.key[1:2] != (database,) or one.node.stage == "source":
            continue
        stages[one.node.key] = one.artifact.manifest["origin"]
        wanted += [by_key[up] for up in one.node.inputs.values() if up not in stages]
    said = read_predictions(task, found.artifact.path("predictions.parquet"))
    kept = {run: splits for run, splits in said.items()
            if run.regime == REGIME and run.variant in SHOWN[stage]}
    return kept, {"seconds": round(sum(origin["seconds"] for origin in stages.values()), 1),
                  "gb": round(max(origin["peak_mib"] for origin in stages.values()) / 1024, 2)}


def side_by_side(task: Task, prediction: np.ndarray | None, seed: int,
                 planned: Iterable[Planned]) -> dict[str, Any]:
    """The engine beside what a profile has: a figure each, and ours against the engine's."""
    predictions, costs = {}, {}
    if prediction is not None:
        predictions[Run(REGIME, ENGINE, seed)] = {"test": prediction}
    for stage, variants in SHOWN.items():
        said, took = finished(planned, task, stage)
        predictions |= said
        costs |= {variant: took for variant in variants if took}
    settings = EvaluationSettings()
    resamples = Resamples.of(task, settings.bootstrap, settings.fewest_dates)
    scored = score_task(task, predictions, resamples)
    rows = metric_rows(task, scored, resamples).filter(metric=task.primary)
    figures = {row["variant"]: {k: row[k] for k in ("mean", "ci_low", "ci_high", "seeds")}
               | costs.get(row["variant"], {}) for row in rows.iter_rows(named=True)}
    pair = {key: one for key, one in scored.items() if key[1] in (OURS, ENGINE)}
    said = None
    if {key[1] for key in pair} == {OURS, ENGINE}:
        differences, _ = compare(task, pair, {}, resamples, [ENGINE], settings)
        said = sentence(differences.row(0, named=True))
    return {"figures": figures, "resampled": resamples.words, "finding": said}


def report(task: Task, facts: dict[str, Any], found: dict[str, Any], minutes: float) -> None:
    """A table of one task, and what may be said of the difference."""
    figures = found["figures"]
    took = {"seconds": facts["seconds"], "gb": facts["gb"]}
    print(f"\n{task.database.name}/{task.name}, {REGIME}, {len(task.test)} test rows\n"
          f"{'':<18}{task.primary:>9}{'95 % interval':>16}{'seeds':>7}{'seconds':>9}{'GB':>7}")
    if facts["prediction"] is None:
        why = (f"no answer within {minutes:g} minutes" if facts["status"] is None
               else f"failed (exit status {facts['status']})")
        print(f"{ENGINE:<18}{why:>32}{took['seconds']:>9.0f}{took['gb']:>7.1f}")
    else:
        figures[ENGINE] |= took
    for variant, row in figures.items():
        interval = ("" if row["ci_low"] is None else f"{row['ci_low']:.3f} to {row['ci_high']:.3f}")
        cost = f"{row['seconds']:>9.0f}{row['gb']:>7.1f}" if "seconds" in row else ""
        print(f"{variant:<18}{row['mean']:>9.4f}{interval:>16}{row['seeds']:>7}{cost}")
    for variants in SHOWN.values():
        for variant in variants:
            if variant not in figures:
                print(f"{variant:<18}{'not run in this profile':>32}")
    print(found["finding"] or "nothing to compare yet", flush=True)


def main() -> None:
    """Ask about every task, print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--databases", type=Path, default=os.environ.get("ROWGRAPH_DATABASES"),
                        help="folder of RelBench 3 folders (default ROWGRAPH_DATABASES)")
    parser.add_argument("--python", default=".rowgraph/kumo/bin/python",
                        help="of the environment that has kumo-engine")
    parser.add_argument("--tasks", nargs="+", default=list(QUERIES), choices=list(QUERIES))
    parser.add_argument("--profile", default="suite", help="whose figures stand beside")
    parser.add_argument("--fit-rows", type=int, default=20_000, help="newest label rows handed on")
    parser.add_argument("--mode", default="fast", choices=["fast", "normal", "best"])
    parser.add_argument("--epochs", type=int, help="at most (default: the mode's own)")
    parser.add_argument("--minutes", type=float, default=17.0, help="at most, of each task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path,
                        help="keep here what passes between the two, and ask nothing twice")
    args = parser.parse_args()
    if not args.databases:
        raise SystemExit("name a folder of RelBench 3 folders in ROWGRAPH_DATABASES or --databases")
    if not Path(args.python).exists():
        raise SystemExit(f"{args.python} is missing: run make bench-kumo, or name the Python of an "
                         "environment with kumo-engine in --python")
    print(f"{args.threads} threads, mode {args.mode}, at most {args.minutes:g} minutes a task, "
          f"newest {args.fit_rows} label rows", flush=True)
    planned, results = plan(Environment.read(args.profile)), {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.tasks:
            database, _, wanted = name.partition("/")
            task = load_task(Database.open(args.databases / database), wanted)
            place = (args.folder or Path(scratch)).resolve() / f"{database}-{wanted}"
            facts = ask(task, QUERIES[name], args, place)
            found = side_by_side(task, facts["prediction"], args.seed, planned)
            report(task, facts, found, args.minutes)
            results[name] = {k: v for k, v in facts.items() if k != "prediction"} | found
    print(json.dumps({"benchmark": "kumo", "threads": args.threads, "mode": args.mode,
                      "minutes": args.minutes, "fit_rows": args.fit_rows, "seed": args.seed,
                      "regime": REGIME, "results": results}))
    if failed := [name for name, facts in results.items() if facts["status"]]:
        raise SystemExit(f"kumo-engine failed on {', '.join(failed)}; its last words are above")


if __name__ == "__main__":
    main()
