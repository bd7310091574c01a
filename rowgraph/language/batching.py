"""Tokenized rows and batches of them.

Which rows share an optimizer step depends on the seed and the epoch alone; how they are cut into
pieces that fit the device does not change the sum, so `device_batch` is neutral. Within a step,
rows of similar length go to the device together, which saves padding without making a step's rows
alike.

Shapes: B rows of a batch, S longest encoder input, L longest target, T tokens end to end, N rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerFast

from rowgraph.language.masking import KINDS, Units, apply_masks, draw_masks, find_units, row_keys
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.randomness import generator, uniform_of_rows
from rowgraph.rows.linearization import MARKERS

IGNORED = -100  # label of a padded position, left out of the loss
GHOST = -1  # a row without targets, for a process that has none left in a step


@dataclass(frozen=True)
class TokenizedRows:
    """Rows of a corpus as tokens, end to end.

    Args:
        ids: int32 [T]. offsets: int64 [N + 1]. units: theirs.
        keys: uint64 [N], stable identities. tables: N names, `database.table`.
        truncated: bool [N], rows that were longer than `max_tokens`.
    """

    ids: np.ndarray
    offsets: np.ndarray
    units: Units
    keys: np.ndarray
    tables: np.ndarray
    truncated: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def truncation_rate(self) -> dict[str, float]:
        """The share of rows cut at `max_tokens`, by table."""
        names, place = np.unique(self.tables, return_inverse=True)
        rates = np.bincount(place, weights=self.truncated) / np.bincount(place)
        return {str(n): round(float(r), 6) for n, r in zip(names, rates, strict=True)}


def tokenize_rows(corpus: pl.DataFrame, tokenizer: PreTrainedTokenizerFast,
                  max_tokens: int) -> TokenizedRows:
    """Tokenize rows of the corpus once, cut at `max_tokens` with `<s>` and `</s>` kept.

    Args:
        corpus: text, database, table, row (`write_corpus`), in any order.
    """
    rows: list[np.ndarray] = []
    truncated = np.zeros(corpus.height, dtype=bool)
    for first in range(0, corpus.height, 10_000):
        texts = corpus["text"][first:first + 10_000].to_list()
        for ids in tokenizer(texts, add_special_tokens=True, return_attention_mask=False,
                             return_token_type_ids=False, verbose=False)["input_ids"]:
            truncated[len(rows)] = len(ids) > max_tokens
            if len(ids) > max_tokens:
                ids = ids[:max_tokens - 1] + ids[-1:]
            rows.append(np.array(ids, dtype=np.int32))
    flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows], dtype=np.int64)])
    markers = tokenizer.convert_tokens_to_ids(list(MARKERS))
    units = find_units(flat, offsets, markers, tokenizer.eos_token_id)
    keys = np.zeros(corpus.height, dtype=np.uint64)
    names = np.empty(corpus.height, dtype=object)
    indexed = corpus.with_row_index("place")
    for (database, table), part in indexed.group_by("database", "table"):
        place = part["place"].to_numpy()
        keys[place] = row_keys(database, table, part["row"].to_numpy())
        names[place] = f"{database}.{table}"
    return TokenizedRows(flat, offsets, units, keys, names, truncated)


class MaskedRows(Dataset):
    """Rows with masked inputs: static, or drawn anew each epoch (Section 4.3.1).

    Args:
        rows: to mask.
        split: `train`, `validation` or `test`; the masks of the last two never change.
        settings: probabilities, seed and `decoder_word_drop`, which only training rows feel.
        mask_token, pad_token, start_token: ids; `start_token` is what the decoder begins with.
    """

    def __init__(self, rows: TokenizedRows, split: str, settings: BartCheckpointSettings, *,
                 mask_token: int, pad_token: int, start_token: int):
        self.rows, self.split, self.settings = rows, split, settings
        self.mask_token, self.pad_token, self.start_token = mask_token, pad_token, start_token
        self.is_value = _value_tokens(rows)
        self.epoch = -1
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the masks of an epoch; a no-op for validation and test rows after the first."""
        if epoch == self.epoch or (self.split != "train" and self.epoch >= 0):
            return
        self.epoch = epoch
        rows, settings = self.rows, self.settings
        odds = (settings.mask_table, settings.mask_attribute, settings.mask_value)
        self.masked = draw_masks(rows.units, rows.keys, odds, *self._purpose())
        self.inputs, self.input_offsets = apply_masks(
            rows.ids, rows.offsets, rows.units, self.masked, self.mask_token)

    def _purpose(self) -> tuple[object, ...]:
        when = (self.epoch,) if self.split == "train" else ()
        return (self.settings.seed, self.split, *when)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> int:
        return int(place)

    def collate(self, places: Sequence[int]) -> dict[str, torch.Tensor]:
        """A padded batch.

        Args:
            places: of rows, or `GHOST`, which has the last row's inputs and no targets.

        Returns:
            `input_ids` and `attention_mask` int64 [B, S]; `decoder_input_ids` int64 [B, L], the
            targets shifted right, some of them dropped; `labels` int64 [B, L] with `IGNORED`
            where padded; `value_tokens` bool [B, L], targets that belong to cell values.
        """
        rows, B, ghosts = self.rows, len(places), [p == GHOST for p in places]
        places = [p % len(rows) for p in places]
        S = max(int(self.input_offsets[p + 1] - self.input_offsets[p]) for p in places)
        L = max(int(rows.offsets[p + 1] - rows.offsets[p]) for p in places)
        inputs_BS = np.full((B, S), self.pad_token, dtype=np.int64)
        visible_BS = np.zeros((B, S), dtype=np.int64)
        labels_BL = np.full((B, L), IGNORED, dtype=np.int64)
        values_BL = np.zeros((B, L), dtype=bool)
        for b, p in enumerate(places):
            seen = self.inputs[self.input_offsets[p]:self.input_offsets[p + 1]]
            inputs_BS[b, :len(seen)], visible_BS[b, :len(seen)] = seen, 1
            target = rows.ids[rows.offsets[p]:rows.offsets[p + 1]]
            labels_BL[b, :len(target)] = target
            values_BL[b, :len(target)] = self.is_value[rows.offsets[p]:rows.offsets[p + 1]]
        decoder_BL = np.where(labels_BL == IGNORED, self.pad_token, labels_BL)
        decoder_BL[:, 1:] = self._dropped(decoder_BL, places)[:, :-1]
        decoder_BL[:, 0] = self.start_token
        labels_BL[ghosts] = IGNORED
        return {"input_ids": torch.from_numpy(inputs_BS),
                "attention_mask": torch.from_numpy(visible_BS),
                "decoder_input_ids": torch.from_numpy(decoder_BL),
                "labels": torch.from_numpy(labels_BL),
                "value_tokens": torch.from_numpy(values_BL)}

    def _dropped(self, decoder_BL: np.ndarray, places: Sequence[int]) -> np.ndarray:
        """Decoder inputs of which a share became `<mask>` (docs/decisions/collapse.md)."""
        share = self.settings.decoder_word_drop
        if self.split != "train" or share == 0:
            return decoder_BL
        with np.errstate(over="ignore"):
            number = (self.rows.keys[np.asarray(places)][:, None]
                      + np.arange(decoder_BL.shape[1], dtype=np.uint64))
        drop = uniform_of_rows(number, "word drop", *self._purpose()) < share
        return np.where(drop & (decoder_BL != self.pad_token), self.mask_token, decoder_BL)


def _value_tokens(rows: TokenizedRows) -> np.ndarray:
    """bool [T]: tokens of cell values."""
    cells = rows.units.kind == KINDS.index("value")
    edges = np.zeros(len(rows.ids) + 1, dtype=np.int8)
    edges[rows.units.start[cells]] += 1
    np.subtract.at(edges, rows.units.end[cells], 1)
    return np.cumsum(edges[:-1]) > 0


class StepBatches(Sampler):
    """Batches for the device, `effective_batch` rows an optimizer step, in the order of an epoch.

    Several processes share each step: they get rows of nearly the same lengths, and as many
    batches each, if need be one that holds only `GHOST`.

    Args:
        lengths: int [N], tokens of each row.
        effective_batch: rows of a step. device_batch: the most rows at a time in one process.
        seed: of the order; None keeps the rows as they are (validation, test).
        process, processes: whose batches, of how many.

    Raises:
        ValueError: the rows of a step cannot be shared evenly among the processes.
    """

    def __init__(self, lengths: np.ndarray, effective_batch: int, device_batch: int,
                 seed: int | None, process: int = 0, processes: int = 1):
        if effective_batch % processes:
            raise ValueError(f"bart_checkpoint.effective_batch {effective_batch} cannot be shared "
                             f"among {processes} processes; choose compute.processes that divides "
                             "it")
        self.lengths, self.effective_batch, self.seed = lengths, effective_batch, seed
        self.process, self.processes = process, processes
        self.device_batch = largest_divisor(effective_batch // processes, device_batch)
        self.epoch = 0

    @property
    def together(self) -> int:
        """Rows that all processes work on at the same time."""
        return self.device_batch * self.processes

    @property
    def accumulation(self) -> int:
        """Device batches of a full step in each process."""
        return self.effective_batch // self.together

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.together)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.arange(len(self.lengths))
        if self.seed is not None:
            order = generator("order", self.seed, self.epoch).permutation(len(self.lengths))
        for first in range(0, len(order), self.effective_batch):
            step = order[first:first + self.effective_batch]
            step = step[np.argsort(-self.lengths[step], kind="stable")]
            for piece in range(0, len(step), self.together):
                mine = step[piece:piece + self.together][self.process::self.processes]
                yield mine.tolist() or [GHOST]


def largest_divisor(number: int, at_most: int) -> int:
    """The largest divisor of `number` that is not above `at_most`."""
    return next(d for d in range(min(number, at_most), 0, -1) if number % d == 0)
