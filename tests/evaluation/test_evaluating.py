import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.evaluation.calibration import CALIBRATION, CALIBRATION_ERROR
from rowgraph.evaluation.comparison import COMPARISONS, VALIDATION
from rowgraph.evaluation.evaluating import evaluate_task
from rowgraph.evaluation.scoring import METRICS
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.tasks.predictions import write_predictions

SETTINGS = EvaluationSettings(bootstrap=60)
FILES = {"metrics": METRICS, "comparisons": COMPARISONS, "calibration": CALIBRATION,
         "calibration_error": CALIBRATION_ERROR, "validation": VALIDATION}


def stages(task, kinds, folder, **variants):
    """A folder of predictions for each stage, `{stage: {variant: strength}}`."""
    found = {}
    for stage, models in variants.items():
        (folder / stage).mkdir()
        write_predictions(task, kinds.answers(task, models), folder / stage / "predictions.parquet")
        found[stage] = folder / stage
    return found


def run(task, folders, folder, settings=SETTINGS, log=lambda step, figures: None):
    folder.mkdir()
    return evaluate_task(task, folders, settings, Draft(folder), log=log)


def test_every_stage_of_a_task_is_scored_compared_and_calibrated(task, kinds, tmp_path):
    task, logged = kinds.on_disk(task, tmp_path), []
    folders = stages(task, kinds, tmp_path, downstream_metrics={"ours": 0.4, "plain": 0.0},
                     baseline_metrics={"lightgbm": 0.2})
    summary = run(task, folders, tmp_path / "out", log=lambda s, f: logged.append(f))
    frames = {name: pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in FILES}
    for name, frame in frames.items():
        assert dict(frame.schema) == FILES[name], name
    assert set(frames["metrics"]["variant"]) == {"ours", "plain", "lightgbm"}
    assert summary["chosen"] == {"rolling": {"model": "ours", "baseline": "lightgbm"}}
    assert summary["finding"]["rolling"].count("`") == 4
    assert set(summary["results"]["rolling"]) == {"ours", "plain", "lightgbm"}
    assert frames["validation"].select("variant", "baseline").rows() == [
        ("lightgbm", True), ("ours", False), ("plain", False)]
    assert summary["resampled"] == "80 rows on 8 dates"
    assert len(logged) == 3
    assert pl.read_parquet(tmp_path / "out/test_predictions_rolling.parquet").height == 240
    calibrated = task.task_type in ("binary_classification", "multiclass_classification")
    assert frames["calibration"].is_empty() != calibrated


def test_what_could_not_run_is_in_the_table_with_its_reason(kinds, tmp_path):
    task = kinds.on_disk(kinds.task("regression"), tmp_path)
    folders = stages(task, kinds, tmp_path, downstream_metrics={"ours": 0.4})
    folders["peer_metrics"] = tmp_path / "peers"
    folders["peer_metrics"].mkdir()
    pl.DataFrame({"variant": ["kumo"], "regime": ["rolling"],
                  "reason": ["weights not available"]}).write_parquet(
        tmp_path / "peers/unavailable.parquet")
    summary = run(task, folders, tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out/metrics.parquet").filter(variant="kumo")
    assert set(rows["source"]) == {"weights not available"}
    assert rows["mean"].null_count() == rows.height == len(task.metrics)
    assert summary["results"]["rolling"]["kumo"] is None
    assert summary["unavailable"] == {"kumo": "weights not available"}


def test_peers_are_baselines_and_settings_may_say_otherwise(kinds, tmp_path):
    task = kinds.on_disk(kinds.task("regression"), tmp_path)
    folders = stages(task, kinds, tmp_path, downstream_metrics={"ours": 0.4, "plain": 0.0},
                     baseline_metrics={"mean": 0.1}, peer_metrics={"rdl": 0.3})
    assert run(task, folders, tmp_path / "a")["chosen"]["rolling"] == {"model": "ours",
                                                                       "baseline": "rdl"}
    settings = SETTINGS.model_copy(update={"baselines": ("mean", "plain")})
    assert run(task, folders, tmp_path / "b", settings)["chosen"]["rolling"] == {
        "model": "ours", "baseline": "mean"}


def test_equal_predictions_give_equal_bytes(kinds, tmp_path):
    task = kinds.on_disk(kinds.task("binary_classification"), tmp_path)
    folders = stages(task, kinds, tmp_path, downstream_metrics={"ours": 0.4, "plain": 0.0},
                     baseline_metrics={"mean": 0.1})
    for name in "ab":
        run(task, folders, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_stages_that_bring_nothing_or_the_same_are_named(kinds, tmp_path):
    task = kinds.on_disk(kinds.task("regression"), tmp_path)
    folders = stages(task, kinds, tmp_path, downstream_metrics={"ours": 0.4},
                     baseline_metrics={"ours": 0.1})
    with pytest.raises(ValueError, match="both downstream_metrics and baseline_metrics bring a "
                                         "variant 'ours'"):
        run(task, folders, tmp_path / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"peer_metrics left neither predictions\.parquet nor"):
        run(task, {"peer_metrics": tmp_path / "empty"}, tmp_path / "b")
    with pytest.raises(ValueError, match="none of no stages brings a prediction"):
        run(task, {}, tmp_path / "c")
