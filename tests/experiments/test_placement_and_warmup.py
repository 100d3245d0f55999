"""Placement and warm-up: what its arms are, what its measures mean, and both presets at toy size."""

import math

import pytest
import torch
from torch.nn import functional as F

from resnorm_lib.engine import tables
from resnorm_lib.engine.recipe import rate
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments import placement_and_warmup as placement
from resnorm_lib.experiments.placement_and_warmup import EXPERIMENT, build
from resnorm_lib.experiments.placement_and_warmup.context_gain import (
    context_loss,
    output_without_layer,
    spread,
    unigram_loss,
)
from resnorm_lib.residual.heavy_shortcut import DeepNorm
from resnorm_lib.residual.placement import PostNorm

VOCAB_SIZE = 11
RISES = ("loss_rise_without_layer", "context_loss_rise")


def toy(**settings):
    sizes = {
        "depths": (2,),
        "extra_depths": (3,),
        "dim": 8,
        "num_heads": 2,
        "context_length": 6,
        "batch_size": 4,
        "steps": 4,
    }
    return EXPERIMENT.config("cpu", **(sizes | {"warmup": 2, "test_batches": 2} | settings))


def model_of(kind, config=None):
    config = config or toy()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(config, EXPERIMENT.arms(config)[kind], VOCAB_SIZE)


def tokens():
    return torch.randint(VOCAB_SIZE, (5, 6), generator=torch.Generator().manual_seed(0))


def test_an_arm_and_its_twin_with_warmup_start_from_the_same_weights():
    for kind in ("post", "pre"):
        plain, slow = (model_of(f"{kind}{end}-2").state_dict() for end in ("", "-warmup"))
        assert plain.keys() == slow.keys()
        assert all(torch.equal(plain[name], slow[name]) for name in plain)


def test_only_the_rate_of_the_first_steps_differs():
    config = toy(warmup=4, lr=0.1)
    slow, plain = config.recipe(True), config.recipe(False)
    assert [rate(slow, step) for step in range(5)] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
    assert [rate(plain, step) for step in range(5)] == [0.1] * 5


def test_post_and_pre_have_the_same_parameters_but_for_the_last_norm():
    sizes = [sum(p.numel() for p in model_of(kind).parameters()) for kind in ("post-2", "pre-2", "deepnorm-2")]
    assert sizes[1] - sizes[0] == 2 * toy().dim
    assert sizes[2] == sizes[0]


def test_deepnorm_differs_from_post_in_its_two_factors_alone():
    heavy = model_of("deepnorm-2")
    light = model_of("post-2")
    assert all(type(block.scheme) is DeepNorm for block in heavy.blocks)
    assert all(type(block.scheme) is PostNorm for block in light.blocks)
    assert heavy.blocks[0].scheme.alpha == pytest.approx(4**0.25)  # 2 layers, 4 branches
    ratio = heavy.blocks[1].branch.output_projection.weight / light.blocks[1].branch.output_projection.weight
    assert ratio.allclose(torch.tensor(16**-0.25))


def test_rezero_starts_as_a_model_without_layers():
    model, x = model_of("rezero-2"), tokens()
    assert torch.equal(model.features(x), model.embedding(x))


@pytest.mark.parametrize("kind", placement.KINDS)
def test_leaving_out_no_layer_is_the_model_itself(kind):
    model, x = model_of(f"{kind}-2"), tokens()
    torch.testing.assert_close(output_without_layer(model, None, x), model(x))


def test_leaving_out_a_layer_is_the_model_with_its_branches_at_zero():
    model, x = model_of("pre-2"), tokens()
    without = output_without_layer(model, 1, x)
    for block in (model.blocks[2], model.blocks[3]):
        torch.nn.init.zeros_(block.branch.output_projection.weight)
    torch.testing.assert_close(without, model(x))


def test_the_first_norm_of_peri_stays_when_the_first_layer_is_left_out():
    model, x = model_of("peri-2"), tokens()
    state = model.blocks[0].scheme.norm_in(model.embedding(x))
    for block in (model.blocks[2], model.blocks[3]):
        state = block(state)
    torch.testing.assert_close(output_without_layer(model, 0, x), model.head(model.final_norm(state)))


def test_the_context_loss_is_the_least_that_a_constant_can_reach():
    """At its constant the loss is convex and flat; 4 does not occur among the targets, and no other is worth less."""
    generator = torch.Generator().manual_seed(0)
    output, target = torch.randn(3, 40, 5, generator=generator), torch.randint(4, (3, 40), generator=generator)
    best, bias = context_loss(output, target, rounds=200), torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy((output + bias).flatten(0, 1), target.flatten())
        loss.backward()
        return loss

    optimizer.step(closure)
    assert closure().item() == pytest.approx(best.item(), abs=1e-5)
    assert context_loss(output, target).item() == pytest.approx(best.item(), abs=1e-4)
    assert best < F.cross_entropy(output.flatten(0, 1), target.flatten())


def test_without_context_the_context_loss_is_the_entropy():
    target = torch.tensor([[0, 0, 0, 2], [2, 4, 0, 0]])
    for logits in 3 * torch.randn(5, 6, generator=torch.Generator().manual_seed(0)):
        assert context_loss(logits.expand(2, 4, 6), target).item() == pytest.approx(unigram_loss(target).item())


def test_the_spread_is_the_share_that_tokens_do_not_have_in_common():
    generator = torch.Generator().manual_seed(0)
    common, own = torch.randn(6, generator=generator), torch.randn(200, 6, generator=generator)
    own -= own.mean(0)
    share = own.square().sum(-1).mean() / (own.square().sum(-1).mean() + common.square().sum())
    assert spread((common + own).reshape(4, 50, 6)).item() == pytest.approx(share.item(), rel=1e-5)


def test_no_constant_prediction_beats_the_entropy():
    targets = torch.tensor([[0, 0, 0, 2], [2, 4, 0, 0]])
    entropy = unigram_loss(targets).item()
    assert entropy == pytest.approx(-(5 / 8 * math.log(5 / 8) + 2 / 8 * math.log(2 / 8) + 1 / 8 * math.log(1 / 8)))
    generator = torch.Generator().manual_seed(0)
    for logits in 3 * torch.randn(50, 5, generator=generator):
        assert F.cross_entropy(logits.expand(8, 5), targets.flatten()).item() > entropy


def test_both_presets_name_their_arms_and_papers_arms_exist():
    for preset in ("cpu", "gpu"):
        chosen = EXPERIMENT.arms(EXPERIMENT.config(preset))
        assert list(chosen)[:3] == ["post-6", "post-warmup-6", "pre-6"]
        assert {arm for arm, _ in EXPERIMENT.paper} <= set(chosen)
        assert all(arm.dim % EXPERIMENT.config(preset).num_heads == 0 for arm in chosen.values())
    assert "deepnorm-100" in EXPERIMENT.arms(EXPERIMENT.config("gpu"))


def test_the_rises_without_a_layer_are_those_of_the_loss_and_of_the_context_loss():
    config, model, x = toy(), model_of("pre-2").eval(), tokens()
    log = TrialLog("pre-2", 0, torch.device("cpu"))
    placement.log_layer_removal(config, EXPERIMENT.arms(config)["pre-2"], model, x, x, log)
    for layer, (_, rise), (_, context_rise) in zip(range(2), *(log.points[name] for name in RISES), strict=True):
        whole, less = (output_without_layer(model, left_out, x) for left_out in (None, layer))
        entropy = [F.cross_entropy(output.flatten(0, -2), x.flatten()) for output in (less, whole)]
        assert float(rise) == pytest.approx(float(entropy[0] - entropy[1]), abs=1e-6)
        assert float(context_rise) == pytest.approx(float(context_loss(less, x) - context_loss(whole, x)), abs=1e-6)
        assert abs(float(rise - context_rise)) > 1e-4, "else the test would not see them exchanged"


def check(run, arms, with_rises):
    assert run.arms == arms
    for trial in run.trials:
        depth = int(trial.arm.rsplit("-", 1)[1])
        assert all(trial.summary[name] is not None for name in EXPERIMENT.metrics)
        for rise in RISES:
            assert trial.metrics.get(rise, {}).get("step") == (list(range(depth)) if depth == with_rises else None)
        assert trial.metrics["spread"]["step"][0] == 0
        assert trial.metrics["spread"]["step"][-1] == len(trial.metrics["loss"]["step"])
    assert tables.summary(EXPERIMENT, run)


def test_every_arm_of_the_cpu_preset_runs():
    check(EXPERIMENT.run(toy()), list(EXPERIMENT.arms(toy())), with_rises=2)


@pytest.mark.parametrize("amp", [False, True])
def test_the_gpu_preset_runs_at_toy_size(amp, tmp_path, monkeypatch):
    (tmp_path / "tinyshakespeare.txt").write_text("To be, or not to be: that is the question.\n" * 20, encoding="utf-8")
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    small = {
        "depths": (1,),
        "extra_depths": (2,),
        "deepest_depth": 3,
        "dim": 12,
        "deepest_dim": 6,
        "num_heads": 3,
        "context_length": 8,
    }
    config = EXPERIMENT.config("gpu", **small, batch_size=4, steps=3, warmup=2, test_batches=2, amp=amp)
    run = EXPERIMENT.run(config, preset="gpu", device="cpu")
    check(run, list(EXPERIMENT.arms(config)), with_rises=1)
    assert "rezero-3" in run.arms


def test_a_run_repeats_itself_and_leaves_subnormal_numbers_as_they_were():
    first, second = (EXPERIMENT.run(toy(), arms=["post-2"]).trials[0] for _ in range(2))
    assert (first.metrics, first.summary) == (second.metrics, second.summary)
    assert (torch.tensor([1e-39]) * 0.5).item() > 0
