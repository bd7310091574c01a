from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, BartForConditionalGeneration

from rowgraph.language.vocabulary import (
    CheckpointError,
    add_markers,
    build_model,
    load_pretrained,
    train_tokenizer,
)
from rowgraph.rows.linearization import MARKERS, SPECIAL, linearize


def test_a_trained_tokenizer_has_barts_special_tokens_and_the_markers_once(tokenizer, settings):
    assert [tokenizer.convert_tokens_to_ids(t) for t in ("<s>", "<pad>", "</s>", "<unk>")] == [
        0, 1, 2, 3]
    assert tokenizer.mask_token == "<mask>"
    assert len({tokenizer.convert_tokens_to_ids(t) for t in SPECIAL}) == len(SPECIAL)
    assert len(tokenizer) <= settings.vocabulary
    assert add_markers(tokenizer) == 0


def test_a_marker_costs_one_token_and_no_space(tokenizer):
    ids = tokenizer("<table> drivers <attr> name <value> <attr> code <value>")["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert [t for t in tokens if t.startswith("<")] == [
        "<s>", "<table>", "<attr>", "<value>", "<attr>", "<value>", "</s>"]
    assert "Ġ" not in tokens


@given(st.text(max_size=8), st.text(max_size=8))
def test_only_structure_becomes_special_tokens(tokenizer, name, value):
    ids = tokenizer(linearize("t", [name], [value]))["input_ids"]
    special = [i for i in ids if i in set(tokenizer.all_special_ids) | {
        tokenizer.convert_tokens_to_ids(m) for m in MARKERS}]
    expected = ["<s>", *MARKERS, "</s>"]
    assert tokenizer.convert_ids_to_tokens(special) == expected


def test_training_a_tokenizer_twice_gives_the_same_bytes(corpus, tmp_path):
    for name in ("a", "b"):
        train_tokenizer(corpus["text"], 350).save_pretrained(tmp_path / name)
    assert ((tmp_path / "a" / "tokenizer.json").read_bytes()
            == (tmp_path / "b" / "tokenizer.json").read_bytes())


def test_fresh_weights_depend_on_the_seed_alone_and_leave_the_global_generator_be(
        settings, tokenizer):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_model(settings, tokenizer).state_dict()
    assert torch.equal(torch.rand(3), expected)
    second = build_model(settings, tokenizer).state_dict()
    other = build_model(settings.model_copy(update={"seed": 1}), tokenizer).state_dict()
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert not torch.equal(first["model.shared.weight"], other["model.shared.weight"])


def test_a_checkpoint_is_read_by_plain_from_pretrained(checkpoint, tokenizer, settings):
    assert (checkpoint / "model.safetensors").exists()
    assert not list(checkpoint.glob("*.bin"))
    again = AutoTokenizer.from_pretrained(checkpoint)
    text = "<table> drivers <attr> name <value> <mask> é"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    model = BartForConditionalGeneration.from_pretrained(checkpoint)
    built = build_model(settings, tokenizer).state_dict()
    assert all(torch.equal(v, built[n]) for n, v in model.state_dict().items())


@pytest.fixture
def without_markers(tmp_path, settings):
    """A checkpoint whose tokenizer has never heard of the markers, as BART's has not."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(
        ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet()),
         "<mask>"])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>",
                                    pad_token="<pad>", unk_token="<unk>", mask_token="<mask>")
    build_model(settings, plain).save_pretrained(tmp_path)
    plain.save_pretrained(tmp_path)
    return tmp_path, len(plain)


def test_markers_are_added_once_and_resized_embeddings_do_not_depend_on_the_day(
        without_markers, settings, tmp_path):
    folder, old = without_markers
    torch.manual_seed(1)
    model, tokenizer = load_pretrained(str(folder), settings)
    torch.manual_seed(2)
    again, _ = load_pretrained(str(folder), settings)
    assert len(tokenizer) == old + 3
    weight = model.get_input_embeddings().weight
    assert weight.shape[0] == old + 3
    assert model.get_output_embeddings().weight.data_ptr() == weight.data_ptr()
    assert torch.equal(weight, again.get_input_embeddings().weight)
    assert not torch.equal(weight[old], weight[old + 1])
    model.save_pretrained(tmp_path / "second")
    tokenizer.save_pretrained(tmp_path / "second")
    resaved, tokenizer = load_pretrained(str(tmp_path / "second"), settings)
    assert len(tokenizer) == old + 3
    assert torch.equal(resaved.get_input_embeddings().weight, weight)


def test_old_embeddings_are_not_touched_by_resizing(without_markers, settings):
    folder, old = without_markers
    before = BartForConditionalGeneration.from_pretrained(folder).get_input_embeddings().weight
    model, _ = load_pretrained(str(folder), settings)
    assert torch.equal(model.get_input_embeddings().weight[:old], before)


def test_a_missing_checkpoint_is_named_with_the_way_out(tmp_path, settings):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty.*local folder.*checkpoint: null"):
        load_pretrained(str(tmp_path / "empty"), settings)


def test_more_tokens_than_positions_are_refused(checkpoint, settings):
    long = settings.model_copy(update={"max_tokens": 64})
    with pytest.raises(CheckpointError, match=r"max_tokens: 64 .* 48 positions"):
        load_pretrained(str(checkpoint), long)
