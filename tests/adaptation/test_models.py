import numpy as np
import pytest
import torch

from rowgraph.adaptation.models import DateScale, Head, build_model
from rowgraph.adaptation.settings import VARIANTS
from rowgraph.adaptation.variants import variant


@pytest.fixture
def build(world, shared, lab):
    def build(name, seed=0, width=1):
        torch.manual_seed(seed)
        return build_model(variant(name), world.graph.node_types, lab.DIM, width, shared,
                           lab.SETTINGS, lab.SAGE)

    return build


def parameters(model, *, trained):
    return {n for n, p in model.named_parameters() if p.requires_grad is trained}


@pytest.mark.parametrize("name", [n for n in VARIANTS if variant(n).has_gnn])
def test_only_the_shared_layers_come_from_pre_training(name, build, shared):
    model = build(name)
    same = {n: torch.equal(v, shared[n]) for n, v in model.gnn.shared_state_dict().items()}
    assert set(same.values()) == {variant(name).transfers}


def test_a_frozen_model_trains_everything_but_the_shared_layers(build, shared):
    model = build("bart_gnn_frozen")
    assert parameters(model, trained=False) == {f"gnn.convs.{n}" for n in shared}
    kinds = {n.split(".")[0] + "." + n.split(".")[1] for n in parameters(model, trained=True)}
    assert {"gnn.projections"} | {k for k in kinds if k.startswith(("date", "head"))} == kinds
    assert not parameters(build("bart_gnn_finetuned"), trained=False)


def test_equal_seeds_give_variants_the_same_fresh_weights(build):
    frozen, scratch = build("bart_gnn_frozen").state_dict(), build("bart_gnn_scratch").state_dict()
    fresh = [n for n in frozen if not n.startswith("gnn.convs")]
    assert all(torch.equal(frozen[n], scratch[n]) for n in fresh)
    other = build("bart_gnn_scratch", seed=1).state_dict()
    assert not any(torch.equal(scratch[n], other[n]) for n in fresh)


def test_the_head_reads_the_gnn_output_itself_beside_32_date_dimensions(build, lab):
    assert build("bart_gnn_finetuned").head[0].in_features == lab.SAGE.hidden + 32
    assert build("bart_head").head[0].in_features == lab.DIM + 32
    assert build("bart_head").gnn is None


def test_the_head_has_three_linear_layers_with_relu_and_dropout():
    kinds = [type(layer).__name__ for layer in Head(8, 4, 0.1)]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]


def test_the_head_is_as_wide_as_its_answer(build):
    assert build("bart_head").head[-1].out_features == 1
    assert build("bart_gnn_frozen", width=3).head[-1].out_features == 3


def test_dates_are_counted_in_deviations_of_the_training_dates(lab):
    times = lab.DAY * np.array([0, 10, 20, 30])
    scale = DateScale.fit(times)
    numbers = scale(times)
    assert numbers.dtype == torch.float32
    assert numbers[:, 0].mean().item() == pytest.approx(0, abs=1e-6)
    assert numbers[:, 0].std(correction=0).item() == pytest.approx(1)
    later = scale(times + 1000 * lab.DAY)
    assert (later[:, 0] > numbers[:, 0].max()).all()  # a test date is told from training dates


def test_a_year_later_is_the_same_time_of_year(lab):
    now = np.array([12_345 * lab.DAY])
    year = round(365.2425 * lab.DAY)
    scale = DateScale.fit(np.array([0, lab.DAY]))
    assert torch.allclose(scale(now)[:, 1:], scale(now + year)[:, 1:], atol=1e-4)
    assert not torch.allclose(scale(now)[:, 1:], scale(now + year // 2)[:, 1:], atol=1e-1)


def test_one_training_date_is_enough(lab):
    assert torch.isfinite(DateScale.fit(np.array([lab.DAY] * 3))(np.array([lab.DAY]))).all()
