"""Fine-tuning BART to reconstruct masked rows (Section 4.3.1), with transformers' own Trainer.

The loss of an optimizer step is the mean cross-entropy over all its target tokens, however the
rows are cut into device batches. An interrupted training continues from its last saved step and,
on a CPU, ends with the same bytes as one that was never interrupted: the order of rows, their masks
and dropped words are hashes of seed, epoch and row, and the state of the generator behind dropout
is saved with the weights.

Of several workers every one trains on its part of each step and process 0 alone writes;
`rowgraph.parallel` starts them.

Where the paper is silent (learning rate, warm-up, weight decay, which checkpoint is kept) see
docs/decisions/fine-tuning.md; for the two measures against collapse, docs/decisions/collapse.md.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from accelerate.utils import reduce
from torch.utils.data import DataLoader
from transformers import (
    BartForConditionalGeneration,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from rowgraph.artifacts import Draft, write_json
from rowgraph.encoding.encoder import RowEncoder
from rowgraph.encoding.precision import usable_precision
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.language.batching import MaskedRows, StepBatches, tokenize_rows
from rowgraph.language.checkpointing import Checkpointing, finished_checkpoint
from rowgraph.language.health import Health, measure_health, refuse_collapse
from rowgraph.language.reconstruction import measure_reconstruction, sum_of_losses, summed_loss
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.language.vocabulary import (
    build_model,
    load_pretrained,
    quiet,
    seeded,
    train_tokenizer,
)
from rowgraph.progress import Log
from rowgraph.randomness import generator, stable_seed
from rowgraph.rows.splitting import SPLITS


def fine_tune(corpus_parquet: Path, settings: BartCheckpointSettings, draft: Draft, *,
              device: str, log: Log) -> dict[str, Any]:
    """Train the row language model and keep its best epoch by validation loss.

    Writes `checkpoint/` (`save_pretrained`, model and tokenizer), `curves.parquet` (step, train
    loss, learning rate, validation loss) and `health.json`.

    Args:
        corpus_parquet: written by `write_corpus`.
        draft: where to write; `draft.state` holds what an interrupted training continues from.
        device: `cpu`, `cuda` or `cuda:0`; under `torchrun` each process takes its own GPU.
        log: progress, by optimizer step.

    Returns:
        A summary: losses (nats a token), test reconstruction, tokens seen, truncation rates,
        health; empty in every process but the first.

    Raises:
        ValueError: a split of the corpus is empty, the device cannot be used, or the loss is not
            a number.
        CheckpointError: the pre-trained checkpoint cannot be had.
        CollapseError: the embeddings of test rows do not tell rows apart; nothing is written.
    """
    with quiet():
        return _fine_tune(corpus_parquet, settings, draft, device, log)


def _fine_tune(corpus_parquet: Path, settings: BartCheckpointSettings, draft: Draft, device: str,
               log: Log) -> dict[str, Any]:
    corpus = pl.read_parquet(corpus_parquet)
    for split in SPLITS:
        if not corpus.filter(split=split).height:
            raise ValueError(f"{corpus_parquet}: the {split} split has no rows; raise "
                             "sampled_rows.rows or the split's share in linearized_corpus")
    if settings.checkpoint is None:
        train_texts = corpus.filter(split="train")["text"]
        tokenizer = train_tokenizer(train_texts, settings.vocabulary)
        model = build_model(settings, tokenizer)
    else:
        model, tokenizer = load_pretrained(settings.checkpoint, settings)
    rows = {s: tokenize_rows(corpus.filter(split=s), tokenizer, settings.max_tokens)
            for s in SPLITS}
    masked = {s: MaskedRows(rows[s], s, settings, mask_token=tokenizer.mask_token_id,
                            pad_token=tokenizer.pad_token_id,
                            start_token=model.config.decoder_start_token_id) for s in SPLITS}

    with seeded("bart_checkpoint", "training", settings.seed), _other_generators_kept():
        trainer = _trainer(model, masked, settings, draft, device, log)
        place = trainer.args.process_index
        torch.manual_seed(stable_seed("bart_checkpoint", "dropout", settings.seed,
                                      *((place,) if place else ())))
        trainer.train(resume_from_checkpoint=finished_checkpoint(draft.state))
    if not trainer.is_world_process_zero():
        return {}
    best = BartForConditionalGeneration.from_pretrained(
        trainer.saved.best_folder, local_files_only=True, use_safetensors=True)
    best.to(trainer.args.device)
    health = _health(best, tokenizer, corpus.filter(split="test"), settings)
    refuse_collapse(health, settings)
    test = measure_reconstruction(best, masked["test"], settings.device_batch)
    best.save_pretrained(draft.path("checkpoint"))
    tokenizer.save_pretrained(draft.path("checkpoint"))
    trainer.saved.curves().write_parquet(draft.path("curves.parquet"))
    write_json(draft.path("health.json"), health.as_dict())
    return {
        "steps": trainer.state.global_step,
        "best_step": trainer.saved.best["step"],
        "validation_loss": trainer.saved.best["loss"],
        "test_loss": test.loss,
        "test_accuracy": {k: v for k, v in test.as_dict().items() if k != "loss"},
        "tokens_seen": settings.epochs * len(rows["train"].ids),
        "precision": "bf16" if trainer.args.bf16 else "fp32",
        "parameters": best.num_parameters(),
        "vocabulary": len(tokenizer),
        "truncation_rate": rows["train"].truncation_rate(),
        "health": health.as_dict(),
    }


class ReconstructionTrainer(Trainer):
    """Trainer with our rows, our order and our loss; see `fine_tune`."""

    def __init__(self, *args: Any, masked: dict[str, MaskedRows], saved: Checkpointing,
                 settings: BartCheckpointSettings, batches: StepBatches, **kwargs: Any):
        super().__init__(*args, **kwargs, callbacks=[saved])
        self.masked, self.saved, self.settings, self.batches = masked, saved, settings, batches
        self.model_accepts_loss_kwargs = True  # count the targets of the whole step
        self.loss_is_scaled_for_ga = True  # and let compute_loss divide by them

    def get_train_dataloader(self) -> DataLoader:
        """Batches of a step; a generator of its own keeps it off the one behind dropout."""
        rows = self.masked["train"]
        return DataLoader(rows, batch_sampler=self.batches, collate_fn=rows.collate,
                          generator=torch.Generator())

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Cross-entropy of the targets, plus the bag-of-tokens loss, a step's mean token.

        The targets are counted over all processes, and gradients are averaged over them, hence
        the factor.
        """
        losses, _ = sum_of_losses(model, inputs, self.settings.bag_of_tokens_weight)
        self.saved.add(losses["reconstruction"].detach() / num_items_in_batch)
        loss = losses["reconstruction"] + losses["bag"]
        return loss * self.args.world_size / num_items_in_batch

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Reconstruction loss of the validation rows, whose masks never change."""
        total = summed_loss(self.model, self.masked["validation"],
                            self.args.per_device_train_batch_size, self.args.process_index,
                            self.args.world_size)
        metrics = {"eval_loss": float(reduce(total, "sum"))
                   / len(self.masked["validation"].rows.ids)}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control,
                                                         metrics)
        return metrics


def _trainer(model: BartForConditionalGeneration, masked: dict[str, MaskedRows],
             settings: BartCheckpointSettings, draft: Draft, device: str,
             log: Log) -> ReconstructionTrainer:
    lengths = np.diff(masked["train"].rows.offsets)
    steps_an_epoch = math.ceil(len(lengths) / settings.effective_batch)
    arguments = TrainingArguments(
        output_dir=str(draft.state), use_cpu=_is_cpu(device),
        bf16=usable_precision(settings.precision, device) == "bf16",
        num_train_epochs=settings.epochs, learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay, lr_scheduler_type="cosine", optim="adamw_torch",
        warmup_steps=round(settings.warmup_fraction * settings.epochs * steps_an_epoch),
        seed=stable_seed("bart_checkpoint", "trainer", settings.seed) % 2**31,
        eval_strategy="epoch", save_strategy="no", logging_strategy="no", report_to="none",
        disable_tqdm=True, dataloader_num_workers=0, remove_unused_columns=False,
        logging_nan_inf_filter=False, ddp_find_unused_parameters=False)
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one device: no DataParallel over the others
    batches = StepBatches(lengths, settings.effective_batch, settings.device_batch, settings.seed,
                          process=arguments.process_index, processes=arguments.world_size)
    arguments.per_device_train_batch_size = batches.device_batch
    arguments.gradient_accumulation_steps = batches.accumulation
    saved = Checkpointing(draft.state, masked["train"], batches, model,
                          save_steps=settings.save_steps, steps_an_epoch=steps_an_epoch,
                          epochs=settings.epochs, log=log)
    trainer = ReconstructionTrainer(model=model, args=arguments, train_dataset=masked["train"],
                                    eval_dataset=masked["validation"], masked=masked, saved=saved,
                                    settings=settings, batches=batches)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _is_cpu(device: str) -> bool:
    kind = torch.device(device)
    if kind.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device '{device}': PyTorch sees no GPU; set compute.device to cpu or "
                         "install PyTorch's CUDA build")
    if kind.type == "cuda" and kind.index not in (None, 0):
        raise ValueError(f"device '{device}': the Trainer works on the first visible GPU; make "
                         f"that one {kind.index} with CUDA_VISIBLE_DEVICES and set compute.device "
                         "to cuda")
    return kind.type == "cpu"


@contextmanager
def _other_generators_kept() -> Iterator[None]:
    """The Trainer seeds Python's and NumPy's global generators; put them back."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _health(model: BartForConditionalGeneration, tokenizer: PreTrainedTokenizerFast,
            test: pl.DataFrame, settings: BartCheckpointSettings) -> Health:
    """Health of unmasked test rows, at most `health_rows` of them."""
    order = generator("health", settings.seed).permutation(test.height)
    test = test[np.sort(order[:settings.health_rows])]
    encoder = RowEncoder(model, tokenizer, NodeEmbeddingsSettings(), str(model.device))
    vectors = encoder.encode_distinct(test["text"].to_list()).vectors
    return measure_health(vectors, (test["database"] + "." + test["table"]).to_list())
