"""Two workers take the steps of one process."""

import json
import os
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from rowgraph.artifacts import Draft
from rowgraph.parallel.group import ALONE, Group
from rowgraph.parallel.launch import Launch
from rowgraph.parallel.launching import launched
from rowgraph.parallel.worker import ATTACHED
from rowgraph.sage.opening import open_databases
from rowgraph.sage.pretraining import _Pretraining


def silent(*said):
    """Listen to nothing."""


def weights(folder):
    """All weights below a folder by file and name."""
    found = {}
    for path in sorted(folder.glob("**/*.safetensors")):
        if "state" not in path.parts:
            name = str(path.relative_to(folder))
            found |= {(name, k): v for k, v in safetensors.torch.load_file(path).items()}
    return found


@pytest.mark.parametrize("name", ["sage_weights", "forecast_weights", "own_past_weights"])
def test_two_workers_end_with_the_weights_of_one_process(name, trainings, by_hand, tmp_path):
    stage, inputs, settings = trainings[name]
    (tmp_path / "one").mkdir()
    summary = launched(stage, inputs, settings, Draft(tmp_path / "one"), device="cpu", log=silent,
                       launch=Launch())
    shared = by_hand(*trainings[name], tmp_path / "two")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys() != set()
    assert summary["steps"] == shared["steps"] >= 20
    assert summary.keys() == shared.keys()
    for where, value in one.items():
        torch.testing.assert_close(two[where], value, atol=1e-5, rtol=0)


def test_workers_that_are_no_more_than_the_trainings_of_own_past_take_whole_ones(
        trainings, by_hand, tmp_path):
    stage, inputs, settings = trainings["own_past_weights"]
    inputs = inputs | {"ends": inputs["ends"] | {"validation": inputs["ends"]["test"] - 10**12}}
    (tmp_path / "one").mkdir()
    launched(stage, inputs, settings, Draft(tmp_path / "one"), device="cpu", log=silent,
             launch=Launch())
    by_hand(stage, inputs, settings, tmp_path / "two")
    for file in ("test/seed_0.safetensors", "validation/seed_0.safetensors", "curves.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("workers", [2, 3, 7])
@pytest.mark.parametrize("objective", ["dimensions", "rows"])
def test_parts_of_a_batch_add_up_to_its_loss_and_gradient(workers, objective, trainings, tmp_path):
    _, inputs, settings = trainings["sage_weights"]
    training = _Pretraining(open_databases(inputs["databases"], None, "cpu"),
                            settings.model_copy(update={"objective": objective}), Draft(tmp_path),
                            "cpu", silent, ALONE)
    smallest = min(training.plan.epoch(0), key=lambda seeds: len(seeds.rows))
    assert len(smallest.rows) < 7  # so that one of seven workers gets no part
    for seeds in [smallest, *training.plan.epoch(0)[:2]]:
        loss, gradient = _step(training, seeds, ALONE)
        parts = [_step(training, seeds, Group(rank, workers)) for rank in range(workers)]
        assert sum(share for (_, share), _ in parts) == loss[1]
        total = sum(value * share / loss[1] for (value, share), _ in parts)
        assert total == pytest.approx(loss[0], rel=1e-5)
        mean = sum(part * share / loss[1] for (_, share), part in parts)
        torch.testing.assert_close(mean, gradient, atol=1e-6, rtol=1e-4)


def _step(training, seeds, group):
    """Loss, over how many nodes, and the flat gradient."""
    training.optimizer.zero_grad(set_to_none=True)
    loss, figures = training._loss(training.inputs.make(seeds, (0, 0), group))
    loss.backward()
    gradient = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten()
                          for p in training.parameters])
    return (figures["loss"], figures["n"]), gradient


def test_of_one_worker_nothing_is_changed():
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = gradient = torch.tensor([1.0, 2.0, 3.0])
    ALONE.mean_gradients([parameter], 7)
    assert parameter.grad is gradient
    figures = {"loss": 0.1, "n": 3.0}
    assert ALONE.means(figures) == ALONE.sums(figures) == figures
    assert ALONE.part(5) == slice(0, 5)


@pytest.mark.parametrize("count", [0, 1, 6, 7, 100])
def test_parts_cover_everything_once(count):
    parts = [range(count)[Group(rank, 7).part(count)] for rank in range(7)]
    assert [k for part in parts for k in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_an_error_that_would_come_again_is_an_answer_and_ends_every_worker_in_peace(
        trainings, by_hand, tmp_path):
    stage, inputs, settings = trainings["own_past_weights"]
    hopeless = settings.model_copy(update={"weight_decay": 1e30})
    found = by_hand(stage, inputs, hopeless, tmp_path / "two", answer="error")
    assert found == "ValueError"
    answer = json.loads((tmp_path / "two" / "state" / "order.answer.json").read_text())
    assert "lower the learning_rate" in answer["message"]


def test_a_worker_ends_with_the_process_that_had_it_started(tmp_path):
    order = tmp_path / "order.json"
    os.mkfifo(order)  # nobody ever writes it
    worker = subprocess.Popen([sys.executable, "-m", "rowgraph.parallel.worker", str(order),
                               ATTACHED], stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)
    worker.stdin.close()
    assert worker.wait(100) == 1
