from __future__ import annotations

import json
import random

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.functional import log_softmax

from rowgraph.artifacts import Draft
from rowgraph.language import checkpointing
from rowgraph.language.batching import MaskedRows, tokenize_rows
from rowgraph.language.fine_tuning import fine_tune
from rowgraph.language.health import CollapseError
from rowgraph.language.reconstruction import sum_of_losses, summed_loss
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.language.vocabulary import build_model


class Interrupted(BaseException):
    pass


def run(corpus_parquet, settings, folder, stop_at: int | None = None):
    """Fine-tune in a folder; `stop_at` interrupts at that step."""
    folder.mkdir(exist_ok=True)

    def log(step, metrics, of=None):
        if step == stop_at and "train_loss" in metrics:
            raise Interrupted

    return fine_tune(corpus_parquet, settings, Draft(folder), device="cpu", log=log)


@pytest.fixture(scope="module")
def finished(corpus_parquet, settings, tmp_path_factory):
    """An uninterrupted training: its folder and summary."""
    folder = tmp_path_factory.mktemp("whole") / "draft"
    return folder, run(corpus_parquet, settings, folder)


CONTENT = ("checkpoint/model.safetensors", "checkpoint/tokenizer.json", "checkpoint/config.json",
           "curves.parquet", "health.json")


def test_a_training_publishes_a_checkpoint_curves_and_health(finished, corpus, settings):
    folder, summary = finished
    assert all((folder / name).exists() for name in CONTENT)
    steps = -(-corpus.filter(split="train").height // settings.effective_batch) * settings.epochs
    curves = pl.read_parquet(folder / "curves.parquet")
    assert summary["steps"] == steps == curves.height
    assert curves["step"].to_list() == list(range(1, steps + 1))
    assert curves["validation_loss"].count() == settings.epochs
    assert summary["validation_loss"] == curves["validation_loss"].min()
    assert summary["health"] == json.loads((folder / "health.json").read_text())


def test_the_loss_falls(finished):
    curves = pl.read_parquet(finished[0] / "curves.parquet")
    assert curves["train_loss"][-1] < curves["train_loss"][0] - 0.3


def test_the_rate_warms_up_and_follows_a_cosine_down(finished, settings):
    rates = pl.read_parquet(finished[0] / "curves.parquet")["learning_rate"].to_numpy()
    warm = round(settings.warmup_fraction * len(rates))
    steps = np.arange(len(rates))
    cosine = 0.5 * (1 + np.cos(np.pi * (steps - warm) / (len(rates) - warm)))
    expected = np.where(steps < warm, steps / max(warm, 1), cosine) * settings.learning_rate
    np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_an_interrupted_training_ends_with_the_same_bytes(
        corpus_parquet, settings, finished, tmp_path, stop_at):
    whole, summary = finished
    with pytest.raises(Interrupted):
        run(corpus_parquet, settings, tmp_path / "draft", stop_at)
    saved = checkpointing.finished_checkpoint(tmp_path / "draft" / "state")
    assert (saved is not None) == (stop_at > settings.save_steps)
    steps = []
    resumed = fine_tune(corpus_parquet, settings, Draft(tmp_path / "draft"), device="cpu",
                        log=lambda step, metrics, of: steps.append(step))
    assert min(steps) == (int(saved.split("-")[-1]) if saved else 0) + 1
    assert resumed == summary
    for name in CONTENT:
        assert (tmp_path / "draft" / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_checkpoint_that_was_cut_short_is_not_continued_from(
        corpus_parquet, settings, finished, tmp_path):
    with pytest.raises(Interrupted):
        run(corpus_parquet, settings, tmp_path / "draft", stop_at=5)
    broken = tmp_path / "draft" / "state" / "checkpoint-6"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"half")
    assert run(corpus_parquet, settings, tmp_path / "draft") == finished[1]


def test_training_state_holds_no_file_that_runs_code_when_opened(
        corpus_parquet, settings, tmp_path):
    with pytest.raises(Interrupted):
        run(corpus_parquet, settings, tmp_path / "draft", stop_at=5)
    state = tmp_path / "draft" / "state"
    assert not list(state.rglob("training_args.bin"))
    for path in state.rglob("*.pt*"):
        if path.name != "rng_state.pth":
            torch.load(path, weights_only=True)


def test_global_generators_are_left_as_they_were(corpus_parquet, settings, tmp_path):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.random(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    run(corpus_parquet, settings.model_copy(update={"epochs": 1}), tmp_path / "draft")
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected


def test_collapsed_embeddings_are_not_published(corpus_parquet, settings, tmp_path):
    strict = settings.model_copy(update={"epochs": 1, "min_effective_rank": 15.9})
    with pytest.raises(CollapseError):
        run(corpus_parquet, strict, tmp_path / "draft")
    assert not (tmp_path / "draft" / "checkpoint").exists()


def test_a_loss_that_is_no_number_stops_the_training(corpus_parquet, settings, tmp_path):
    wild = settings.model_copy(update={"learning_rate": 1e18, "warmup_fraction": 0.0})
    with pytest.raises(ValueError, match=r"training loss at step \d+ is nan.*learning_rate"):
        run(corpus_parquet, wild, tmp_path / "draft")


def test_an_empty_split_is_refused(corpus, settings, tmp_path):
    corpus.filter(pl.col("split") != "validation").write_parquet(tmp_path / "corpus.parquet")
    with pytest.raises(ValueError, match="validation split has no rows"):
        run(tmp_path / "corpus.parquet", settings, tmp_path / "draft")


def test_a_gpu_that_is_not_there_is_refused(corpus_parquet, settings, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=r"device 'cuda'.*compute\.device"):
        fine_tune(corpus_parquet, settings, Draft(tmp_path), device="cuda",
                  log=lambda step, metrics, of: None)


def test_a_pretrained_folder_is_fine_tuned_from(corpus_parquet, settings, checkpoint, tmp_path):
    again = settings.model_copy(update={"checkpoint": str(checkpoint), "epochs": 1,
                                        "learning_rate": 1e-9, "warmup_fraction": 0.0})
    run(corpus_parquet, again, tmp_path / "draft")
    start = torch.from_numpy(_weights(checkpoint))
    end = torch.from_numpy(_weights(tmp_path / "draft" / "checkpoint"))
    torch.testing.assert_close(start, end, atol=1e-6, rtol=0)


def _weights(folder) -> np.ndarray:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")["model.shared.weight"]


@pytest.fixture
def batch(corpus, tokenizer, settings):
    rows = tokenize_rows(corpus, tokenizer, settings.max_tokens)
    data = MaskedRows(rows, "test", settings, mask_token=tokenizer.mask_token_id,
                      pad_token=tokenizer.pad_token_id, start_token=tokenizer.eos_token_id)
    return data, data.collate([0, 3, 45])


def test_the_reconstruction_loss_is_the_librarys_own(batch, settings, tokenizer):
    _, inputs = batch
    model = build_model(settings, tokenizer).eval()
    with torch.no_grad():
        found = sum_of_losses(model, inputs, 0.0)[0]["reconstruction"]
        library = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
                        labels=inputs["labels"]).loss
    tokens = (inputs["labels"] != -100).sum()
    torch.testing.assert_close(found / tokens, library)


def test_the_bag_loss_is_the_cross_entropy_of_a_rows_distinct_value_tokens(
        batch, settings, tokenizer):
    _, inputs = batch
    model = build_model(settings, tokenizer).eval()
    with torch.no_grad():
        found = sum_of_losses(model, inputs, 2.0)[0]["bag"]
        expected = 0.0
        for b in range(3):
            seen = inputs["attention_mask"][b].bool()
            hidden = model.get_encoder()(inputs["input_ids"][b][seen][None]).last_hidden_state
            log_odds = log_softmax(model.lm_head(hidden.mean(1))[0], dim=-1)
            bag = sorted(set(inputs["labels"][b][inputs["value_tokens"][b]].tolist()))
            length = (inputs["labels"][b] != -100).sum()
            expected += 2.0 * length * -log_odds[bag].mean()
    torch.testing.assert_close(found, expected)


def test_the_mean_loss_does_not_depend_on_how_rows_are_batched(batch, settings, tokenizer):
    data, _ = batch
    model = build_model(settings, tokenizer)
    losses = [float(summed_loss(model, data, size)) for size in (1, 7, 60)]
    assert max(losses) - min(losses) < 1e-5 * losses[0]
    assert model.training


def test_a_step_is_the_mean_over_its_tokens_however_it_is_cut(
        corpus_parquet, settings, tmp_path):
    calm = settings.model_copy(update={"dropout": 0.0, "epochs": 1})
    curves = []
    for size in (1, 8):
        cut = BartCheckpointSettings.model_validate({**calm.model_dump(), "device_batch": size})
        run(corpus_parquet, cut, tmp_path / str(size))
        curves.append(pl.read_parquet(tmp_path / str(size) / "curves.parquet")["train_loss"])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)


