"""What every norm in the table of tests/norms/cases.py computes."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from resnorm_lib import norms
from tests.norms.cases import CASES, cases
from tests.reference.oracles import UNIT_ROUNDOFF, parameters, run, upstream

TINY = 64 * UNIT_ROUNDOFF[torch.float64]


def assert_close(actual, expected, factor, name=""):
    """Compare up to ``factor`` times the largest entry, since sums are rounded relative to their largest terms."""
    expected = np.asarray(expected)
    actual = actual.detach().double().numpy()
    assert actual.shape == expected.shape, name
    error = np.abs(actual - expected).max(initial=0.0)
    assert error <= factor * max(1.0, np.abs(expected).max(initial=0.0)), f"{name}: {error}"


@cases()
def test_module_equals_its_numpy_twin_forward_and_backward(case):
    module, inputs = case.build(), case.inputs()
    before = parameters(module)
    dy = upstream(case.build()(*inputs))
    y, grads = run(module, inputs, dy)
    expected, expected_grads = case.reference(before, [x.numpy() for x in inputs], dy.numpy())
    entries = max(x.numel() for x in inputs)
    assert_close(y, expected, entries * TINY)
    for name, grad in grads.items():
        assert_close(grad, expected_grads[name], entries * TINY, name)


@cases(where=lambda case: case.true_gradient)
def test_gradients_of_first_and_second_order_are_derivatives(case):
    module, inputs = case.build(), [x.requires_grad_() for x in case.inputs()]
    weights = {name: p.detach().requires_grad_() for name, p in module.named_parameters()}

    def call(*tensors):
        given = dict(zip(weights, tensors[len(inputs) :]))
        return functional_call(copy.deepcopy(module), given, tensors[: len(inputs)])

    assert gradcheck(call, (*inputs, *weights.values()), fast_mode=True)
    assert gradgradcheck(call, (*inputs, *weights.values()), fast_mode=True)


@cases(where=lambda case: case.twin)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_state_dict_goes_to_torch_and_back_with_equal_bits(case, dtype):
    ours, theirs = case.build(dtype), case.twin().to(dtype)
    theirs.load_state_dict(ours.state_dict())
    again = case.make().to(dtype)
    again.load_state_dict(theirs.state_dict())
    x = case.inputs(dtype)[0]
    exact = "parametrized" not in case.traits  # torch fuses g v / |v| in another order
    for _ in range(2):
        ys = [module(x) for module in (ours, theirs, again)]
        assert torch.equal(ys[0], ys[2])
        torch.testing.assert_close(ys[0], ys[1], rtol=0 if exact else None, atol=0 if exact else None)
    for module in (ours, theirs):
        module.eval()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(x), theirs(x)) or not exact


@cases(where=lambda case: case.twin and "parametrized" not in case.traits)
def test_gradients_have_the_bits_of_torch(case):
    ours, theirs = case.build(torch.float32), case.twin()
    theirs.load_state_dict(ours.state_dict())
    x = case.inputs(torch.float32)
    dy = upstream(case.build(torch.float32)(*x))
    mine, torchs = run(ours, x, dy)[1], run(theirs, x, dy)[1]
    assert mine.keys() == torchs.keys()
    for name in mine:
        assert torch.equal(mine[name], torchs[name]), name


@cases(where=lambda case: case.own_rows and case.name != "instance_tracking")
def test_training_and_evaluation_agree_where_nothing_is_tracked(case):
    module, inputs = case.build(), case.inputs()
    assert torch.equal(module.train()(*inputs), module.eval()(*inputs))


@cases(without=("pairs",))
def test_an_empty_batch_gives_an_empty_output_and_zero_gradients(case):
    module = case.build(torch.float32)
    if not case.own_rows or case.name == "instance_tracking":  # statistics of nothing
        with pytest.raises(ValueError, match=r"x has shape \(0, "):
            module(*case.inputs(torch.float32, samples=0))
        module.eval()
        if case.name == "batch_untracked":
            return
    inputs = case.inputs(torch.float32, samples=0)
    y, grads = run(module, inputs, torch.ones_like(module(*inputs)))
    assert y.shape[0] == 0
    for name, grad in grads.items():
        assert not grad.any(), name


def one_by_one(case, module, rows):
    """Assert that samples get the same output and input gradient alone as in a batch of 67."""
    inputs = case.inputs(torch.float32, samples=67)
    dy = upstream(copy.deepcopy(module)(*inputs))
    together, grads = run(copy.deepcopy(module), inputs, dy)
    for row in rows:
        alone, own = run(copy.deepcopy(module), [x[row : row + 1] for x in inputs], dy[row : row + 1])
        # A matrix product picks its kernel by its shape, so its bits may differ.
        tolerance = {} if "matmul" in case.traits else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(alone[0], together[row], **tolerance)
        torch.testing.assert_close(own["x0"][0], grads["x0"][row], **tolerance)


@cases(without=("pairs",), where=lambda case: case.own_rows)
def test_in_training_a_sample_does_not_depend_on_its_neighbours(case):
    one_by_one(case, case.build(torch.float32), rows=(0, 41, 66))


@cases(without=("pairs",), where=lambda case: case.name != "batch_untracked")
def test_in_evaluation_a_sample_does_not_depend_on_its_neighbours(case):
    one_by_one(case, case.build(torch.float32).eval(), rows=(0, 41, 66))


def test_the_table_holds_every_norm_that_is_exported():
    built = {type(m).__name__ for case in CASES for m in case.make().modules()}
    missing = {name for name in norms.__all__ if isinstance(getattr(norms, name), type)} - built
    assert not missing, f"tests/norms/cases.py has no case of {', '.join(missing)}: add one to CASES."


def standardize(x, axes):
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt()


class Conditioned(torch.nn.Sequential):
    """An adaptive norm under one condition."""

    def forward(self, x):
        return self[0](x, x.new_ones(1))[0]


@pytest.mark.parametrize(
    ("make", "by_hand", "right_orders"),
    [
        (lambda: norms.RMSNorm(3, 1e-5), lambda x: x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt(), 3),
        (lambda: norms.GroupNorm(1, 4), lambda x: standardize(x, (1, 2)), 3),
        (lambda: norms.LayerNorm(3), lambda x: standardize(x, (-1,)), 2),
        (lambda: norms.BatchNorm(4), lambda x: standardize(x, (0, 2)), 2),
        (lambda: norms.InstanceNorm(4), lambda x: standardize(x, (2,)), 2),
        (lambda: norms.GhostBatchNorm(4, 3), lambda x: torch.cat([standardize(p, (0, 2)) for p in x.split(3)]), 2),
        (lambda: norms.QKNorm(3, "layer").q_norm, lambda x: standardize(x, (-1,)), 2),
        (lambda: norms.WeightStandardization(), lambda x: standardize(x, (1, 2)), 2),
        (lambda: Conditioned(norms.AdaptiveLayerNorm(3, 1, eps=1e-5)), lambda x: standardize(x, (-1,)), 2),
    ],
    ids=["rms", "group", "layer", "batch", "instance", "ghost_batch", "qk", "weight_standardization", "adaptive"],
)
def test_derivatives_are_right_up_to_the_order_that_the_docstring_says(make, by_hand, right_orders):
    """Compares derivatives along one direction. If a higher order turns out right, torch is mended: drop the note.

    From 2.14 on torch refuses the third ones of batch_norm, which were wrong.
    """
    start, direction, weight = (upstream(torch.empty(6, 4, 3, dtype=torch.float64), seed) for seed in (0, 1, 2))
    found = []
    for function in (make().double(), by_hand):
        x = start.clone().requires_grad_()
        value, derivatives = (function(x) * weight).sum(), []
        for order in (1, 2, 3):
            try:
                (gradient,) = torch.autograd.grad(value, x, create_graph=True)
            except RuntimeError as error:
                if order < 3 or "3rd+ order" not in str(error):
                    raise
                derivatives.append(math.nan)
                continue
            value = (gradient * direction).sum()
            derivatives.append(value.item())
        found.append(np.array(derivatives))
    agree = np.isclose(*found, rtol=1e-9)
    assert agree.tolist() == [order <= right_orders for order in (1, 2, 3)]
