"""The loop that all experiments share, against numbers worked out by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnorm_lib import norms
from resnorm_lib.engine.recipe import Recipe, make_optimizer, rate
from resnorm_lib.engine.training import endless, evaluate, fit, fix_statistics
from resnorm_lib.engine.trial_log import Diverged, TrialLog

CPU = torch.device("cpu")


def data(n=12, features=3, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, features, generator=generator), torch.randint(classes, (n,), generator=generator)


def model(seed=0, *layers):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(*layers or (nn.Linear(3, 4),))


def test_the_rate_warms_up_and_follows_its_schedule():
    assert [rate(Recipe(1.0, 8, warmup=4), step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    cosine = Recipe(2.0, 10, schedule="cosine")
    assert rate(cosine, 0) == 2.0
    assert rate(cosine, 5) == pytest.approx(1.0)
    assert 0 < rate(cosine, 9) < 0.06
    steps = Recipe(1.0, 8, schedule="steps")
    assert [rate(steps, step) for step in (0, 3, 4, 5, 6, 7)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    with pytest.raises(ValueError, match="schedule is 'cos'"):
        rate(Recipe(1.0, 8, schedule="cos"), 0)


def test_three_steps_of_sgd_are_those_of_the_formula():
    x, y = data()
    trained, twin = model(), model()
    log = TrialLog("arm", 0, CPU)
    fit(trained, endless(lambda: [(x, y)]), Recipe(0.1, 3, momentum=0.9, weight_decay=0.01), log, every=1)
    velocity = [torch.zeros_like(p) for p in twin.parameters()]
    losses = []
    for _ in range(3):
        loss = F.cross_entropy(twin(x), y)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        with torch.no_grad():
            for place, (p, g) in enumerate(zip(twin.parameters(), gradients)):
                velocity[place] = 0.9 * velocity[place] + g + 0.01 * p
                p -= 0.1 * velocity[place]
    for p, q in zip(trained.parameters(), twin.parameters()):
        torch.testing.assert_close(p, q)
    assert log.trial(0.0).metrics["loss"]["value"] == pytest.approx(losses, rel=1e-5)


def test_weight_decay_of_adamw_falls_on_matrices_alone():
    net = model(0, nn.Linear(3, 4), nn.LayerNorm(4))
    groups = make_optimizer(net, Recipe(0.1, 1, optimizer="adamw", weight_decay=0.5)).param_groups
    assert {group["weight_decay"]: [p.dim() for p in group["params"]] for group in groups} == {0.5: [2], 0.0: [1, 1, 1]}
    with pytest.raises(ValueError, match="optimizer is 'adams'"):
        make_optimizer(net, Recipe(0.1, 1, optimizer="adams"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_fused_optimizer_takes_the_same_steps(optimizer):
    x, y = data()
    nets = model(), model()
    for net, fused in zip(nets, (False, True)):
        recipe = Recipe(0.1, 5, optimizer=optimizer, weight_decay=0.1, warmup=3, fused=fused)
        fit(net, endless(lambda: [(x, y)]), recipe, TrialLog("arm", 0, CPU))
    torch.testing.assert_close(nets[1].state_dict(), nets[0].state_dict())


def test_gradients_are_clipped_to_their_norm():
    x, y = data()
    free, clipped = model(), model()
    for net, clip in ((free, None), (clipped, 1e-3)):
        start = [p.detach().clone() for p in net.parameters()]
        fit(net, endless(lambda: [(x, y)]), Recipe(1.0, 1, momentum=0.0, clip=clip), TrialLog("arm", 0, CPU))
        moved = math.sqrt(sum((p - q).square().sum().item() for p, q in zip(net.parameters(), start)))
        assert (moved == pytest.approx(1e-3, rel=1e-3)) == (clip is not None)


def test_a_loss_that_is_not_finite_ends_the_training():
    x, y = data()
    log = TrialLog("arm", 0, CPU)
    with pytest.raises(Diverged):
        fit(model(), endless(lambda: [(x * math.inf, y)]), Recipe(0.1, 200), log)
    assert log.diverged == 49


def test_what_is_to_be_done_at_a_step_is_done_there():
    x, y = data()
    seen = []
    at = {2: lambda net: seen.append(("two", net)), 3: lambda net: seen.append(("three", net))}
    net = model()
    fit(net, endless(lambda: [(x, y)]), Recipe(0.1, 3), TrialLog("arm", 0, CPU), at=at)
    assert seen == [("two", net), ("three", net)]


def test_an_evaluation_is_the_mean_over_all_samples_in_evaluation_mode():
    x, y = data(13)
    net = model(0, nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    net[1].running_mean.fill_(0.3)
    net.train()
    loss, error = evaluate(net, [(x[:5], y[:5]), (x[5:], y[5:])])
    assert net.training
    net.eval()
    assert loss.item() == pytest.approx(F.cross_entropy(net(x), y).item(), rel=1e-6)
    assert error.item() == pytest.approx((net(x).argmax(1) != y).double().mean().item())


def test_tokens_count_like_images():
    x, y = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    loss, error = evaluate(nn.Identity(), [(x, y)])
    assert loss.item() == pytest.approx(F.cross_entropy(x.reshape(10, 7), y.reshape(10)).item(), rel=1e-6)
    assert error.item() == pytest.approx((x.argmax(-1) != y).double().mean().item())


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, norms.BatchNorm])
def test_fixed_statistics_are_those_of_the_whole_set(norm):
    x, _ = data(40)
    net = model(0, norm(3, momentum=0.2), nn.Linear(3, 4), norm(4))
    net.eval()
    fix_statistics(net, x.split(10))
    assert not net.training
    assert net[0].momentum == 0.2
    torch.testing.assert_close(net[0].running_mean, x.mean(0))
    variances = torch.stack([part.var(0) for part in x.split(10)])
    torch.testing.assert_close(net[0].running_var, variances.mean(0))
    assert not torch.equal(net[2].running_mean, torch.zeros(4)), "the second layer is reached too"


def test_batch_renormalization_is_fixed_too_and_keeps_its_limits():
    """Mean and deviation are averages over the batches, and the next layer sees what batch normalization gives it."""
    x, _ = data(40)
    parts = x.split(10)
    net = model(0, norms.BatchRenorm(3, momentum=0.2), nn.Linear(3, 4), norms.BatchRenorm(4, r_max=2.0, d_max=1.0))
    fix_statistics(net, parts)
    deviations = [(part.var(0, correction=0) + 1e-5).sqrt() for part in parts]
    torch.testing.assert_close(net[0].running_mean, x.mean(0))
    torch.testing.assert_close(net[0].running_std, torch.stack(deviations).mean(0))
    inputs = [net[1]((part - part.mean(0)) / deviation) for part, deviation in zip(parts, deviations)]
    torch.testing.assert_close(net[2].running_mean, torch.stack([h.mean(0) for h in inputs]).mean(0))
    assert [(layer.momentum, layer.r_max, layer.d_max) for layer in (net[0], net[2])] == [(0.2, 3.0, 5.0), (0.01, 2, 1)]
    assert net.training


@pytest.mark.parametrize("norm", [nn.InstanceNorm1d, norms.InstanceNorm])
def test_norms_that_cannot_average_by_themselves_are_fixed_too(norm):
    x = torch.randn(12, 3, 5, generator=torch.Generator().manual_seed(0))
    net = nn.Sequential(norm(3, track_running_stats=True))
    fix_statistics(net, x.split(4))
    torch.testing.assert_close(net[0].running_mean, x.mean((0, 2)))


def test_ghosts_count_each_part_when_statistics_are_fixed():
    x, _ = data(12)
    net = nn.Sequential(norms.GhostBatchNorm(3, 2))
    fix_statistics(net, (x[:8], x[8:]))
    torch.testing.assert_close(net[0].running_var, torch.stack([part.var(0) for part in x.split(2)]).mean(0))


def test_streams_of_a_trial_are_its_own():
    first, other = TrialLog("arm", 0, CPU), TrialLog("arm", 1, CPU)
    draw = lambda log, stream: torch.rand(3, generator=log.generator(stream)).tolist()  # noqa: E731
    assert draw(first, 1) == draw(TrialLog("another", 0, CPU), 1)
    values = [draw(log, stream) for log in (first, other) for stream in range(10)]
    assert len({tuple(value) for value in values}) == 20
