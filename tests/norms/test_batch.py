"""Norms of batches: running statistics for evaluation, and which entries depend on each other."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from resnorm_lib import reference
from resnorm_lib.norms import BatchNorm, BatchRenorm, GhostBatchNorm, InstanceNorm


def batches(*shape, count=5):
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(shape, generator=generator) * (i + 1) + i for i in range(count)]


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, None])
@pytest.mark.parametrize(("twin", "shape"), [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm2d, (4, 3, 2, 2))])
def test_running_statistics_follow_torch(twin, shape, momentum):
    ours, theirs = BatchNorm(3, momentum=momentum), twin(3, momentum=momentum)
    for x in batches(*shape):
        assert torch.equal(ours(x), theirs(x))
    rtol = None if momentum is None else 0  # the average forms 1/n in float32, torch in float64
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=rtol, atol=rtol)
    assert ours.num_batches_tracked == 5


def test_running_statistics_equal_the_numpy_twin_with_its_unbiased_variance():
    norm, running = BatchNorm(3, momentum=0.3).double(), (np.zeros(3), np.ones(3))
    for x in batches(4, 3, 2):
        norm(x.double())
        running = reference.batch_norm_running(x.numpy(), running, 0.3)
    for computed, expected in zip((norm.running_mean, norm.running_var), running):
        np.testing.assert_allclose(computed.numpy(), expected, rtol=1e-14)


def test_without_momentum_the_statistics_are_the_average_of_all_batches():
    norm, seen = BatchNorm(3, momentum=None).double(), [x.double() for x in batches(6, 3)]
    for x in seen:
        norm(x)
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var(0) for x in seen]).mean(0))


@pytest.mark.parametrize(
    "norm", [BatchNorm(3), GhostBatchNorm(3, 2), BatchRenorm(3), InstanceNorm(3, track_running_stats=True)]
)
def test_evaluation_changes_no_statistics_and_is_affine_in_its_input(norm):
    norm = copy.deepcopy(norm)
    for x in batches(6, 3, 4):
        norm(x)
    norm.eval()
    before = copy.deepcopy(norm.state_dict())
    x, z = batches(6, 3, 4, count=2)
    torch.testing.assert_close(norm((x + z) / 2), (norm(x) + norm(z)) / 2)
    torch.testing.assert_close(norm.state_dict(), before, rtol=0, atol=0)


def test_evaluation_of_batch_norm_equals_its_numpy_twin():
    norm = BatchNorm(3).double()
    x, z = (b.double() for b in batches(6, 3, 2, count=2))
    norm(x)
    norm.eval()
    running = norm.running_mean.numpy(), norm.running_var.numpy()
    y, cache = reference.batch_norm_forward(z.numpy(), norm.weight.detach(), norm.bias.detach(), running=running)
    z.requires_grad_()
    computed = norm(z)
    computed.backward(x)
    np.testing.assert_allclose(computed.detach().numpy(), y, rtol=1e-13)
    np.testing.assert_allclose(z.grad.numpy(), reference.batch_norm_backward(x.numpy(), cache)[0], rtol=1e-13)


def test_untracked_statistics_are_those_of_the_batch_in_evaluation_too():
    norm, (x,) = BatchNorm(3, track_running_stats=False), batches(6, 3, count=1)
    assert torch.equal(norm.train()(x), norm.eval()(x))
    with pytest.raises(ValueError, match="each channel needs at least two entries"):
        norm(x[:1])


def test_a_channel_depends_on_no_other_channel():
    x, norm = batches(6, 3, count=1)[0], BatchNorm(3)
    changed = x.clone()
    changed[:, 1] = 7 * changed[:, 1] + 100
    assert torch.equal(norm(x)[:, [0, 2]], norm(changed)[:, [0, 2]])


def test_closed_limits_make_batch_renorm_batch_norm():
    for x in batches(6, 3, 2):
        torch.testing.assert_close(BatchRenorm(3, r_max=1, d_max=0)(x), BatchNorm(3)(x))


def test_within_its_limits_batch_renorm_trains_on_what_it_evaluates():
    norm = BatchRenorm(3, r_max=100, d_max=100).double()
    for x in batches(6, 3, 2):
        z = x.double()
        expected = norm.eval()(z)  # before training moves the statistics
        torch.testing.assert_close(norm.train()(z), expected)


def test_batch_renorm_clips_and_moves_its_statistics():
    norm, (x,) = BatchRenorm(3, r_max=1.5, d_max=0.5, momentum=0.25).double(), batches(6, 3, count=1)
    x = 10 * x.double() + 100
    mean, std = x.mean(0), (x.var(0, correction=0) + norm.eps).sqrt()
    torch.testing.assert_close(norm(x).detach(), 1.5 * (x - mean) / std + 0.5)
    torch.testing.assert_close(norm.running_mean, 0.25 * mean)
    torch.testing.assert_close(norm.running_std, 0.75 + 0.25 * std)


def test_batch_renorm_passes_no_gradient_through_its_correction():
    """Within the limits y is (x - mu) / sigma of the running statistics, yet its gradient is orthogonal to 1 and x."""
    norm, (x,) = BatchRenorm(3, r_max=100, d_max=100, affine=False).double(), batches(6, 3, count=1)
    x = x.double().requires_grad_()
    dy = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    norm(x).backward(dy)
    assert x.grad.sum(0).abs().max() < 1e-12
    assert ((x - x.mean(0)) * x.grad).sum(0).abs().max() < 1e-4  # up to eps


@pytest.mark.parametrize("training", [True, False])
def test_tracking_instance_norm_follows_torch(training):
    ours, theirs = InstanceNorm(3, affine=True, track_running_stats=True), nn.InstanceNorm1d(3, affine=True)
    theirs = nn.InstanceNorm1d(3, affine=True, track_running_stats=True)
    for x in batches(4, 3, 5):
        assert torch.equal(ours(x), theirs(x))
    ours.train(training), theirs.train(training)
    assert torch.equal(ours(x), theirs(x))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_bfloat16_running_statistics_move():
    norm, (x,) = BatchNorm(3).bfloat16(), batches(64, 3, count=1)
    norm(x.bfloat16() + 1)
    torch.testing.assert_close(norm.running_mean.float(), 0.1 * (x + 1).mean(0), rtol=2.0**-7, atol=2.0**-9)
