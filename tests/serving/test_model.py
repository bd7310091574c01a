"""The saved model: what was measured is what is served, whole and without code."""

import dataclasses
import json
import uuid

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from rowgraph import kept
from rowgraph.adaptation import attempts
from rowgraph.artifacts import ArtifactError, Draft
from rowgraph.serving.fitting import fit_adapted, newest_question
from rowgraph.serving.model import AdaptedModel
from rowgraph.side_by_side import on
from rowgraph.tasks.predictions import read_predictions
from tests.pretended_ray import pretended
from tests.serving.conftest import FEATURES

KINDS = ["world", "regression_world", "multiclass"]


@pytest.fixture(scope="session")
def adapted(tmp_path_factory, hybrid_ground, hybrid_ran, features_of, silent):
    """A task's saved model: ground, folder of its metrics, folder of the model, summary."""
    made = {}

    def fit(task, **changes):
        key = task.name, task.task_type, str(changes)
        if key not in made:
            ground = hybrid_ground(task, **changes)
            metrics, _, _ = hybrid_ran(task, ground)
            draft = Draft(tmp_path_factory.mktemp("adapted"))
            summary = fit_adapted(ground, features_of(task), FEATURES, metrics, draft, log=silent)
            made[key] = ground, metrics, draft.folder, summary
        return made[key]

    return fit


def task_of(request, name):
    found = request.getfixturevalue(name)
    return getattr(found, "task", found)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_served_is_what_was_measured(name, request, adapted):
    task = task_of(request, name)
    ground, metrics, folder, summary = adapted(task)
    question = newest_question(task)
    answers = AdaptedModel.open(folder).answers(question, ground.reading, "cpu")
    measured = np.mean([splits["test"][task.test.times == question.moment]
                        for run, splits in read_predictions(
                            task, metrics / "predictions.parquet").items()
                        if run.variant == "rowgraph" and run.regime == "rolling"], axis=0)
    served = sum(w * answers.by_part[p] for p, w in summary["weights"].items())
    np.testing.assert_allclose(served, measured, atol=1e-5 * max(measured.std(), 1))
    assert summary["served_from_measured"] < 1e-3
    assert f"test_{task.primary}" in summary
    assert len(answers.spread) == len(question.view.labels)
    assert (answers.spread >= 0).all()
    if task.task_type == "multiclass_classification":
        np.testing.assert_allclose(answers.prediction.sum(axis=1), 1)


def test_it_is_the_same_bytes_where_a_cluster_fits_it(world, adapted, features_of, tmp_path,
                                                     monkeypatch):
    ground, metrics, folder, summary = adapted(world.task)
    monkeypatch.setattr(attempts, "FEW", 0)
    said, cluster = [], pretended()
    with on(cluster):
        again = fit_adapted(dataclasses.replace(ground, token=uuid.uuid4().hex),
                            features_of(world.task), FEATURES, metrics, Draft(tmp_path),
                            log=lambda *words: said.append(words))
    assert len(cluster.ray.asked) == len(said)
    assert again == summary
    assert (tmp_path / "model.json").read_bytes() == (folder / "model.json").read_bytes()
    members = sorted(path.name for path in (folder / "members").iterdir())
    assert members == sorted(path.name for path in (tmp_path / "members").iterdir())
    for name in members:
        assert (tmp_path / "members" / name).read_bytes() == (folder / "members" / name
                                                              ).read_bytes(), name
    assert [words[0] for words in said] == list(range(1, len(said) + 1))
    assert said[-1][2] == len(said) > 2
    assert kept._KEPT == {}, "nothing is held after"


def test_a_temperature_moves_probabilities_and_leaves_their_order(world, adapted, tmp_path):
    ground, _, folder, _ = adapted(world.task)
    model, question = AdaptedModel.open(folder), newest_question(world.task)
    plain = dataclasses.replace(model, facts={**model.facts, "temperature": 1.0})
    warm = dataclasses.replace(model, facts={**model.facts, "temperature": 3.0})
    cold = plain.answers(question, ground.reading, "cpu").prediction
    found = warm.answers(question, ground.reading, "cpu").prediction
    assert (np.abs(found - 0.5) <= np.abs(cold - 0.5) + 1e-12).all()
    assert (np.argsort(found, kind="stable") == np.argsort(cold, kind="stable")).all()


def test_the_files_hold_arrays_text_and_facts_alone(world, adapted):
    _, _, folder, _ = adapted(world.task)
    endings = {p.suffix for p in folder.rglob("*") if p.is_file() and "state" not in p.parts}
    assert endings == {".json", ".safetensors", ".txt", ".parquet"}
    facts = json.loads((folder / "model.json").read_text())
    assert {m["part"] for m in facts["members"]} == set(facts["weights"])


def test_a_model_that_answers_otherwise_than_was_measured_is_not_published(
        world, adapted, features_of, silent, tmp_path):
    ground, metrics, _, _ = adapted(world.task)
    other = tmp_path / "metrics"
    other.mkdir()
    for path in metrics.glob("*.parquet"):
        frame = pl.read_parquet(path)
        if path.name == "predictions.parquet":
            frame = frame.with_columns(pl.col("prediction") * 0.5)
        frame.write_parquet(other / path.name)
    (tmp_path / "draft").mkdir()
    with pytest.raises(ValueError, match="standard deviations from those that were measured"):
        fit_adapted(ground, features_of(world.task), FEATURES, other, Draft(tmp_path / "draft"),
                    log=silent)


def test_another_task_of_the_same_name_is_refused(world, adapted):
    ground, _, folder, _ = adapted(world.task)
    question = newest_question(dataclasses.replace(world.task, timedelta=world.task.timedelta * 2))
    with pytest.raises(ValueError, match=r"its timedelta is .* train anew"):
        AdaptedModel.open(folder).answers(question, ground.reading, "cpu")


def test_a_folder_that_is_no_model_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtifactError, match="rowgraph run --select adapted_model"):
        AdaptedModel.open(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 99}')
    with pytest.raises(ArtifactError, match="has format 99"):
        AdaptedModel.open(tmp_path)


def test_arrays_of_any_shape_survive_their_file(tmp_path):
    arrays = {"none": np.empty(0), "odd": np.array([np.inf, -np.inf, np.nan, 1e-300]),
              "flags": np.arange(3)}
    save_file(arrays, tmp_path / "a.safetensors")
    for name, value in load_file(tmp_path / "a.safetensors").items():
        np.testing.assert_array_equal(value, arrays[name])
