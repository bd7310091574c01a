"""How well masked rows are put back: the loss, and which units come back whole.

Shapes: B rows of a batch, L longest target, D width, V vocabulary, T tokens end to end, U units.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy, log_softmax
from transformers import BartForConditionalGeneration

from rowgraph.encoding.encoder import mean_pool
from rowgraph.language.batching import IGNORED, MaskedRows, StepBatches
from rowgraph.language.masking import KINDS


@dataclass(frozen=True)
class Reconstruction:
    """Reconstruction of rows whose masks never change.

    A unit is right if every token of it and the marker that closes it are the decoder's first
    choice, given the true tokens before: just then greedy generation from the true beginning of
    the row would write it, no more and no less.

    Args:
        loss: mean cross-entropy of all target tokens, nats.
        masked_table, masked_attribute, masked_value: accuracy over the units that the encoder did
            not see; None where no unit of the kind was masked.
        seen_value: accuracy over the cell values that it saw.
    """

    loss: float
    masked_table: float | None
    masked_attribute: float | None
    masked_value: float | None
    seen_value: float | None

    def as_dict(self) -> dict[str, float | None]:
        """JSON-able, in field order."""
        return asdict(self)


@torch.no_grad()
def measure_reconstruction(model: BartForConditionalGeneration, rows: MaskedRows,
                           device_batch: int) -> Reconstruction:
    """Loss and accuracies of every row, in evaluation mode.

    Args:
        model: back in the mode it came in afterwards.
        rows: of the validation or test split.
        device_batch: the most rows at a time.
    """
    training = model.training
    model.eval()
    tokens, offsets, units = rows.rows, rows.rows.offsets, rows.rows.units
    total, right_T = 0.0, np.zeros(len(tokens.ids), dtype=bool)
    for places in StepBatches(np.diff(offsets), 64 * device_batch, device_batch, seed=None):
        batch = {k: v.to(model.device) for k, v in rows.collate(places).items()}
        losses, first_BL = sum_of_losses(model, batch, 0.0, choose=True)
        total += float(losses["reconstruction"])
        hit_BL = (first_BL == batch["labels"]).cpu().numpy()
        for b, place in enumerate(places):
            length = offsets[place + 1] - offsets[place]
            right_T[offsets[place]:offsets[place + 1]] = hit_BL[b, :length]
    model.train(training)
    before_T = np.concatenate([[0], np.cumsum(right_T)])
    right_U = before_T[units.end + 1] - before_T[units.start] == units.end + 1 - units.start
    shares = {kind: _share(right_U[(units.kind == k) & rows.masked])
              for k, kind in enumerate(KINDS)}
    seen = _share(right_U[(units.kind == KINDS.index("value")) & ~rows.masked])
    return Reconstruction(total / len(tokens.ids), *(shares[kind] for kind in KINDS), seen)


@torch.no_grad()
def summed_loss(model: BartForConditionalGeneration, rows: MaskedRows, device_batch: int,
                process: int = 0, processes: int = 1) -> torch.Tensor:
    """float64 []: cross-entropy summed over the target tokens of this process's batches, nats."""
    training = model.training
    model.eval()
    total = torch.zeros((), dtype=torch.float64)
    lengths = np.diff(rows.rows.offsets)
    batches = list(StepBatches(lengths, 64 * device_batch, device_batch, seed=None))
    for places in batches[process::processes]:
        batch = {k: v.to(model.device) for k, v in rows.collate(places).items()}
        total += sum_of_losses(model, batch, 0.0)[0]["reconstruction"].item()
    model.train(training)
    return total.to(model.device)


def _share(right: np.ndarray) -> float | None:
    return float(right.mean()) if len(right) else None


def sum_of_losses(
    model, inputs: dict[str, torch.Tensor], bag_weight: float, choose: bool = False,
) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """Losses summed over target tokens (divide by their number for a mean).

    `bag` asks the mean-pooled encoder state for the row's cell values: the cross-entropy between
    their distinct tokens, equally likely, and the softmax of the pooled state against the token
    embeddings (so it adds no weights), counted once for each target token of the row.

    Args:
        model: a BART, or one that a data-parallel wrapper holds.
        inputs: from `MaskedRows.collate`.
        bag_weight: of `bag`; 0 leaves it out.
        choose: whether to return the decoder's first choices.

    Returns:
        The losses by name, and int64 [B, L] first choices or None.
    """
    outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
                    decoder_input_ids=inputs["decoder_input_ids"], use_cache=False)
    labels_BL = inputs["labels"]
    losses = {"reconstruction": cross_entropy(
        outputs.logits.flatten(0, 1).float(), labels_BL.flatten(), ignore_index=IGNORED,
        reduction="sum"), "bag": torch.zeros((), device=labels_BL.device)}
    if bag_weight > 0:
        pooled_BD = mean_pool(outputs.encoder_last_hidden_state, inputs["attention_mask"].bool())
        head = getattr(model, "module", model).get_output_embeddings()
        log_odds_BV = log_softmax(head(pooled_BD).float(), dim=-1)
        bag_BV = torch.zeros_like(log_odds_BV)
        bag_BV.scatter_reduce_(1, labels_BL.clamp(min=0), inputs["value_tokens"].float(), "amax")
        bag_B = -(bag_BV * log_odds_BV).sum(1) / bag_BV.sum(1).clamp(min=1)
        losses["bag"] = bag_weight * (bag_B * (labels_BL != IGNORED).sum(1)).sum()
    return losses, outputs.logits.argmax(-1) if choose else None
