"""Reversible stacks that keep no activations: the same gradients, or a sentence."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from resnorm_lib.models import cifar_resnet
from resnorm_lib.residual import BranchPosition, Residual, ResidualStack
from tests.residual.tools import disturb, draw, linear, make_stack


def test_saving_memory_changes_no_gradient():
    x = draw(5, 4)
    plain, saving = (disturb(make_stack("reversible", blocks=6, save_memory=save)) for save in (False, True))
    gradients = []
    for stack in (plain, saving):
        read = x.clone().requires_grad_()
        stack(read).square().sum().backward()
        gradients.append([read.grad, *(parameter.grad for parameter in stack.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_saving_memory_repeats_the_branch_in_the_precision_of_the_forward_pass():
    x, gradients = draw(5, 4, dtype=torch.float32), []
    for save in (False, True):
        stack = disturb(make_stack("reversible", save_memory=save).float())
        with torch.autocast("cpu", torch.bfloat16):
            y = stack(x)
        y.square().sum().backward()
        gradients.append([parameter.grad for parameter in stack.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        # The inverse differs from the forward pass by the roundings of float32, which bfloat16 may then round apart.
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05 * theirs.abs().max().item())


def test_saving_memory_has_no_second_derivative_and_says_so():
    stack, x = make_stack("reversible", save_memory=True), draw(5, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(stack(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_saving_memory_leaves_recomputation_to_a_compiler():
    torch._dynamo.reset()
    stack, x = disturb(make_stack("reversible", save_memory=True)), draw(5, 4)
    compiled = torch.compile(stack, fullgraph=True, backend="aot_eager")
    compiled(x).sum().backward()
    ours = [parameter.grad.clone() for parameter in stack.parameters()]
    stack.zero_grad()
    stack(x).sum().backward()
    for one, other in zip(ours, stack.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad)


def test_a_reversible_image_network_saves_no_memory_where_the_shape_changes():
    with pytest.raises(ValueError, match="needs blocks that keep the width and do nothing after the join"):
        cifar_resnet(8, scheme="reversible", save_memory=True, norm="layer")(torch.zeros(1, 3, 8, 8))


def kept(save, blocks):
    """Return how many numbers the graph of a stack keeps, beside its weights."""
    stack, seen = make_stack("reversible", blocks=blocks, save_memory=save), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: seen.append(tensor) or tensor, lambda tensor: tensor):
        stack(draw(64, 4).requires_grad_())
    weights = {parameter.data_ptr() for parameter in stack.parameters()}
    return sum(tensor.numel() for tensor in seen if tensor.data_ptr() not in weights)


def test_saving_memory_keeps_no_activations():
    assert kept(True, 32) == kept(True, 4)
    assert kept(False, 32) > 7 * kept(False, 4)


def test_saving_memory_refuses_statistics_that_would_move_twice():
    stack = ResidualStack([linear(4), linear(4)], 4, "reversible", norm="batch", save_memory=True).double()
    with pytest.raises(ValueError, match="would not do the same again"):
        stack(draw(5, 4))
    stack.eval()(draw(5, 4))  # nothing is counted in evaluation


class Noisy(nn.Module):
    """Randomness that no module shows."""

    def __init__(self, seed):
        super().__init__()
        self.map = linear(4, seed)

    def forward(self, x):
        return F.dropout(F.rrelu(self.map(x), training=True), 0.3)


def gradients(branches, save, between=lambda: None, **options):
    stack = ResidualStack(branches, 4, "reversible", save_memory=save, **options).double()
    x = draw(8, 4).requires_grad_()
    torch.manual_seed(0)
    y = stack(x)
    between()
    y.square().sum().backward()
    return [x.grad, *(parameter.grad for parameter in stack.parameters()), torch.rand(1)]


@pytest.mark.parametrize(
    "branch",
    [
        Noisy,
        lambda seed: nn.Sequential(linear(4, seed), nn.Dropout(0.5)),
        lambda seed: Residual(linear(4, seed), 4, "stochastic_depth", position=BranchPosition(index=3, num_branches=4)),
    ],
    ids=["functions", "modules", "stochastic depth within"],
)
def test_saving_memory_draws_again_what_was_drawn(branch):
    """Also if something else was drawn before the backward pass, which leaves the generator as it found it."""
    plain = gradients([branch(seed) for seed in range(4)], False, lambda: torch.rand(7))
    saving = gradients([branch(seed) for seed in range(4)], True, lambda: torch.rand(7))
    for ours, theirs in zip(saving, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


class Changing(nn.Module):
    """A branch that gives another update on each call, as large as ``scale``."""

    def __init__(self, kind, scale):
        super().__init__()
        self.kind, self.scale, self.calls = kind, scale, 0
        self.generator = torch.Generator().manual_seed(0) if kind == "generator" else None
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        if self.kind == "buffer":
            self.count += 1
        factor = {
            "generator": lambda: torch.rand(x.shape, generator=self.generator),
            "python": random.random,
            "numpy": np.random.rand,
            "buffer": lambda: self.count,
            "attribute": lambda: self.calls,
        }[self.kind]()
        return self.scale * x * factor


@pytest.mark.parametrize("scale", [1.0, 1e-6, 0.0])
@pytest.mark.parametrize("kind", ["generator", "python", "numpy", "buffer"])
def test_saving_memory_refuses_what_is_not_the_same_twice_however_small_it_is(kind, scale):
    """A factor of 0 is that of a branch whose last map starts at 0: its update tells nothing, its gradients do."""
    with pytest.raises(ValueError, match="would not do the same again"):
        gradients([Changing(kind, scale), Changing(kind, scale)], True)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_saving_memory_sees_an_update_that_is_not_the_same_twice(scale):
    with pytest.raises(ValueError, match="gives not the same twice"):
        gradients([Changing("attribute", scale), Changing("attribute", scale)], True)


def test_saving_memory_refuses_a_power_iteration():
    branches = [nn.utils.parametrizations.spectral_norm(linear(4, seed)) for seed in range(2)]
    with pytest.raises(ValueError, match="writes into a buffer"):
        gradients(branches, True)


AROUND = {
    "checkpoint": lambda stack, x: checkpoint(stack, x, use_reentrant=False),
    "reentrant checkpoint": lambda stack, x: checkpoint(stack, x, use_reentrant=True),
    "offloaded": lambda stack, x: offloaded(stack, x),
    "lent": lambda stack, x: lent(stack, x),
}


def offloaded(stack, x):
    with torch.autograd.graph.save_on_cpu():
        return stack(x)


def lent(stack, x):
    """With weights that are computed, as in a step of meta-learning; some are outputs of one operation."""
    weights = {name: 2 * parameter for name, parameter in stack.named_parameters()}
    names = [name for name in weights if name.endswith("branch.0.weight")]
    weights |= zip(names, torch.stack([weights[name] for name in names]).unbind())
    assert len(names) > 1
    return torch.func.functional_call(stack, weights, (x,))


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_saving_memory_within_what_hands_other_tensors_to_the_backward_pass(around):
    found = []
    for save in (False, True):
        stack, x = disturb(make_stack("reversible", save_memory=save)), draw(5, 4).requires_grad_()
        around(stack, 1 * x).square().sum().backward()
        found.append([x.grad, *(parameter.grad for parameter in stack.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_saving_memory_refuses_a_parameter_that_no_block_holds():
    outside = nn.Parameter(torch.ones(4, dtype=torch.float64))

    class Uses(nn.Module):
        def forward(self, x):
            return x * outside

    with pytest.raises(ValueError, match="a parameter that a branch uses without holding it"):
        gradients([Uses(), Uses()], True)


def test_saving_memory_repeats_the_weights_of_the_forward_pass():
    """Also those that functional_call lent to the modules."""
    found = []
    for save in (False, True):
        stack = make_stack("reversible", save_memory=save)
        lent = {name: (p.detach() + 1).requires_grad_() for name, p in stack.named_parameters()}
        y = torch.func.functional_call(stack, lent, (draw(5, 4),))
        found.append(torch.autograd.grad(y.square().sum(), list(lent.values())))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_saving_memory_refuses_to_lose_a_gradient():
    class Reading(nn.Module):
        def forward(self, x, memory):
            return x * memory

    stack = ResidualStack([Reading()], 4, "reversible", norm="none", save_memory=True)
    for memory in (draw(5, 4).requires_grad_(), [draw(5, 4).requires_grad_()]):
        with pytest.raises(ValueError, match="sends no gradient"):
            stack(draw(5, 4), memory=memory)
