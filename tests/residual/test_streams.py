"""Schemes whose state spans blocks, against their formulas in float64, and what only they promise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnorm_lib.residual import ResidualStack, sinkhorn
from tests.residual.test_formulas import check, layer_norm
from tests.residual.tools import Valued, disturb, draw, make_stack, two_layers


def test_residual_carries_a_normalized_and_a_plain_stream():
    stack, x = make_stack("resi_dual"), draw(5, 4)
    normalized = total = x
    for block in stack:
        change = block.branch(normalized)
        normalized, total = layer_norm(normalized + change), total + change
    check(stack, x, normalized + layer_norm(total))


def test_concat_grows_and_never_adds():
    stack, x = make_stack("concat"), draw(5, 4)
    y = x
    for block in stack:
        y = torch.cat((y, block.branch(layer_norm(y))), -1)
    check(stack, x, y)
    assert stack.out_dim == 4 + 4 * 3
    assert torch.equal(stack(x)[:, :4], x)


def test_dense_former_averages_after_each_layer():
    branches = [two_layers(4, step) for step in range(6)]
    stack = disturb(ResidualStack(branches, 4, "dense_former", norm="none", branches_per_layer=2).double())
    x = draw(5, 4)
    outputs, y = [x], x
    for layer in range(3):
        for block in stack[2 * layer : 2 * layer + 2]:
            y = y + block.branch(y)
        outputs.append(y)
        weights = stack[2 * layer + 1].scheme.average
        y = torch.einsum("j,jnd->nd", weights, torch.stack(outputs))
    check(stack, x, y)


def test_dense_former_starts_with_the_last_output_alone():
    stack = make_stack("dense_former")
    assert [block.scheme.average.tolist() for block in stack] == [[0] * (n + 1) + [1] for n in range(4)]


def test_value_residual_mixes_in_the_first_values():
    branches = [Valued(4, 0), two_layers(4, 7), Valued(4, 1), Valued(4, 2)]
    stack, x = disturb(ResidualStack(branches, 4, "value_residual", norm="none").double()), draw(5, 4)
    h, first = x, None
    for block in stack:
        f = block.branch
        if isinstance(f, Valued):
            value = f.value(h)
            first = value if first is None else first
            mixed = value if value is first else block.scheme.weights[0] * first + block.scheme.weights[1] * value
            h = h + f.output_projection(mixed)
        else:
            h = h + f(h)
    check(stack, x, h)
    assert make_stack("value_residual")[1].scheme.weights.tolist() == [0.5, 0.5]


def test_hyper_connections():
    stack, x = disturb(make_stack("hyper_connections", norm="none")), draw(5, 4)
    h = x.repeat(4, 1, 1)
    for block in stack:
        s = block.scheme
        unit = h / (h.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        said = torch.tanh(torch.einsum("kd,jnd->kjn", s.theta, unit))
        r = s.reads[:, None] + s.strength[0] * said[0]
        w = s.writes[:, None] + s.strength[1] * said[1]
        mix = (torch.eye(4) + s.mixes)[:, :, None] + s.strength[2] * said[2:]
        change = block.branch(torch.einsum("jn,jnd->nd", r, h))
        h = torch.einsum("ijn,jnd->ind", mix, h) + w[:, :, None] * change
    check(stack, x, h.mean(0))


def test_stochastic_hyper_connections():
    stack, x = make_stack("stochastic_hyper_connections", norm="none", dynamic=False, streams=3), draw(5, 4)
    disturb(stack)
    h = x.repeat(3, 1, 1)
    for block in stack:
        s = block.scheme
        matrix = (s.mixes - 8 * (1 - torch.eye(3))).exp()
        for _ in range(20):
            matrix = matrix / matrix.sum(0, keepdim=True)
            matrix = matrix / matrix.sum(1, keepdim=True)
        change = block.branch(torch.einsum("j,jnd->nd", s.reads.sigmoid(), h))
        h = torch.einsum("ij,jnd->ind", matrix, h) + 2 * s.writes.sigmoid()[:, None, None] * change
    check(stack, x, h.mean(0))


def test_streams_persist_across_blocks():
    """Put together inside every block, they would stay copies of each other: they must differ after two."""
    stack = disturb(make_stack("hyper_connections"))
    state = stack.open(draw(5, 4))
    for block in stack[:2]:
        state = block(state)
    assert torch.pdist(state[0].reshape(4, -1)).min() > 1e-2


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_sinkhorn_gives_rows_and_columns_that_sum_to_one(n, seed):
    """Birkhoff: logits in [-1, 1] bring the sums nearer to 1 by tanh(1)^2 = 0.58 in each iteration, at the least."""
    matrix = sinkhorn(torch.tanh(draw(n, n, seed=seed)), iterations=40)
    assert (matrix > 0).all()
    torch.testing.assert_close(matrix.sum(-1), torch.ones(n, dtype=matrix.dtype), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(matrix.sum(-2), torch.ones(n, dtype=matrix.dtype), rtol=1e-8, atol=1e-8)


def test_sinkhorn_iterates_in_single_precision_at_least():
    logits = draw(4, 4, dtype=torch.float32).bfloat16()
    matrix = sinkhorn(logits)
    assert matrix.dtype == torch.bfloat16
    assert torch.equal(matrix, sinkhorn(logits.float()).bfloat16())


def test_sinkhorn_survives_logits_that_overflow():
    matrix = sinkhorn(1000 * draw(4, 4))
    assert matrix.isfinite().all()
    torch.testing.assert_close(matrix.sum(-1), torch.ones(4, dtype=matrix.dtype))


@pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
def test_sinkhorn_needs_a_square(shape):
    with pytest.raises(ValueError, match="the last two axes must be equal"):
        sinkhorn(torch.zeros(shape))
    with pytest.raises(ValueError, match="iterations is 0, but it must be at least 1"):
        sinkhorn(torch.zeros(2, 2), iterations=0)


def test_only_doubly_stochastic_mixing_keeps_the_streams_from_growing():
    """Sixty products of I + noise grow, as the paper found in hyper-connections; sixty projected ones cannot."""
    free = torch.linalg.multi_dot([torch.eye(4).double() + 0.3 * draw(4, 4, seed=s) for s in range(60)])
    bound = torch.linalg.multi_dot([sinkhorn(5 * torch.eye(4).double() + draw(4, 4, seed=s)) for s in range(60)])
    assert free.abs().sum(-1).max() > 100
    assert bound.abs().sum(-1).max() < 1 + 1e-6


# -- reversible ------------------------------------------------------------------------------------------------------


def test_reversible_blocks_take_turns():
    stack, x = make_stack("reversible", blocks=2, norm="none"), draw(5, 4)
    y1 = x + stack[0].branch(x)
    y2 = x + stack[1].branch(y1)
    check(stack, x, (y1 + y2) / 2)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-13), (torch.float32, 1e-4)])
def test_reversible_stack_is_inverted_up_to_rounding(dtype, bound):
    stack = make_stack("reversible", dim=8, blocks=64).to(dtype)
    start = stack.open(draw(5, 8, dtype=dtype))
    with torch.no_grad():
        state = start
        for block in stack:
            state = block(state)
        for block in reversed(stack):
            state = block.scheme.invert(state, block.branch)
    error = max((a - b).abs().max().item() for a, b in zip(state, start, strict=True))
    assert 0 < error < bound
