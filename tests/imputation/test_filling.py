"""BART fills in one hidden value: what it is shown, what it starts from, and what it may write."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoTokenizer, BartForConditionalGeneration, GenerationConfig

from rowgraph.imputation.filling import CellFiller, batches_by_prefix
from rowgraph.language.batching import tokenize_rows
from rowgraph.language.masking import KINDS, apply_masks


def silent(step, metrics, of=None):
    """Progress that nobody reads."""


def open_filler(checkpoint, batch=7, max_new_tokens=6) -> CellFiller:
    return CellFiller.open(checkpoint, max_new_tokens=max_new_tokens, batch=batch, device="cpu")


@pytest.fixture(scope="module")
def filler(checkpoint) -> CellFiller:
    return open_filler(checkpoint)


@pytest.fixture(scope="module")
def codes(corpus) -> list[str]:
    """Drivers, whose second attribute spells a marker and is too long in row 3."""
    return corpus.filter(table="drivers")["text"].to_list()


@pytest.fixture(scope="module")
def blanks(filler, codes, corpus):
    """Blanks with prefixes and rows of many lengths."""
    found = filler.blank(codes, 1) + filler.blank(corpus.filter(table="races")["text"].to_list(), 0)
    return [b for b in found if b is not None]


def test_a_blank_is_the_row_that_masking_makes_of_it(filler, corpus, tokenizer, settings):
    drivers = corpus.filter(table="drivers")
    rows = tokenize_rows(drivers, tokenizer, settings.max_tokens)
    named = drivers["text"].str.contains("<value> name").to_numpy()
    first_value = np.zeros(len(rows.units.row), dtype=bool)
    for row in np.flatnonzero(named):
        values = np.flatnonzero((rows.units.row == row)
                                & (rows.units.kind == KINDS.index("value")))
        first_value[values[0]] = True
    hidden, offsets = apply_masks(rows.ids, rows.offsets, rows.units, first_value,
                                  tokenizer.mask_token_id)
    found = filler.blank(drivers["text"].filter(pl.Series(named)).to_list(), 0)
    for row, blank in zip(np.flatnonzero(named), found, strict=True):
        expected = hidden[offsets[row]:offsets[row + 1]].tolist()
        if rows.truncated[row]:  # here the row is cut after masking: more of its end is seen
            assert blank.seen[:len(expected) - 1] == expected[:-1]
            assert len(blank.seen) == settings.max_tokens
        else:
            assert blank.seen == expected
    assert rows.truncated[named].any()


def test_what_is_seen_does_not_depend_on_the_hidden_value(filler, codes):
    for text in (codes[1], codes[3]):
        other = text.replace("name 1", "a much longer name").replace("name 3", "n")
        assert other != text
        assert filler.blank([other], 0) == filler.blank([text], 0)


def test_the_decoder_starts_from_the_true_row_up_to_the_values_marker(filler, codes, tokenizer):
    blank = filler.blank(codes[:1], 1)[0]
    assert blank.prefix[0] == filler.start
    assert tokenizer.decode(blank.prefix[1:]).endswith("<attr> code<value>")
    assert blank.seen[:len(blank.prefix) - 1] == blank.prefix[1:]


def test_a_value_that_is_not_read_whole_cannot_be_hidden(filler, codes):
    places = [i for i, b in enumerate(filler.blank(codes, 1)) if b is None]
    assert places == [3]


def test_a_value_that_fills_the_tokens_to_the_last_can_be_hidden(filler, codes):
    text = codes[0].rsplit("<value>", 1)[0] + "<value>"
    room = filler.max_tokens - len(filler.tokenizer(text)["input_ids"])
    fits, too_long = (f"{text} {'<unk>' * n}" for n in (room - 1, room))
    assert len(filler.tokenizer(fits)["input_ids"]) == filler.max_tokens
    assert filler.blank([fits], 1)[0] is not None
    assert filler.blank([too_long], 1)[0] is None


def test_prefixes_in_a_batch_are_equally_long_and_every_blank_has_its_turn(blanks):
    batches = list(batches_by_prefix(blanks, 4))
    assert sorted(p for batch in batches for p in batch) == list(range(len(blanks)))
    for batch in batches:
        assert len(batch) <= 4
        assert len({len(blanks[p].prefix) for p in batch}) == 1


def test_filling_in_batches_is_filling_one_row_at_a_time(checkpoint, filler, blanks):
    alone = open_filler(checkpoint, batch=1)
    expected = [alone.fill([b], silent)[0] for b in blanks]
    assert filler.fill(blanks, silent) == expected
    assert filler.fill(blanks[::-1], silent) == expected[::-1]
    assert len({f.text for f in expected}) > 1


def test_filling_is_the_greedy_choice_token_by_token(checkpoint, filler, blanks, tokenizer):
    model = BartForConditionalGeneration.from_pretrained(checkpoint).eval()
    for blank in blanks[::9]:
        tokens, ended = list(blank.prefix), False
        while len(tokens) - len(blank.prefix) < 6 and not ended:
            with torch.no_grad():
                odds = model(input_ids=torch.tensor([blank.seen]),
                             decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
            if len(tokens) == len(blank.prefix):
                odds[filler.ends] = -torch.inf
            tokens.append(int(odds.argmax()))
            ended = tokens[-1] in filler.ends
        written = tokens[len(blank.prefix):len(tokens) - ended]
        found = filler.fill([blank], silent)[0]
        assert (found.text, found.ended) == (tokenizer.decode(written).strip(), ended)


def test_generation_habits_of_a_checkpoint_are_left_behind(checkpoint, filler, blanks, tmp_path):
    model = BartForConditionalGeneration.from_pretrained(checkpoint)
    model.generation_config = GenerationConfig(
        num_beams=4, no_repeat_ngram_size=1, forced_eos_token_id=2, early_stopping=True,
        length_penalty=2.0)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(tmp_path)
    assert open_filler(tmp_path).fill(blanks, silent) == filler.fill(blanks, silent)


def test_a_prefix_at_the_end_of_the_positions_is_continued_as_far_as_they_go(
        checkpoint, filler, codes):
    text = codes[0].rsplit("<value>", 1)[0] + "<value>"
    room = filler.max_tokens - len(filler.tokenizer(text)["input_ids"])
    text = text.replace("code", "code" + "<unk>" * (room - 1)) + "<unk>"
    blank = filler.blank([text], 1)[0]
    assert len(blank.prefix) == filler.positions - 1
    shorter = open_filler(checkpoint, max_new_tokens=2)
    assert filler.fill([blank], silent) == shorter.fill([blank], silent)


def test_a_cell_that_spells_a_marker_is_read_back_as_it_was(filler):
    tokens = filler.tokenizer(r" <\value> y", add_special_tokens=False)["input_ids"]
    filling = filler._filling([*tokens, filler.ends[1], *tokens])
    assert (filling.text, filling.ended) == ("<value> y", True)
    assert not filler._filling(tokens).ended
