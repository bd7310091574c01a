"""What a training leaves behind while it runs: curves, its best epoch, and where to continue.

Validation and saving happen in an order that makes an interruption invisible: at the end of an
epoch the model is first validated, then saved, and within an epoch a checkpoint holds the curves up
to its step. A checkpoint counts only once `finished.json` lies in it.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import torch
from accelerate.utils import reduce, wait_for_everyone
from transformers import BartForConditionalGeneration, TrainerCallback

from rowgraph.artifacts import write_json
from rowgraph.language.batching import MaskedRows, StepBatches
from rowgraph.progress import Log

LOGS_A_RUN = 200
CURVES = {"step": pl.Int64, "train_loss": pl.Float64, "learning_rate": pl.Float64,
          "validation_loss": pl.Float64}


class Checkpointing(TrainerCallback):
    """Follows a training from the side of the disk and of `log`.

    Args:
        state: folder for checkpoints; continued from if it holds a finished one.
        rows, batches: told of each new epoch.
        model: saved as `best-<step>` whenever an epoch's validation loss is the lowest so far.
        save_steps: steps between checkpoints.
        steps_an_epoch: optimizer steps.
        epochs: of the whole training.
        log: called about `LOGS_A_RUN` times, and after each validation.
    """

    def __init__(self, state: Path, rows: MaskedRows, batches: StepBatches,
                 model: BartForConditionalGeneration, *, save_steps: int, steps_an_epoch: int,
                 epochs: int, log: Log):
        self.folder, self.rows, self.batches, self.model = state, rows, batches, model
        self.save_steps, self.steps_an_epoch, self.log = save_steps, steps_an_epoch, log
        self.log_steps = max(1, steps_an_epoch * epochs // LOGS_A_RUN)
        self.saved_at = 0
        self.loss: torch.Tensor | float = 0.0
        self.curve: list[list[Any]] = []  # step, train loss, learning rate, validation loss
        self.best: dict[str, Any] = {"step": None, "loss": float("inf")}
        if (state / "best.json").exists():
            self.best = json.loads((state / "best.json").read_text())
        if (checkpoint := finished_checkpoint(state)) is not None:
            facts = json.loads((Path(checkpoint) / "finished.json").read_text())
            self.curve, self.saved_at = facts["curve"], facts["step"]

    @property
    def best_folder(self) -> Path:
        """The model of the best epoch, as `save_pretrained` wrote it."""
        return self.folder / f"best-{self.best['step']}"

    def curves(self) -> pl.DataFrame:
        """One row for each optimizer step; `validation_loss` where an epoch ended."""
        return pl.DataFrame(self.curve, schema=CURVES, orient="row")

    def add(self, loss: torch.Tensor) -> None:
        """Add a device batch's part of the step's loss."""
        self.loss = self.loss + loss

    def on_epoch_begin(self, args, state, control, **kwargs):
        epoch = state.global_step // self.steps_an_epoch
        self.rows.set_epoch(epoch)
        self.batches.set_epoch(epoch)

    def on_step_begin(self, args, state, control, lr_scheduler=None, **kwargs):
        self.learning_rate = float(lr_scheduler.get_last_lr()[0])
        self.loss = 0.0

    def on_step_end(self, args, state, control, **kwargs):
        loss = float(reduce(self.loss, "sum"))
        _check("training", state.global_step, loss)
        self.curve.append([state.global_step, loss, self.learning_rate, None])
        if state.global_step % self.log_steps == 0 and state.is_world_process_zero:
            recent = [row[1] for row in self.curve[-self.log_steps:]]
            self.log(state.global_step, {"train_loss": sum(recent) / len(recent),
                                         "learning_rate": self.learning_rate}, state.max_steps)
        within = state.global_step % self.steps_an_epoch != 0
        control.should_save = within and self._due(state.global_step)

    def on_epoch_end(self, args, state, control, **kwargs):
        control.should_save = (self._due(state.global_step)
                               or state.global_step >= state.max_steps)

    def _due(self, step: int) -> bool:
        return step - self.saved_at >= self.save_steps

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        step, loss = state.global_step, metrics["eval_loss"]
        _check("validation", step, loss)
        self.curve[-1][3] = loss
        if not state.is_world_process_zero:
            return
        self.log(step, {"validation_loss": loss}, state.max_steps)
        if loss < self.best["loss"]:
            old, self.best = self.best_folder, {"step": step, "loss": loss}
            shutil.rmtree(self.best_folder, ignore_errors=True)
            self.model.save_pretrained(self.best_folder)
            write_json(self.folder / "best.json", self.best)
            shutil.rmtree(old, ignore_errors=True)

    def on_save(self, args, state, control, **kwargs):
        self.saved_at = state.global_step
        wait_for_everyone()  # has saved its generators
        if not state.is_world_process_zero:
            return
        checkpoint = self.folder / f"checkpoint-{state.global_step}"
        (checkpoint / "training_args.bin").unlink(missing_ok=True)  # a pickle that nobody reads
        write_json(checkpoint / "finished.json", {"step": state.global_step, "curve": self.curve})
        for other in self.folder.glob("checkpoint-*"):
            if other != checkpoint:
                shutil.rmtree(other)


def _check(kind: str, step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise ValueError(f"the {kind} loss at step {step} is {loss}; lower "
                         "bart_checkpoint.learning_rate or raise bart_checkpoint.warmup_fraction, "
                         "then run again")


def finished_checkpoint(state: Path) -> str | None:
    """The newest checkpoint that was written to its end, or None."""
    found = [p.parent for p in state.glob("checkpoint-*/finished.json")]
    return str(max(found, key=lambda p: int(p.name.split("-")[1]))) if found else None
