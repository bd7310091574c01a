from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, BartForConditionalGeneration, BartModel

from rowgraph.encoding.encoder import RowEncoder, batches_by_length, encode, splits_at_attributes
from rowgraph.encoding.precision import usable_precision
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.language.vocabulary import CheckpointError

SETTINGS = NodeEmbeddingsSettings(batch_tokens=200)


def silent(step, metrics, of=None):
    pass


@pytest.fixture(scope="module")
def texts(corpus) -> list[str]:
    return [*corpus["text"].to_list(), "", "<table> t"] * 2


@pytest.fixture(scope="module")
def encoder(checkpoint) -> RowEncoder:
    return RowEncoder.open(checkpoint, SETTINGS, "cpu")


@pytest.fixture(scope="module")
def reference(texts, checkpoint, settings) -> np.ndarray:
    """One text at a time through the whole library model, averaged by hand."""
    model = BartModel.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    vectors = []
    with torch.no_grad():
        for text in texts:
            ids = tokenizer(text, return_tensors="pt", truncation=True,
                            max_length=settings.max_tokens)["input_ids"]
            vectors.append(model(input_ids=ids).encoder_last_hidden_state[0].mean(0).numpy())
    return np.stack(vectors)


def test_vectors_are_means_over_all_real_tokens(texts, reference, checkpoint):
    found = encode(texts, RowEncoder.open(checkpoint, SETTINGS, "cpu"), log=silent)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference, atol=2e-6)


def test_shards_and_batches_do_not_change_vectors(texts, reference, checkpoint):
    tiny = NodeEmbeddingsSettings(batch_tokens=1)  # one text at a time
    found = encode(texts, RowEncoder.open(checkpoint, tiny, "cpu"), log=silent, shard=7)
    np.testing.assert_allclose(found, reference, atol=2e-6)


def test_encoding_twice_gives_the_same_bytes(texts, checkpoint):
    first, second = (encode(texts, RowEncoder.open(checkpoint, SETTINGS, "cpu"), log=silent)
                     for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_number_of_threads_changes_no_byte_and_is_given_back(texts, checkpoint):
    torch.set_num_threads(2)
    one, three = (
        encode(texts, RowEncoder.open(checkpoint, SETTINGS.model_copy(update={"workers": n}),
                                      "cpu"), log=silent) for n in (1, 3))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert one.tobytes() == three.tobytes()


def test_texts_are_cut_as_the_tokenizer_cuts_them_and_said_to_be(texts, checkpoint, settings):
    encoder = RowEncoder.open(checkpoint, SETTINGS, "cpu")
    expected = [len(ids) > settings.max_tokens
                for ids in encoder.tokenizer(texts, verbose=False)["input_ids"]]
    assert any(expected)
    assert encoder.encode_distinct(texts).truncated.tolist() == expected


SNIPPETS = ("<table>", "<attr>", "<value>", "<mask>", "<s>", "</s>", "<attr", "attr>", "<\\attr>",
            " ", "  ", "\t", "\n", "\x1c", "\x85", "\u3000", "a", "name 1", "0", "é", "'s", "")


@given(st.lists(st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=3), max_size=9)
                .map("".join), max_size=6))
def test_tokens_of_a_text_are_those_of_its_cells(encoder, texts):
    assert splits_at_attributes(encoder.tokenizer.backend_tokenizer)
    expected = encoder.tokenizer(texts, verbose=False)["input_ids"] if texts else []
    assert [ids.tolist() for ids in encoder._tokenized(texts)] == expected


def test_a_cell_goes_to_the_tokenizer_once(encoder, texts, monkeypatch):
    seen = []
    tokens = RowEncoder._tokens
    monkeypatch.setattr(RowEncoder, "_tokens", lambda self, texts, specials: seen.extend(texts)
                        or tokens(self, texts, specials=specials))
    encoder._tokenized(texts)
    cells = [cell for text in texts for cell in re.split("(?<=<attr>)", text)]
    assert sorted(seen) == sorted(set(cells))


@pytest.mark.parametrize("change", ["no marker", "normalizer", "pre-tokenizer"])
def test_texts_stay_whole_where_cells_might_have_other_tokens(change):
    backend = Tokenizer(models.WordLevel({"a": 0, "<attr>": 1}, unk_token="a"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if change != "no marker":
        backend.add_special_tokens(["<attr>"])
        assert splits_at_attributes(backend)
    if change == "normalizer":
        backend.normalizer = normalizers.NFC()
    if change == "pre-tokenizer":
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    assert not splits_at_attributes(backend)


def test_each_distinct_text_is_encoded_once(texts, checkpoint):
    seen = []
    encode(texts, RowEncoder.open(checkpoint, SETTINGS, "cpu"),
           log=lambda n, m: seen.append((n, m)))
    assert seen == [(len(set(texts)), {"encoded_texts": len(set(texts))})]


def test_half_precision_stays_near(texts, reference, checkpoint):
    if usable_precision("bf16", "cpu") == "fp32":
        pytest.skip("this processor has no native bfloat16")
    settings = NodeEmbeddingsSettings(precision="bf16", batch_tokens=200)
    found = encode(texts, RowEncoder.open(checkpoint, settings, "cpu"), log=silent)
    assert np.abs(found - reference).max() < 0.1
    assert np.abs(found - reference).max() > 0  # it did run in half precision
    ours = RowEncoder.open(checkpoint, settings, "cpu")
    ours.fused = None  # as on a device that the fused pass is not for
    assert np.abs(encode(texts, ours, log=silent) - found).max() < 0.1


def test_a_processor_without_bfloat16_computes_in_fp32_and_says_so(
        texts, checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with pytest.warns(UserWarning, match="no native bfloat16"):
        encoder = RowEncoder.open(checkpoint, NodeEmbeddingsSettings(precision="bf16"), "cpu")
    assert encoder.precision == "fp32"


def test_a_tokenizer_of_another_checkpoint_is_refused(checkpoint):
    model = BartForConditionalGeneration.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.add_tokens(["qwertz"])
    with pytest.raises(CheckpointError, match=r"has (\d+) tokens, the model embeds \d+: they are"):
        RowEncoder(model, tokenizer, SETTINGS, "cpu")


def test_no_texts_have_no_vectors(checkpoint, settings):
    found = encode([], RowEncoder.open(checkpoint, SETTINGS, "cpu"), log=silent)
    assert found.shape == (0, settings.d_model)


@given(st.lists(st.integers(1, 64), max_size=40).map(np.array), st.integers(1, 300))
def test_batches_hold_each_text_once_within_their_tokens(lengths, batch_tokens):
    batches = list(batches_by_length(lengths.astype(np.int64), batch_tokens))
    assert sorted(np.concatenate(batches or [[]]).tolist()) == list(range(len(lengths)))
    for places in batches:
        longest, shortest = lengths[places].max(), lengths[places].min()
        assert len(places) == 1 or len(places) * longest <= batch_tokens
        assert lengths[places[0]] == longest
        assert longest - shortest <= longest / 8
        alike = (lengths[places] == longest).sum()
        assert longest == shortest or 2 * longest * alike < batch_tokens
