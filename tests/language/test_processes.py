"""Two processes on a CPU, by torchrun; each test pays for their imports."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch

from rowgraph.artifacts import Draft
from rowgraph.language.batching import GHOST, IGNORED, MaskedRows, StepBatches, tokenize_rows
from rowgraph.language.checkpointing import finished_checkpoint
from rowgraph.language.fine_tuning import fine_tune
from rowgraph.language.health import CollapseError
from rowgraph.parallel.launch import Launch
from rowgraph.parallel.launching import launched


def silent(step, metrics, of=None):
    pass


def worker_of(order, rank):
    """The process id of one of torchrun's workers."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (process / "environ").read_bytes()
            if (str(order).encode() in (process / "cmdline").read_bytes()
                    and f"\0RANK={rank}\0".encode() in b"\0" + environment):
                return int(process.name)
    raise AssertionError(f"{order}: no worker {rank}")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds workers by /proc")
def test_two_processes_take_the_steps_of_one_though_one_of_them_is_killed(
        corpus_parquet, settings, tmp_path):
    calm = settings.model_copy(update={"dropout": 0.0, "epochs": 6, "learning_rate": 1e-4})
    seen, killed = [], []

    def log(step, metrics, of):
        seen.append(step)
        if seen.count(1) == 2 and step >= 5 and not killed:
            order = tmp_path / "two" / "state" / "order.json"
            killed.append(worker_of(order, 1))
            os.kill(killed[0], signal.SIGKILL)

    summaries = []
    for name, processes in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        summaries.append(launched("bart_checkpoint", {"corpus": str(corpus_parquet)}, calm,
                                  Draft(tmp_path / name), device="cpu", log=log,
                                  launch=Launch(processes)))
    assert killed
    assert seen.count(1) == 2  # process 0 alone speaks, and what was saved was not begun anew
    one, two = (pl.read_parquet(tmp_path / name / "curves.parquet") for name in ("one", "two"))
    for curve in ("train_loss", "validation_loss", "learning_rate"):
        np.testing.assert_allclose(one[curve].drop_nulls(), two[curve].drop_nulls(), rtol=1e-4)
    assert summaries[0]["steps"] == summaries[1]["steps"] >= 20
    one, two = (safetensors.torch.load_file(tmp_path / name / "checkpoint" / "model.safetensors")
                for name in ("one", "two"))
    for name, value in one.items():
        if not name.endswith("k_proj.bias"):  # its gradient is rounding alone: softmax ignores it
            torch.testing.assert_close(two[name], value, atol=1e-5, rtol=0)


def test_what_stops_a_process_stops_the_asset_with_its_own_words(
        corpus_parquet, settings, tmp_path):
    strict = settings.model_copy(update={"epochs": 1, "min_effective_rank": 15.9})
    with pytest.raises(CollapseError, match="effective rank"):
        launched("bart_checkpoint", {"corpus": str(corpus_parquet)}, strict, Draft(tmp_path),
                 device="cpu", log=silent, launch=Launch(2))


def test_a_step_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(ValueError, match=r"effective_batch 8 .* 3 processes"):
        StepBatches(np.full(20, 5), 8, 4, seed=0, process=0, processes=3)


@pytest.mark.parametrize("rows", [16, 17, 19, 23])
def test_processes_share_an_epoch_without_overlap_and_with_as_many_batches_each(rows):
    shares = [list(StepBatches(np.arange(3, 3 + rows), 8, 2, seed=0, process=p, processes=2))
              for p in range(2)]
    assert len(shares[0]) == len(shares[1])
    real = [place for share in shares for batch in share for place in batch if place != GHOST]
    assert sorted(real) == list(range(rows))


def test_a_ghost_has_no_targets(corpus, tokenizer, settings):
    rows = tokenize_rows(corpus, tokenizer, settings.max_tokens)
    data = MaskedRows(rows, "test", settings, mask_token=tokenizer.mask_token_id,
                      pad_token=tokenizer.pad_token_id, start_token=tokenizer.eos_token_id)
    assert (data.collate([GHOST])["labels"] == IGNORED).all()


SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from rowgraph.artifacts import Draft
from rowgraph.language.fine_tuning import fine_tune
from rowgraph.language.settings import BartCheckpointSettings
settings = BartCheckpointSettings.model_validate_json(sys.argv[2])
fine_tune(Path(sys.argv[1]), settings, Draft(Path(sys.argv[3])), device="cpu",
          log=lambda step, metrics, of: print(step, flush=True))
"""


def test_a_training_that_was_killed_ends_with_the_bytes_of_one_that_was_not(
        corpus_parquet, settings, tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    fine_tune(corpus_parquet, settings, Draft(tmp_path / "whole"), device="cpu", log=silent)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(corpus_parquet), settings.model_dump_json(),
         str(tmp_path / "killed")], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) >= 5:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert finished_checkpoint(tmp_path / "killed" / "state") is not None
    fine_tune(corpus_parquet, settings, Draft(tmp_path / "killed"), device="cpu", log=silent)
    for name in ("checkpoint/model.safetensors", "curves.parquet", "health.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (
            tmp_path / "whole" / name).read_bytes(), name
