"""Two workers take the steps of one process."""

import pytest
import safetensors.torch
import torch

from rowgraph.artifacts import Draft
from rowgraph.parallel.launch import Launch
from rowgraph.parallel.launching import launched

WEIGHTS = {"bart_checkpoint": "checkpoint/model.safetensors",
           "sage_weights": "*.safetensors",
           "forecast_weights": "weights.safetensors",
           "own_past_weights": "*/*.safetensors",
           "own_past_weights of two ends": "*/*.safetensors"}


def silent(*said):
    """Listen to nothing."""


@pytest.fixture(scope="module")
def alone(trainings, tmp_path_factory):
    """The folder of a training in this process, and its summary."""
    done = {}

    def of(stage):
        if stage not in done:
            folder = tmp_path_factory.mktemp("alone")
            inputs, settings = trainings[stage]
            done[stage] = folder, launched(stage.split()[0], inputs, settings, Draft(folder),
                                           device="cpu", log=silent, launch=Launch())
        return done[stage]

    return of


def weights(folder, stage):
    found = {}
    for path in sorted(folder.glob(WEIGHTS[stage])):
        found |= {f"{path.name}.{k}": v for k, v in safetensors.torch.load_file(path).items()}
    assert found
    return found


@pytest.mark.parametrize("stage", WEIGHTS)
def test_two_workers_end_with_the_weights_of_one_process(stage, trainings, alone, by_hand,
                                                         tmp_path):
    folder, summary = alone(stage)
    shared = by_hand(stage, *trainings[stage], tmp_path / "shared")
    one, two = weights(folder, stage), weights(tmp_path / "shared", stage)
    worst = max((float((one[k] - two[k]).abs().max()), k) for k in one)
    print(stage, worst, summary.get("steps"))
    assert summary["steps"] == shared["steps"] >= 20
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=0)
