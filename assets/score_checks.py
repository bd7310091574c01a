"""Check of `evaluation/<db>/<task>`: is the model worth more than an answer without a model?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

SCORES = {"above_prior": "On test rows the model that validation chose is not worse, beyond the "
                         "interval of the paired difference, than one answer for all: the prior "
                         "or median of the training labels; of lists, what is popular."}
PRIOR = {"recommendation": "popularity"}
CONSTANT = "global_constant"  # of every other kind, autocomplete included


def above_prior(source: Path, name: str, folders: Mapping[str, Path],
                chosen: Mapping[str, Mapping[str, str | None]],
                settings: Mapping[str, Any]) -> dg.AssetCheckResult:
    """The chosen model beside the prior, on the resamples of the evaluation.

    Args:
        source: folder of the database. name: of the task.
        folders: by stage, where predictions lie.
        chosen: by regime, as the summary of the evaluation says.
        settings: effective ones of the evaluation.
    """
    from rowgraph.databases.database import Database
    from rowgraph.evaluation.comparison import compare, sentence
    from rowgraph.evaluation.evaluating import gather
    from rowgraph.evaluation.resamples import Resamples
    from rowgraph.evaluation.scoring import score_task
    from rowgraph.evaluation.settings import EvaluationSettings
    from rowgraph.tasks.loading import load_task

    settings = EvaluationSettings.model_validate(settings)
    task = load_task(Database.open(source), name, settings)
    predictions = gather(task, folders)[0]
    resamples = Resamples.of(task, settings.bootstrap, settings.fewest_dates)
    prior = PRIOR.get(task.task_type, CONSTANT)
    passed, said, rows = bool(chosen), [], []
    for regime, best in chosen.items():
        model = best["model"]
        scored = score_task(task, {run: splits for run, splits in predictions.items() if
                                   run.regime == regime and run.variant in (model, prior)},
                            resamples)
        found = compare(task, scored, {}, resamples, [prior], settings)[0].to_dicts()
        if not found:
            passed = False
            said.append(f"{regime}: not compared, there is no figure of {model or 'a model'} and "
                        f"{prior}; both must be among rowgraph_metrics and baseline_metrics")
            continue
        row, = found
        passed &= row["verdict"] != "behind"
        said.append(f"{regime}: {sentence(row)}")
        rows.append({"regime": regime, "model": model, "prior": prior, "metric": row["metric"],
                     **{who: round(scored[regime, v, task.primary].mean, 4)
                        for who, v in (("of_model", model), ("of_prior", prior))},
                     **{k: row[k] if row[k] is None else round(row[k], 4)
                        for k in ("difference", "ci_low", "ci_high")}})
    return dg.AssetCheckResult(
        check_name="above_prior", passed=passed, severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(said) or "nothing was scored",
        metadata={"by_regime": dg.MetadataValue.table([dg.TableRecord(r) for r in rows])}
        if rows else {})
