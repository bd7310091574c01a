"""Training on a held-out database's own past, without labels.

What is trained until a moment may serve whoever asks at that moment or later, and nobody before:
so there are weights that end at the oldest cut of the tasks' folds, at `val_timestamp` and at
`test_timestamp`, and each exam takes the newest that had ended by its cut.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import safetensors.torch
import torch

from rowgraph.artifacts import Draft, write_json
from rowgraph.cells.store import Cells
from rowgraph.databases.database import Database
from rowgraph.forecasting.encoder import Corrections
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.questions import Questions
from rowgraph.forecasting.reader import Reader
from rowgraph.forecasting.settings import ForecastSettings, OwnPastWeightsSettings
from rowgraph.forecasting.training import Past, Weights, examine, train
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.parallel.group import ALONE, Group
from rowgraph.progress import Log
from rowgraph.side_by_side import processes_of, side_by_side
from rowgraph.tasks.folds import folds_of
from rowgraph.tasks.label_tables import Task

EARLY, VALIDATION, TEST = "early", "validation", "test"
CURVES = {"end": pl.String, "seed": pl.Int64, "step": pl.Int64, "loss": pl.Float64}
EXAMINED = {"end": pl.String, "seed": pl.Int64, "score": pl.String, "value": pl.Float64}


@dataclass(frozen=True)
class Reading:
    """A database and where its graph and cells lie, in a form that any process can open.

    Args:
        database: whole: nothing is hidden from what is not about a task.
    """

    database: Database
    graph: Path
    cells: Path

    def of(self, database: Database) -> tuple[EntityGraph, Cells]:
        """Graph and cells, as seen by a task whose database may hide columns."""
        return (EntityGraph.load(self.graph).without(database.hidden),
                Cells.open(self.cells, database))

    def reader(self, fan_out: tuple[int, int]) -> Reader:
        """Of the whole database."""
        return Reader(*self.of(self.database), self.database.val_timestamp, fan_out)


def ends_of(database: Database, tasks: Sequence[Task], folds: int) -> dict[str, int]:
    """Until when weights are trained, by name, microseconds, oldest first.

    Args:
        tasks: of the database; the oldest cut of any of their folds is the first end.
        folds: of each.
    """
    cuts = [folds_of(task, folds)[0].cut for task in tasks]
    early = min(cuts, default=database.val_timestamp)
    found = {VALIDATION: database.val_timestamp, TEST: database.test_timestamp}
    return ({EARLY: early} if early < database.val_timestamp else {}) | found


def train_on_own_past(reading: Reading, ends: Mapping[str, int], settings: OwnPastWeightsSettings,
                      draft: Draft, *, start: Weights | None = None, device: str,
                      log: Log, group: Group = ALONE) -> dict[str, Any]:
    """Train every seed until every end, side by side on a CPU.

    A finished training lies in `draft.state` and is not done again; one that was interrupted goes
    on from its last save. Until ends before which nothing can be asked, nothing is trained: a
    database without children that have times has no weights, and its tasks do without.

    Args:
        ends: of `ends_of`.
        draft: gets `<end>/seed_<seed>.safetensors`, `weights.json`, `curves.parquet` (end, seed,
            step, loss) and `examined.parquet` (end, seed, score, value): questions about the span
            from an end to the next one, answered by what had ended before, beside a rule.
        start: weights of other databases, of the settings' width and output, from which every
            training goes on, with as many precedents; None is fresh ones.
        log: called with the losses.
        group: of workers. They take whole trainings each, where those are as many as they are;
            else the steps of each training together.

    Returns:
        The summary: ends, seeds, and the mean of each score over seeds at the last end that is
        followed by another; empty in every worker but the first.
    """
    if start is not None:
        settings = settings.model_copy(update={"precedents": start.head.precedents})
    reader = reading.reader(settings.fan_out)
    keys = {kind: list(found) for kind, found in Names.of(reader).keys.items()}
    ends = {end: moment for end, moment in ends.items() if Questions(reader, moment)}
    jobs = [(end, seed) for end in ends for seed in settings.seeds]
    one = functools.partial(_one, reading, dict(ends), settings, start, draft.state, device)
    if group.size > 1:
        dealt = len(jobs) >= group.size
        for job in jobs[group.rank::group.size] if dealt else jobs:
            one(job, ALONE if dealt else group)
        group.wait()
        if not group.is_writer:
            return {}
    processes = 1 if group.size > 1 else processes_of(settings.workers, device)
    done = side_by_side(one, jobs, processes=processes, device=device)
    curves, examined = [], []
    for number, ((end, seed), found) in enumerate(zip(jobs, done, strict=True)):
        state = safetensors.torch.load_file(draft.state / f"{end}_{seed}.safetensors")
        target = draft.path(f"{end}/seed_{seed}.safetensors")
        safetensors.torch.save_file(state, target)
        curves += [{"end": end, "seed": seed, **point} for point in found["curve"]]
        examined += [{"end": end, "seed": seed, "score": name, "value": value}
                     for name, value in found["scores"]]
        log((number + 1) * settings.steps, {f"{end}/seed{seed}/loss": found["curve"][-1]["loss"]},
            len(jobs) * settings.steps)
    pl.DataFrame(curves, schema=CURVES, orient="row").write_parquet(draft.path("curves.parquet"))
    frame = pl.DataFrame(examined, schema=EXAMINED, orient="row")
    frame.write_parquet(draft.path("examined.parquet"))
    write_json(draft.path("weights.json"), {
        "ends": dict(ends), "seeds": list(settings.seeds), "keys": keys,
        "settings": ForecastSettings.model_validate(settings.model_dump(
            include=set(ForecastSettings.model_fields))).model_dump(mode="json")})
    means = frame.filter(end=VALIDATION).group_by("score", maintain_order=True).agg(
        pl.col("value").mean())
    return {"ends": {name: str(pl.Series([end]).cast(pl.Datetime("us"))[0])
                     for name, end in ends.items()},
            "seeds": len(settings.seeds), "steps": settings.steps,
            "questions": {row["score"]: row["value"] for row in means.iter_rows(named=True)}}


def _one(reading: Reading, ends: dict[str, int], settings: OwnPastWeightsSettings,
         start: Weights | None, state: Path, device: str, job: tuple[str, int],
         group: Group = ALONE) -> dict[str, Any]:
    """One training in any process; what it found is in `state` afterwards."""
    end, seed = job
    facts = state / f"{end}_{seed}.json"
    if facts.exists():
        return json.loads(facts.read_text())
    if device == "cpu":
        torch.set_num_threads(1)
    where = torch.device(device)
    database, reader = reading.database, reading.reader(settings.fan_out)
    names = Names.of(reader).to(where)
    past = Past(database.name, reader, names,
                Questions(reader, ends[end], stale=settings.stale,
                          precedents=settings.precedents))
    purpose = "own_past_weights", database.name, end, seed
    weights = (Weights.fresh(settings, seed, names) if start is None
               else copy.deepcopy(start).corrected(names))
    weights = train([past], weights, settings, purpose=purpose,
                    rotated=False, device=where, state=state / f"{end}_{seed}.pt",
                    log=lambda *_: None, group=group)
    if not group.is_writer:
        return {}
    later = [moment for moment in ends.values() if moment > ends[end]]
    found: dict[str, Any] = {}
    if later:
        next_span = Questions(reader, min(later), since=ends[end], stale=0.0,
                              precedents=settings.precedents)
        if next_span:
            found = examine(Past(database.name, reader, names, next_span), weights, settings,
                            purpose=purpose, device=where)
    safetensors.torch.save_file(weights.state(), state / f"{end}_{seed}.safetensors")
    result = {"curve": weights.curve, "scores": list(found.items())}  # pairs keep their order
    write_json(facts, result)
    (state / f"{end}_{seed}.pt").unlink(missing_ok=True)
    return result


@dataclass(frozen=True, eq=False)
class OwnPast:
    """The weights of a database's own past, read from their folder."""

    folder: Path
    ends: dict[str, int]
    seeds: tuple[int, ...]
    settings: ForecastSettings
    keys: dict[str, list[str]]

    @classmethod
    def open(cls, folder: Path) -> OwnPast:
        """Read what there is; weights are read when asked for."""
        facts = json.loads((folder / "weights.json").read_text())
        return cls(folder, facts["ends"], tuple(facts["seeds"]),
                   ForecastSettings.model_validate(facts["settings"]), facts["keys"])

    def end_for(self, cut: int) -> str | None:
        """The newest end by a moment, microseconds; None where none had ended."""
        ended = {end: moment for end, moment in self.ends.items() if moment <= cut}
        return max(ended, key=ended.get, default=None)

    def serves(self, cuts: Iterable[int]) -> bool:
        """Whether there are weights that had ended by each of some moments."""
        return all(self.end_for(cut) is not None for cut in cuts)

    def weights(self, end: str, seed: int) -> Weights:
        """Those of one training."""
        weights = Weights.fresh(self.settings, seed)
        weights = Weights(weights.encoder, weights.head,
                          Corrections(self.keys, self.settings.width))
        state = safetensors.torch.load_file(self.folder / end / f"seed_{seed}.safetensors")
        weights.load(state)
        for module in weights.parts.values():
            module.eval()
        return weights
