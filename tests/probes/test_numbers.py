"""Every number of a report against a closed form, or against the same thing computed another way in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from resnorm_lib import norms
from resnorm_lib.probes import probe, statistics
from tests.probes.networks import GPT, Block, Functional, Rescale

WEIGHTS = (1.0, -0.5, 2.0)
UNIT = 2.0**-53  # of roundoff in float64


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


class Times(nn.Linear):
    """Multiplication of every feature by one number."""

    def __init__(self, number, dim=4):
        super().__init__(dim, dim, bias=False, dtype=torch.float64)
        self.weight.data = number * torch.eye(dim, dtype=torch.float64)


def linear_net():
    return nn.Sequential(*[Block(Times(weight)) for weight in WEIGHTS])


def test_three_linear_blocks_in_closed_form():
    """h_l is the product of (1 + w_k), k <= l, times x; the gradient of the sum of h_3 is that of the others, k > l."""
    x = torch.tensor([[3.0, 1.0, 1.0, 1.0], [0.0, 0.0, 4.0, 4.0]], dtype=torch.float64).requires_grad_()
    (stream,) = probe(linear_net(), x, torch.sum).streams
    x_rms, x_mean = math.sqrt(44 / 8), 14 / 8
    for point, before, after in zip(stream.points, (1, 2, 1, 3), (3, 1.5, 3, 1), strict=True):
        assert point.rms == pytest.approx(before * x_rms, rel=8 * UNIT)
        assert point.mean == pytest.approx(before * x_mean, rel=8 * UNIT)
        assert point.gradient_norm == pytest.approx(after * math.sqrt(8), rel=8 * UNIT)
        assert point.gradient_correlation == pytest.approx(1, rel=8 * UNIT)
        assert point.token_rank is None
    for point, weight in zip(stream.points[1:], WEIGHTS, strict=True):
        assert point.branch_ratio == pytest.approx(abs(weight), rel=8 * UNIT)
        assert point.cosine == pytest.approx(math.copysign(1, weight), rel=8 * UNIT)


def test_a_scaled_sum_counts_the_branch_as_it_is_added():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = Times(3.0)

        def forward(self, x):
            return torch.add(x, self.branch(x), alpha=-2)

    point = probe(Scaled(), draw(3, 4)).streams[0].points[1]
    assert (point.branch_ratio, point.cosine) == pytest.approx((6, -1), rel=16 * UNIT)


def test_gradient_correlation_of_known_directions():
    """The gradients of the samples are the rows of the target: two at a right angle, two opposite, one lost."""
    for rows, mean_cosine in (
        ([[3, 0, 0, 0], [0, 5, 0, 0]], 0),
        ([[3, 0, 0, 0], [-7, 0, 0, 0]], -1),
        ([[1, 0, 0, 0], [1, 0, 0, 0], [0, 2, 0, 0]], 1 / 3),
        ([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], math.sqrt(0.5)),  # the sample without a gradient does not count
    ):
        x = draw(len(rows), 4).requires_grad_()
        target = torch.tensor(rows, dtype=torch.float64)
        points = probe(linear_net(), (x, target), lambda y, target: (y * target).sum()).streams[0].points
        assert [p.gradient_correlation for p in points] == pytest.approx([mean_cosine] * 4, abs=16 * UNIT)


def test_one_sample_has_no_correlation():
    points = probe(linear_net(), draw(1, 4).requires_grad_(), torch.sum).streams[0].points
    assert [point.gradient_correlation for point in points] == [None] * 4


@pytest.mark.parametrize(
    ("tokens", "rank"),
    [
        (torch.ones(3, 4), 1),
        (torch.eye(3, 4), 3),
        (torch.diag(torch.tensor([2.0, 1.0, 0, 0])), (4 + 1) ** 2 / (16 + 1)),
    ],
)
def test_token_rank_of_known_matrices(tokens, rank):
    x = tokens.double().expand(2, *tokens.shape)
    assert [p.token_rank for p in probe(linear_net(), x).streams[0].points] == pytest.approx([rank] * 4, rel=32 * UNIT)


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=3, max_dims=4, max_side=5), elements=st.floats(-9, 9)))
@settings(max_examples=50, deadline=None)
def test_token_rank_is_that_of_the_singular_values_and_bounds_the_stable_rank(x):
    assume((np.abs(x).reshape(len(x), -1).max(1) > 1e-3).all())
    matrices = x.reshape(len(x), -1, x.shape[-1])
    sigma = np.linalg.svd(matrices, compute_uv=False)
    ranks = (sigma**2).sum(1) ** 2 / (sigma**4).sum(1)
    measured = statistics.token_rank(torch.tensor(x), 0, x.ndim - 1).item()
    assert measured == pytest.approx(ranks.mean(), rel=1e-10)
    stable = ((sigma**2).sum(1) / sigma.max(1) ** 2).mean()
    assert stable * (1 - 1e-10) <= measured <= min(matrices.shape[1:]) * (1 + 1e-10)


def stream_by_hand(model, tokens):
    """Run a GPT block by block; return the stream, the branches, and the gradients of the stream, all of them kept."""
    x = model.wte(tokens) + model.wpe(torch.arange(tokens.shape[1]).expand(tokens.shape))
    stream, branches = [x], []
    for block in model.h:
        for branch, norm in ((block.attn, block.ln_1), (block.mlp, block.ln_2)):
            branches.append(branch(norm(stream[-1])))
            stream.append(stream[-1] + branches[-1])
    loss = F.cross_entropy(model.head(model.ln_f(stream[-1])).flatten(0, 1), tokens.flatten())
    gradients = torch.autograd.grad(loss, stream)
    return [[y.detach().numpy() for y in part] for part in (stream, branches, gradients)]


def cross_entropy(output, target):
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


@pytest.mark.parametrize("recompute", [None, "reentrant", "plain"])
def test_every_statistic_of_a_gpt_against_numpy(recompute):
    torch.manual_seed(0)
    model = GPT(recompute=recompute).double()
    tokens = torch.randint(30, (4, 7), generator=torch.Generator().manual_seed(1))
    points = probe(model, (tokens, tokens), cross_entropy).streams[0].points
    stream, branches, gradients = stream_by_hand(model, tokens)
    for point, h, g in zip(points, stream, gradients, strict=True):
        assert point.rms == pytest.approx(np.sqrt(np.mean(h**2)), rel=1e-12)
        assert point.mean == pytest.approx(h.mean(), rel=1e-9)
        assert point.gradient_norm == pytest.approx(np.linalg.norm(g), rel=1e-12)
        rows = [sample.ravel() / np.linalg.norm(sample) for sample in g]
        pairs = [rows[i] @ rows[j] for i in range(4) for j in range(4) if i != j]
        assert point.gradient_correlation == pytest.approx(np.mean(pairs), rel=1e-9)
        sigma = np.linalg.svd(h, compute_uv=False)
        assert point.token_rank == pytest.approx(((sigma**2).sum(1) ** 2 / (sigma**4).sum(1)).mean(), rel=1e-11)
    for point, h, b in zip(points[1:], stream, branches, strict=False):
        assert point.branch_ratio == pytest.approx(np.linalg.norm(b) / np.linalg.norm(h), rel=1e-12)
        assert point.cosine == pytest.approx((h * b).sum() / np.linalg.norm(h) / np.linalg.norm(b), rel=1e-9)
        rms = np.hypot(np.linalg.norm(h), np.linalg.norm(b)) ** 2 + 2 * (h * b).sum()
        assert points[point.depth].rms == pytest.approx(math.sqrt(rms / h.size), rel=1e-12)


def test_the_gradient_at_a_sum_is_the_one_before_an_activation_in_place():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = Times(-0.25), Times(0.5)

        def forward(self, x):
            x = x * 1.0
            out = self.a(x)
            out += x
            out = F.relu(out, inplace=True)
            out = out + self.b(out)
            return out.relu_()

    x = torch.tensor([[4.0, -4.0, 8.0, -1.0]] * 2, dtype=torch.float64).requires_grad_()
    points = probe(InPlace(), x, torch.sum).streams[0].points
    assert [p.rms for p in points] == pytest.approx(
        [math.sqrt(97 / 4) * f for f in (1, 0.75)] + [math.sqrt(80 / 4) * 1.125]
    )
    assert [p.gradient_norm for p in points] == pytest.approx([1.125 * 2, 1.5 * 2, math.sqrt(4)])


def slope_by_autograd(norm, x, sigma):
    """Root mean square of weight over sigma, with sigma given for every entry of x."""
    weight = norm.weight.detach() if getattr(norm, "weight", None) is not None else torch.ones(())
    shape = [1] * x.dim()
    if weight.dim():
        shape[1 if x.dim() == 4 else -1] = -1
    return (weight.reshape(shape) / sigma).square().expand_as(x).mean().sqrt().item()


ROWS, IMAGES = (6, 5, 8), (4, 8, 3, 3)
GAINS = [
    (nn.LayerNorm(8), ROWS, lambda x: x.var(-1, correction=0, keepdim=True) + 1e-5),
    (norms.LayerNorm(8), ROWS, lambda x: x.var(-1, correction=0, keepdim=True) + 1e-5),
    (nn.RMSNorm(8, eps=0.1), ROWS, lambda x: x.square().mean(-1, keepdim=True) + 0.1),
    (norms.RMSNorm(8, eps=0.1), ROWS, lambda x: x.square().mean(-1, keepdim=True) + 0.1),
    (Rescale(8), ROWS, lambda x: x.square().mean(-1, keepdim=True) + 1e-6),
    (nn.BatchNorm2d(8), IMAGES, lambda x: x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5),
    (norms.BatchNorm(8), IMAGES, lambda x: x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5),
    (nn.BatchNorm2d(8, track_running_stats=True).eval(), IMAGES, lambda x: torch.ones(1, 8, 1, 1) + 1e-5),
    (
        nn.GroupNorm(2, 8),
        IMAGES,
        lambda x: (x.unflatten(1, (2, 4)).var((2, 3, 4), correction=0) + 1e-5).repeat_interleave(4, 1)[..., None, None],
    ),
    (nn.InstanceNorm2d(8, affine=True), IMAGES, lambda x: x.var((2, 3), correction=0, keepdim=True) + 1e-5),
    (norms.ScaleNorm(8), ROWS, None),
    (nn.LocalResponseNorm(2), IMAGES, None),
]


@pytest.mark.parametrize(("norm", "shape", "variance"), GAINS, ids=[type(case[0]).__name__ for case in GAINS])
def test_gain_and_slope_of_each_norm(norm, shape, variance):
    x = 3 + 2 * draw(*shape, dtype=torch.float32)
    if getattr(norm, "weight", None) is not None:
        norm.weight.data = draw(8, seed=1, dtype=torch.float32)
    (row,) = probe(nn.Sequential(norm), x).norms
    y = norm(x).detach()
    assert row.module == "0"
    assert row.gain == pytest.approx((y.norm() / x.norm()).item(), rel=1e-5)
    if variance is not None:
        assert row.slope == pytest.approx(slope_by_autograd(norm, x, variance(x).sqrt()), rel=1e-4)


def test_a_norm_of_unknown_make_that_centres_has_a_gain_and_no_slope():
    class MyNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(4))

        def forward(self, x):
            return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True) + self.bias

    (row,) = probe(MyNorm(), draw(5, 4, dtype=torch.float32)).norms
    assert (row.kind, row.slope) == ("MyNorm", None)
    assert row.gain > 0


def test_post_norm_gains_say_what_the_norm_takes_away():
    model = Functional(dim=6, depth=3).double()
    report = probe(model, draw(5, 6))
    for norm, point in zip(report.norms, report.streams[0].points[1:], strict=True):
        assert norm.gain * point.rms == pytest.approx(1, rel=1e-4)  # what comes out has rms 1, but for eps


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4), (5, 4, 2, 2)])
@pytest.mark.parametrize("relu", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()])
def test_dead_units_are_zero_for_every_row_token_and_pixel(shape, relu):
    x = -torch.ones(shape)
    features = x.movedim(1 if len(shape) == 4 else -1, 0)
    features[0] = 1.0  # one unit alive everywhere, one once, two never
    features[1][2] = 0.5
    (row,) = probe(nn.Sequential(relu), x).units
    assert (row.units, row.dead) == (4, 0.5)


def test_half_precision_is_summed_in_float32():
    x = torch.full((64, 1024), 3.0, dtype=torch.bfloat16)  # in bfloat16 a sum of ones stops at 256
    points = probe(nn.Sequential(Block(Times(1.0, 1024).bfloat16())), x).streams[0].points
    assert [(p.rms, p.mean, p.branch_ratio) for p in points] == [(3, 3, None), (6, 6, 1)]
    huge = torch.full((4, 4), 1e4, dtype=torch.float16)
    assert probe(nn.Sequential(Block(Times(0.0).half())), huge, None).streams[0].points[0].rms == pytest.approx(
        1e4, rel=1e-3
    )


def test_a_branch_of_zeros_has_no_direction():
    point = probe(nn.Sequential(Block(Times(0.0))), draw(3, 4)).streams[0].points[1]
    assert (point.branch_ratio, point.cosine) == (0, None)


def test_float32_sums_are_as_exact_as_pairwise_ones():
    x = 3 + draw(2_000_000, dtype=torch.float32)
    exact = x.double().square().sum().sqrt().item()
    assert statistics.norm(x).item() == pytest.approx(exact, rel=math.log2(x.numel()) * 2**-23)
