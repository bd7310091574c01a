"""BART fills in a cell: the encoder reads the row with one value hidden, the decoder writes it.

The hidden value is one `<mask>`, whatever its length, as in fine-tuning (`masking.py`). The
decoder is given what it was given there, the row up to the value's own `<value>`, and goes on
greedily, one token at least, until a marker or the end of the row. Its prefixes in one batch are
equally long: BART has learned its positions, and padding would shift them. See
docs/decisions/imputation.md.

Shapes: B rows of a batch, S longest encoder input, P tokens of the prefix, G tokens generated.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    BartForConditionalGeneration,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

from rowgraph.journal import Journal
from rowgraph.kept import kept
from rowgraph.language.vocabulary import quiet
from rowgraph.progress import Log
from rowgraph.rows.linearization import MARKERS, VALUE, unescape
from rowgraph.side_by_side import elsewhere, side_by_side

WORKER = 1.5e9  # bytes of a worker beside the model


@dataclass(frozen=True)
class Blank:
    """A row with one cell value hidden.

    Args:
        seen: what the encoder reads, one mask token in place of the value.
        prefix: what the decoder starts from.
    """

    seen: list[int]
    prefix: list[int]


@dataclass(frozen=True)
class Filling:
    """What was written into a blank.

    Args:
        text: of the cell, not escaped, without spaces around it.
        ended: whether a marker or the end of the row followed within the tokens allowed.
    """

    text: str
    ended: bool


class CellFiller:
    """The language model of a checkpoint, ready to fill in cells.

    Args:
        model, tokenizer: of the checkpoint; the model's weights are not changed.
        max_new_tokens: the most that a cell may take.
        batch: rows at a time.
        device: as PyTorch names it.
        folder: of the checkpoint, from which machines of a cluster open it; None: none does.
    """

    def __init__(self, model: BartForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, *,
                 max_new_tokens: int, batch: int, device: str, folder: Path | None = None):
        self.folder = folder
        self.tokenizer, self.batch, self.device = tokenizer, batch, torch.device(device)
        self.max_new_tokens = max_new_tokens
        self.positions: int = model.config.max_position_embeddings
        self.max_tokens = min(tokenizer.model_max_length, self.positions)
        self.value = tokenizer.convert_tokens_to_ids(VALUE)
        self.start: int = model.config.decoder_start_token_id
        self.ends = [*tokenizer.convert_tokens_to_ids(list(MARKERS)), tokenizer.eos_token_id]
        self.model = model.eval()
        # A checkpoint may bring habits of its own (bart-large: beams, no repeated trigrams).
        self.model.generation_config = GenerationConfig()

    @classmethod
    def open(cls, checkpoint_folder: Path, *, max_new_tokens: int, batch: int,
             device: str) -> CellFiller:
        """Load a `save_pretrained` folder."""
        with quiet():
            model = BartForConditionalGeneration.from_pretrained(
                checkpoint_folder, local_files_only=True, use_safetensors=True,
                dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(checkpoint_folder, local_files_only=True)
        return cls(model, tokenizer, max_new_tokens=max_new_tokens, batch=batch, device=device,
                   folder=checkpoint_folder.resolve())

    def blank(self, texts: Sequence[str], place: int) -> list[Blank | None]:
        """Hide the same attribute's value in each row.

        Args:
            texts: linearized rows of one table, in each of which the value is not empty.
            place: of the attribute among those in the text.

        Returns:
            One blank a row; None where the value does not fit whole into the tokens that the
            model reads of a row.
        """
        if not texts:
            return []
        rows = self.tokenizer(list(texts), return_attention_mask=False,
                              return_token_type_ids=False, verbose=False)["input_ids"]
        return [self._blank(ids, place) for ids in rows]

    def _blank(self, ids: list[int], place: int) -> Blank | None:
        marks = [i for i, token in enumerate(ids) if token == self.value]
        start = marks[place] + 1
        end = next(i for i in range(start, len(ids)) if ids[i] in self.ends)
        if end > self.max_tokens - 1:
            return None
        seen = [*ids[:start], self.tokenizer.mask_token_id, *ids[end:]]
        if len(seen) > self.max_tokens:  # cut now, so that its end does not tell how long it was
            seen = [*seen[:self.max_tokens - 1], seen[-1]]
        return Blank(seen, [self.start, *ids[:start]])

    def fill(self, blanks: Sequence[Blank], log: Log,
             done: Journal | None = None) -> list[Filling]:
        """What the model writes into each blank, whichever others stand beside it.

        Args:
            log: called after each batch with the number of cells done.
            done: what an earlier, interrupted call wrote into the same blanks; gets the rest.
        """
        fillings = {place: Filling(text, ended) for line in (done.lines if done else ())
                    for place, text, ended in line}
        missing = [places for places in batches_by_prefix(blanks, self.batch)
                   if not fillings.keys() >= set(places)]
        batches = [[blanks[p] for p in places] for places in missing]
        for places, found in zip(missing, self._each(batches), strict=True):
            written = dict(zip(places, found, strict=True))
            if done is not None:
                done.add([[place, f.text, f.ended] for place, f in written.items()])
            fillings |= written
            log(len(fillings), {"filled_cells": len(fillings)}, len(blanks))
        return [fillings[p] for p in range(len(blanks))]

    def _each(self, batches: list[list[Blank]]) -> Iterator[list[Filling]]:
        """What is written into each batch: here, or on a cluster, with as many threads as here."""
        if self.folder is None or not elsewhere():
            return map(self.written, batches)
        weights = sum(p.nbytes for p in self.model.parameters())
        return side_by_side(
            functools.partial(_elsewhere, uuid.uuid4().hex, self.folder, self.max_new_tokens,
                              self.batch, str(self.device)),
            batches, processes=1, device=self.device, gigabytes=(WORKER + 2 * weights) / 1e9,
            threads=torch.get_num_threads())

    @torch.inference_mode()
    def written(self, blanks: list[Blank]) -> list[Filling]:
        """What the model writes into blanks whose prefixes are equally long."""
        self.model.to(self.device)  # now: elsewhere it may be others that fill all cells
        B, S, P = len(blanks), max(len(b.seen) for b in blanks), len(blanks[0].prefix)
        seen_BS = np.full((B, S), self.tokenizer.pad_token_id, dtype=np.int64)
        real_BS = np.zeros((B, S), dtype=np.int64)
        for b, blank in enumerate(blanks):
            seen_BS[b, :len(blank.seen)], real_BS[b, :len(blank.seen)] = blank.seen, 1
        prefix_BP = torch.tensor([blank.prefix for blank in blanks], device=self.device)
        with quiet():
            tokens_BPG = self.model.generate(
                input_ids=torch.from_numpy(seen_BS).to(self.device),
                attention_mask=torch.from_numpy(real_BS).to(self.device),
                decoder_input_ids=prefix_BP,
                generation_config=GenerationConfig(
                    max_new_tokens=min(self.max_new_tokens, self.positions - P + 1),
                    min_new_tokens=1,  # only a cell that holds something is hidden
                    do_sample=False, num_beams=1, eos_token_id=self.ends,
                    pad_token_id=self.tokenizer.pad_token_id, decoder_start_token_id=self.start))
        return [self._filling(tokens) for tokens in tokens_BPG[:, P:].tolist()]

    def _filling(self, tokens: list[int]) -> Filling:
        end = next((i for i, token in enumerate(tokens) if token in self.ends), None)
        text = self.tokenizer.decode(tokens[:end], clean_up_tokenization_spaces=False)
        return Filling(unescape(text.strip()), end is not None)


def _elsewhere(token: str, folder: Path, max_new_tokens: int, batch: int, device: str,
               blanks: list[Blank]) -> list[Filling]:
    """One batch in a worker, which keeps the model."""
    return kept(token, "filler", lambda: CellFiller.open(
        folder, max_new_tokens=max_new_tokens, batch=batch, device=device)).written(blanks)


def batches_by_prefix(blanks: Sequence[Blank], batch: int) -> Iterator[list[int]]:
    """Places of blanks with equally long prefixes, those with inputs of similar length together."""
    order = sorted(range(len(blanks)),
                   key=lambda p: (len(blanks[p].prefix), len(blanks[p].seen), p))
    first = 0
    for i in range(1, len(order) + 1):
        if i == len(order) or i - first == batch or (
                len(blanks[order[i]].prefix) != len(blanks[order[first]].prefix)):
            yield order[first:i]
            first = i
