from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.language.batching import (
    IGNORED,
    MaskedRows,
    StepBatches,
    largest_divisor,
    tokenize_rows,
)

SIZES = st.lists(st.integers(3, 50), min_size=1, max_size=40).map(np.array)


@pytest.fixture(scope="module")
def rows(corpus, tokenizer, settings):
    return tokenize_rows(corpus, tokenizer, settings.max_tokens)


def masked(rows, split, settings, tokenizer) -> MaskedRows:
    return MaskedRows(rows, split, settings, mask_token=tokenizer.mask_token_id,
                      pad_token=tokenizer.pad_token_id, start_token=tokenizer.eos_token_id)


def test_tokens_are_those_of_the_tokenizer_truncated_as_it_truncates(
        corpus, rows, tokenizer, settings):
    expected = tokenizer(corpus["text"].to_list(), truncation=True,
                         max_length=settings.max_tokens)["input_ids"]
    found = np.split(rows.ids, rows.offsets[1:-1])
    assert [f.tolist() for f in found] == expected


def test_the_truncation_rate_is_counted_by_table(rows):
    assert rows.truncation_rate() == {"rel-tiny.drivers": 1 / 40, "rel-tiny.races": 0.0}


def test_targets_are_the_whole_row_and_inputs_hide_units(corpus, rows, tokenizer, settings):
    data = masked(rows, "test", settings, tokenizer)
    places = [0, 50, 7]
    batch = data.collate(places)
    for b, place in enumerate(places):
        target = batch["labels"][b][batch["labels"][b] != IGNORED].tolist()
        assert target == rows.ids[rows.offsets[place]:rows.offsets[place + 1]].tolist()
        shifted = [tokenizer.eos_token_id, *target[:-1]]
        assert batch["decoder_input_ids"][b][:len(target)].tolist() == shifted
        seen = batch["input_ids"][b][batch["attention_mask"][b].bool()].tolist()
        assert tokenizer.mask_token_id in seen
        assert (batch["input_ids"][b][~batch["attention_mask"][b].bool()]
                == tokenizer.pad_token_id).all()


def test_value_tokens_are_the_tokens_of_cell_values(rows, tokenizer, settings, corpus):
    batch = masked(rows, "test", settings, tokenizer).collate([40])  # races, year 1950
    tokens = batch["labels"][0][batch["value_tokens"][0]].tolist()
    assert tokenizer.decode(tokens).strip() == "1950"


def test_training_masks_change_with_the_epoch_and_come_back(rows, settings, tokenizer):
    data = masked(rows, "train", settings, tokenizer)
    first = data.inputs.tolist()
    data.set_epoch(1)
    assert data.inputs.tolist() != first
    data.set_epoch(0)
    assert data.inputs.tolist() == first


def test_held_back_masks_never_change(rows, settings, tokenizer):
    for split in ("validation", "test"):
        data = masked(rows, split, settings, tokenizer)
        before = data.inputs.tolist()
        data.set_epoch(3)
        assert data.inputs.tolist() == before


def test_words_are_dropped_from_the_decoder_of_training_rows_only(rows, settings, tokenizer):
    places = list(range(len(rows)))
    clean = masked(rows, "test", settings, tokenizer).collate(places)["decoder_input_ids"]
    drop = masked(rows, "train", settings, tokenizer).collate(places)["decoder_input_ids"]
    changed = drop != clean
    real = clean != tokenizer.pad_token_id
    assert (drop[changed] == tokenizer.mask_token_id).all()
    assert not changed[:, 0].any()
    assert abs(changed[real].float().mean() - settings.decoder_word_drop) < 0.05
    assert not changed[~real].any()


def test_a_rows_batch_does_not_depend_on_its_neighbours(rows, settings, tokenizer):
    data = masked(rows, "train", settings, tokenizer)
    alone, beside = data.collate([50]), data.collate([50, 3])
    for name in alone:
        width = alone[name].shape[1]
        assert torch.equal(alone[name][0], beside[name][0, :width]), name


@given(SIZES, st.integers(1, 16), st.integers(1, 16), st.integers(0, 3))
def test_an_epoch_visits_each_row_once_in_steps_that_ignore_the_device_batch(
        lengths, effective, device, epoch):
    def steps(device_batch):
        batches = StepBatches(lengths, effective, device_batch, seed=0)
        batches.set_epoch(epoch)
        pieces = list(batches)
        assert len(pieces) == len(batches)
        assert all(len(p) <= device_batch for p in pieces)
        size = batches.accumulation
        return [sorted(chain(*pieces[i:i + size])) for i in range(0, len(pieces), size)]

    found = steps(device)
    assert sorted(chain(*found)) == list(range(len(lengths)))
    assert found == steps(effective)


def test_the_order_changes_with_the_epoch_and_comes_back():
    batches = StepBatches(np.full(50, 5), 8, 4, seed=0)
    first = list(batches)
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0)
    assert list(batches) == first


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_device_batch_divides_the_step(number, at_most):
    found = largest_divisor(number, at_most)
    assert number % found == 0
    assert found == max(d for d in range(1, min(number, at_most) + 1) if number % d == 0)
