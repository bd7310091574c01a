from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch

from rowgraph.artifacts import Draft, file_digest
from rowgraph.sage.model import HeteroGraphSAGE
from rowgraph.sage.pretraining import load_shared, pretrain
from rowgraph.sage.seeds import PretrainingError, SeedPlan
from rowgraph.sage.settings import SageWeightsSettings

SETTINGS = SageWeightsSettings(hidden=8, fan_out=(3, 2), batch=16, epochs=2, learning_rate=0.02)
FILES = ("shared.safetensors", "projections.safetensors", "decoder.safetensors", "config.json",
         "curves.json", "test.json", "graph_use.parquet")


class Interrupted(BaseException):
    """What a stopped process looks like from inside."""


@pytest.fixture
def databases(make_database):
    return [make_database("rel-a", 1), make_database("rel-b", 2)]


def draft(folder) -> Draft:
    folder.mkdir(exist_ok=True)
    return Draft(folder)


def silent(step, metrics, of=None):
    """Listen to nothing."""


def run(databases, folder, settings=SETTINGS, log=silent):
    return pretrain(databases, settings, draft(folder), device="cpu", log=log)


def digests(folder) -> dict[str, str]:
    return {name: file_digest(folder / name) for name in FILES}


def plan(databases, **changed) -> SeedPlan:
    return SeedPlan({d.name: d.graph for d in databases}, SETTINGS.model_copy(update=changed))


def nodes_of(batches) -> Counter:
    return Counter((b.database, b.table, row) for b in batches for row in b.rows.tolist())


def test_an_epoch_holds_every_training_node_once_and_no_scored_one(databases):
    seeds = plan(databases)
    train, again = nodes_of(seeds.epoch(0)), nodes_of(seeds.epoch(1))
    scored = nodes_of(seeds.scored("validation")) + nodes_of(seeds.scored("test"))
    everything = {(d.name, t, row) for d in databases for t, n in d.graph.num_nodes.items()
                  for row in range(n)}
    assert train == again
    assert set(train) | set(scored) == everything
    assert set((train + scored).values()) == {1}
    assert max(len(b.rows) for b in seeds.epoch(0)) <= SETTINGS.batch
    assert [b.rows.tolist() for b in seeds.epoch(0)] != [b.rows.tolist() for b in seeds.epoch(1)]


def test_a_capped_epoch_draws_that_many_nodes_per_database_and_others_each_time(databases):
    seeds = plan(databases, seeds_per_epoch=40)
    first, second = nodes_of(seeds.epoch(0)), nodes_of(seeds.epoch(1))
    for counted in (first, second):
        assert Counter(database for database, _, _ in counted) == {"rel-a": 40, "rel-b": 40}
    assert first != second
    assert len(nodes_of(seeds.scored("validation"))) == 2 * round(40 * 0.1 / 0.8)


def test_the_split_of_a_row_does_not_depend_on_the_databases_around_it(databases):
    alone, together = plan(databases[:1]), plan(databases)
    for table, splits in alone.nodes["rel-a"].items():
        for name, rows in splits.items():
            assert np.array_equal(rows, together.nodes["rel-a"][table][name])


def test_training_reconstructs_better_than_column_means_and_writes_what_transfers(
        databases, tmp_path):
    steps = []
    settings = SETTINGS.model_copy(update={
        "epochs": 25, "hidden": 16, "alpha": 0.1, "mask_probability": 0.3, "test": 0.3})
    summary = run(databases, tmp_path / "a", settings,
                  lambda step, metrics, of: steps.append((step, metrics)))
    assert summary["test_mse"] < 0.75 * summary["test_column_mean_mse"]
    assert summary["steps"] == max(step for step, _ in steps)
    assert summary["epochs"] == 25
    curves = json.loads((tmp_path / "a" / "curves.json").read_text())
    assert [point["epoch"] for point in curves] == list(range(1, 26))
    assert curves[-1]["validation_loss"] < curves[0]["validation_loss"]
    assert set(curves[0]) == {"epoch"} | {f"{split}_{name}" for split in ("train", "validation")
                                          for name in ("loss", "cosine", "mse", "mse_sum")}
    HeteroGraphSAGE(3, ["t"], 16, 2, "mean").load_shared(load_shared(tmp_path / "a"))


def test_equal_settings_give_equal_bytes_and_another_seed_others(databases, tmp_path):
    torch.manual_seed(1)
    first = run(databases, tmp_path / "a")
    torch.manual_seed(2)
    assert run(databases, tmp_path / "b") == first
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    run(databases, tmp_path / "c", SETTINGS.model_copy(update={"seed": 1}))
    assert digests(tmp_path / "c")["shared.safetensors"] != digests(
        tmp_path / "a")["shared.safetensors"]


def test_an_interrupted_run_continues_to_the_bytes_of_an_uninterrupted_one(databases, tmp_path):
    databases = databases[:1]
    calls = []
    whole = run(databases, tmp_path / "whole", log=lambda step, metrics, of: calls.append(step))
    # In the first epoch, after its validation, in the second, and after the last validation.
    for stop_at in (3, len(calls) // 2, len(calls) // 2 + 4, len(calls)):
        folder, heard = tmp_path / f"stopped-{stop_at}", []

        def log(step, metrics, of=None, stop_at=stop_at, heard=heard):
            heard.append(step)
            if len(heard) == stop_at:
                raise Interrupted

        with pytest.raises(Interrupted):
            run(databases, folder, log=log)
        steps_before = heard[-1]
        resumed = run(databases, folder, log=log)
        assert resumed == whole
        assert digests(folder) == digests(tmp_path / "whole")
        assert heard[stop_at:] == calls[stop_at:], f"continued after step {steps_before}"


@pytest.mark.parametrize("changed", [
    {}, {"objective": "rows", "target": "deviation", "projections": "shared"}], ids=str)
def test_a_run_killed_at_any_step_continues_to_the_bytes_of_an_uninterrupted_one(
        databases, tmp_path, changed):
    """A killed process leaves the last saved state and nothing else."""
    settings = SETTINGS.model_copy(update={"save_seconds": 0, **changed})
    states = []

    def log(step, metrics, of=None):
        state = tmp_path / "whole" / "state" / "pretraining.pt"
        if "train_loss" in metrics and state.exists() and step % 7 == 0:
            states.append(state.read_bytes())

    whole = run(databases[:1], tmp_path / "whole", settings, log)
    assert len(states) > 1
    for number, state in enumerate(states):
        folder = tmp_path / f"killed-{number}"
        (folder / "state").mkdir(parents=True)
        (folder / "state" / "pretraining.pt").write_bytes(state)
        assert run(databases[:1], folder, settings) == whole
        assert digests(folder) == digests(tmp_path / "whole")


def test_the_state_is_also_saved_at_intervals(databases, tmp_path):
    seen = []

    def log(step, metrics, of=None):
        seen.append((tmp_path / "a" / "state" / "pretraining.pt").exists())

    run(databases, tmp_path / "a", SETTINGS.model_copy(update={"save_seconds": 0}), log)
    assert seen[0] is False
    assert all(seen[1:])


def test_the_embeddings_are_left_as_they_were(databases, tmp_path):
    before = {t: x.clone() for t, x in databases[0].embeddings.x.items()}
    run(databases, tmp_path / "a", SETTINGS.model_copy(update={"epochs": 1}))
    assert all(torch.equal(before[t], x) for t, x in databases[0].embeddings.x.items())


def test_what_is_masked_never_reaches_the_model(databases, tmp_path, monkeypatch):
    """With every dimension of a seed masked, its own embedding cannot change its output."""
    settings = SETTINGS.model_copy(update={"mask_probability": 1.0, "epochs": 1})
    seen = []
    forward = HeteroGraphSAGE.forward

    def spy(model, x, batch):
        seeds, rest = x[batch.input_type].split([batch.num_seeds,
                                                 len(x[batch.input_type]) - batch.num_seeds])
        seen.append((seeds.abs().max().item(), set(batch.n_id[batch.input_type].tolist()),
                     len(batch.n_id[batch.input_type]), bool(rest.ne(0).all())))
        return forward(model, x, batch)

    monkeypatch.setattr(HeteroGraphSAGE, "forward", spy)
    run(databases, tmp_path / "a", settings)
    assert seen
    for largest, rows, count, others_visible in seen:
        assert largest == 0
        assert len(rows) == count  # no copy of a seed among the neighbours
        assert others_visible


def test_databases_that_cannot_be_trained_on_are_refused(make_database, tmp_path):
    with pytest.raises(PretrainingError, match=r"one width, found \[\('rel-a', 12\), .*13"):
        run([make_database("rel-a", 1), make_database("rel-b", 2, dim=13)], tmp_path / "a")
    with pytest.raises(PretrainingError, match="different names"):
        run([make_database("rel-a", 1), make_database("rel-a", 2)], tmp_path / "b")
    with pytest.raises(PretrainingError, match="leave no nodes to train on"):
        plan([make_database("rel-a", 1)], validation=0.5, test=0.5)
    with pytest.raises(PretrainingError, match="build the sage_weights artifact first"):
        load_shared(tmp_path)
