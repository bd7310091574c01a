"""Measuring a device at toy sizes, on a CPU."""

import json
import time

import numpy as np
import pytest

from benchmarks import device
from benchmarks.on_device import language, measuring
from rowgraph.costs.model_shape import BART_LARGE
from tests.worlds.parts import a_row_and_a_long_sleep, three_rows_and_a_fault


def test_a_part_that_fails_keeps_its_rows_and_names_the_error():
    found = list(device.in_process(three_rows_and_a_fault, ("row",), 60))
    assert [row["what"] for row in found] == ["row 0", "row 1", "row 2", "the rest"]
    assert found[-1]["error"] == "ValueError: no more"


def test_a_part_whose_time_is_over_is_stopped_and_keeps_its_rows():
    started = time.monotonic()
    found = list(device.in_process(a_row_and_a_long_sleep, (), 4))
    assert found[0] == {"what": "first", "seconds": 1.0}
    assert found[1]["error"] == "stopped after 4 seconds"
    assert time.monotonic() - started < 50


def test_a_measurement_that_fails_is_a_row():
    assert measuring.attempted("division", "cpu", lambda: {"n": 1 / 0}) == {
        "what": "division", "error": "ZeroDivisionError: division by zero"}


def test_a_table_has_a_column_for_every_figure_and_errors_in_their_place():
    shown = device.table([{"what": "a", "rows_s": 1234.5}, {"what": "long", "error": "no memory"},
                          {"what": "b", "rows_s": 0.5, "share": 0.25}]).split("\n")
    assert shown[0].split() == ["rows_s", "share"]
    assert [line.split() for line in shown[1:]] == [
        ["a", "1,234", "–"], ["long", "no", "memory"], ["b", "0.5", "0.25"]]


def test_operations_of_the_encoder_are_twice_its_weights_and_the_pairs_of_tokens():
    layer = 4 * 1024**2 + 2 * 1024 * 4096
    assert language.encoder_operations(BART_LARGE, np.array([10, 20])) == pytest.approx(
        12 * (2 * layer * 30 + 4 * 1024 * (100 + 400)))


def test_training_is_three_passes_of_encoder_decoder_and_vocabulary():
    shape, tokens = BART_LARGE.with_layers(1), np.array([7])
    decoder = 2 * (8 * 1024**2 + 2 * 1024 * 4096) * 7 + 4 * 1024 * 2 * 49
    head = 2 * 1024 * shape.vocabulary * 7
    assert language.training_operations(shape, tokens, tokens) == pytest.approx(
        3 * (language.encoder_operations(shape, tokens) + decoder + head))


def test_encoding_is_measured_and_its_figures_go_into_json():
    sizes = measuring.SMALL
    model, tokenizer = language.random_language(sizes)
    texts = language.random_texts(8, language.rows_of_length(32, tokenizer), "a test")
    found = measuring.attempted("fp32", "cpu", lambda: language.encoded(
        model, tokenizer, texts, "fp32", 256, sizes, "cpu"))
    row = json.loads(json.dumps(device.rounded(device.with_share(found, 2.0))))
    assert 20 < row["tokens_a_row"] < 60
    assert row["share"] == pytest.approx(row["tflops"] / 2, rel=1e-3)
    assert row["tokens_s"] == pytest.approx(row["rows_s"] * row["tokens_a_row"], rel=1e-2)
    assert set(row) > {"what", "tokenizing", "peak_gib"}
