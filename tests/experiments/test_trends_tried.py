"""Trends, tried: its arms differ in the norm or in the joining alone, and the gain of the mixing is what it says."""

import pytest
import torch

from resnorm_lib.experiments import get
from resnorm_lib.experiments.trends_tried import ARMS, DynamicLayerNorm, build, mixing_gain
from resnorm_lib.residual.hyper import HyperConnections

EXPERIMENT = get("trends_tried")
TOY = {"depth": 2, "dim": 8, "num_heads": 2, "context_length": 6, "batch_size": 4, "steps": 3, "windows": 32}
VOCAB_SIZE = 11


def model_of(arm):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(EXPERIMENT.config("cpu", **TOY), *ARMS[arm], VOCAB_SIZE)


def tokens():
    return torch.randint(VOCAB_SIZE, (5, 6), generator=torch.Generator().manual_seed(0))


def schemes_of(model):
    return [module for module in model.modules() if isinstance(module, HyperConnections)]


@pytest.mark.parametrize("arm", ARMS)
def test_all_arms_start_from_the_same_branches(arm):
    def branches(model):
        return {name: value for name, value in model.state_dict().items() if ".branch." in name}

    mine, others = branches(model_of(arm)), branches(model_of("LN"))
    assert mine.keys() == others.keys()
    assert all(torch.equal(mine[name], others[name]) for name in mine)


@pytest.mark.parametrize("arm", ["hyper-connections", "mHC"])
def test_streams_that_do_not_mix_are_not_enlarged(arm):
    assert mixing_gain(model_of(arm), tokens()).item() == pytest.approx(1, abs=1e-5)


def test_the_gain_is_the_largest_row_sum_of_the_product_of_all_mixings():
    model, rng = model_of("hyper-connections"), torch.Generator().manual_seed(1)
    product = torch.eye(4)
    for scheme in schemes_of(model):
        scheme.mixes.data = 0.5 * torch.randn(4, 4, generator=rng)
        product = (torch.eye(4) + scheme.mixes.data) @ product
    assert len(schemes_of(model)) == 4
    assert mixing_gain(model, tokens()).item() == pytest.approx(product.abs().sum(1).max().item(), rel=1e-5)


def test_what_a_token_decides_counts_as_well():
    model = model_of("hyper-connections")
    before = mixing_gain(model, tokens())
    for scheme in schemes_of(model):
        scheme.theta.data.fill_(0.3)
        scheme.strength.data.fill_(1)
    assert mixing_gain(model, tokens()) > before + 0.01


def test_doubly_stochastic_mixing_cannot_enlarge_a_stream():
    model, rng = model_of("mHC"), torch.Generator().manual_seed(1)
    for scheme in schemes_of(model):
        scheme.mixes.data = 6 * torch.rand(4, 4, generator=rng)
    assert mixing_gain(model, tokens()).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("preset", EXPERIMENT.presets)
def test_a_run_measures_what_its_table_shows(preset):
    toy = TOY | {"data": "pydoc", "amp": False, "learning_rates": (0.01,)}
    run = EXPERIMENT.run(EXPERIMENT.config(preset, **toy), 1, device="cpu")
    summaries = {trial.arm: set(trial.summary) for trial in run.trials}
    assert summaries.keys() == {f"{arm} at 0.01" for arm in ARMS}
    for arm in ARMS:
        streams = arm in ("hyper-connections", "mHC")
        assert summaries[f"{arm} at 0.01"] == {"val_loss", "test_loss"} | ({"gain"} if streams else set())


def test_a_rate_is_chosen_on_another_text_than_the_one_reported():
    run = EXPERIMENT.run(EXPERIMENT.config("cpu", **TOY, learning_rates=(0.01,)), 1, device="cpu", arms=["LN"])
    assert run.trials[0].summary["val_loss"] != run.trials[0].summary["test_loss"]


def test_the_gain_of_a_dynamic_norm_depends_on_its_token():
    norm, x = DynamicLayerNorm(3), torch.tensor([[1.0, 2.0, 4.0]])
    plain = torch.nn.functional.layer_norm(x, (3,), eps=1e-6)
    assert torch.allclose(norm(x), plain)  # at the start it is LN
    norm.adaptive.modulation.weight.data[3:6] = torch.eye(3)  # the rows of the gain
    assert torch.allclose(norm(x), (1 + torch.nn.functional.silu(x)) * plain)
