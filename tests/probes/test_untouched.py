"""A probe leaves the model as it found it, keeps no activation, and costs little."""

import copy
import random
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.utils import checkpoint

from resnorm_lib.bench.probe import price
from resnorm_lib.models import DecoderLM
from resnorm_lib.probes import probe
from tests.probes.networks import GPT, Block, ImageNet


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


class Dropping(nn.Module):
    """Draws from every generator, counts its calls in a buffer, and fails on demand."""

    def __init__(self, fail=None):
        super().__init__()
        self.norm, self.linear, self.fail = nn.BatchNorm1d(6), nn.Linear(6, 6), fail
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("cache", None)

    def forward(self, x):
        self.calls += 1
        self.cache = x.detach().clone()
        x = x + nn.functional.dropout(self.linear(self.norm(x)), random.uniform(0.1, 0.2))
        if self.fail is not None:
            raise self.fail
        return x * np.random.uniform()  # noqa: NPY002 -- as users' models do


def states():
    numpy_state = np.random.get_state()  # noqa: NPY002
    return [torch.get_rng_state(), random.getstate(), str(numpy_state), numpy_state[1].tolist()]


def global_hooks():
    return {
        name: dict(value) for name, value in vars(torch_module).items() if "_hooks" in name and isinstance(value, dict)
    }


def snapshot(model):
    """Everything that the probe could have changed."""
    return {
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "tensors": [id(tensor) for tensor in [*model.parameters(), *model.buffers()]],
        "grads": [None if p.grad is None else (id(p.grad), p.grad.clone()) for p in model.parameters()],
        "needs": [p.requires_grad for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [[len(getattr(m, name)) for name in vars(m) if name.endswith("_hooks")] for m in model.modules()],
        "buffers": [list(m._buffers) for m in model.modules()],
        "global hooks": global_hooks(),
        "checkpoint": checkpoint.CheckpointFunction,
        "random": states(),
    }


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def two_blocks(**options):
    model = nn.Sequential(nn.Linear(6, 6), Dropping(), Dropping(**options))
    model[0].weight.requires_grad_(False)
    model[1].norm.eval()
    model[1].linear.weight.grad = draw(6, 6)
    return model


@pytest.mark.parametrize("training", [True, False])
def test_the_model_and_all_generators_are_as_before(training):
    model = two_blocks().train(training)
    before, x = snapshot(model), draw(8, 6)
    report = probe(model, x)
    assert len(report.streams[0].points) == 3
    after = snapshot(model)
    assert not [name for name in before if not same(before[name], after[name])]


@pytest.mark.parametrize("where", ["forward", "loss", "backward"])
def test_also_if_something_raises(where):
    error = RuntimeError("no way")

    class Refuse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            return y.sum()

        @staticmethod
        def backward(ctx, gradient):
            raise error

    def loss(y):
        if where == "loss":
            raise error
        return Refuse.apply(y)

    model, x = two_blocks(fail=error if where == "forward" else None), draw(8, 6).requires_grad_()
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="no way"):
        probe(model, x, loss)
    after = snapshot(model)
    assert not [name for name in before if not same(before[name], after[name])]
    assert not x._backward_hooks


def test_an_error_that_the_model_forgives_leaves_the_probe_on_its_way():
    class Forgiving(nn.Module):
        def __init__(self):
            super().__init__()
            self.risky, self.safe = nn.Sequential(nn.Linear(5, 5)), Block(nn.Linear(6, 6))

        def forward(self, x):
            try:
                return self.risky(x)
            except RuntimeError:
                return self.safe(self.safe(x))

    (stream,) = probe(nn.Sequential(Forgiving()), draw(8, 6)).streams
    assert [point.module for point in stream.points] == ["0.safe"] * 3


def test_the_users_hooks_run_and_stay():
    model, seen = GPT(), []
    model.h[0].register_forward_hook(lambda module, args, output: seen.append("forward") or 2 * output)
    model.h[1].register_forward_pre_hook(lambda module, args: seen.append("pre"))
    model.h[2].register_full_backward_hook(lambda module, grad_in, grad_out: seen.append("backward"))
    model.ln_f.weight.register_hook(lambda gradient: seen.append("never: weights get no gradient"))
    (stream,) = probe(model, torch.randint(30, (2, 5))).streams
    assert seen == ["forward", "pre", "backward"]
    assert len(stream.points) == 7
    third = stream.points[3]  # of squares: |s + b|^2 = |s|^2 (1 + r^2 + 2 r cos), and the first hook doubles s
    growth = 1 + third.branch_ratio**2 + 2 * third.branch_ratio * third.cosine
    assert third.rms == pytest.approx(2 * stream.points[2].rms * growth**0.5, rel=1e-5)
    assert len(model.h[0]._forward_hooks) == 1


def test_gradients_of_the_batch_are_not_written():
    x = draw(8, 6).requires_grad_()
    report = probe(Block(nn.Linear(6, 6)), x)
    assert report.streams[0].points[0].gradient_norm > 0
    assert x.grad is None
    assert not x._backward_hooks


def test_the_probe_sees_what_a_plain_pass_computes():
    model, x = ImageNet(), draw(4, 3, 8, 8)
    plain = copy.deepcopy(model)(x).float().square().mean()
    assert probe(model, x).loss == plain.item()


class Counted(nn.Module):
    """Counts how many outputs of its kind are alive whenever one runs."""

    def __init__(self, alive, most):
        super().__init__()
        self.linear, self.alive, self.most = nn.Linear(6, 6), alive, most

    def forward(self, x):
        self.most.append(sum(reference() is not None for reference in self.alive))
        y = torch.relu(self.linear(x))
        x = x + y
        self.alive += [weakref.ref(x), weakref.ref(y)]
        return x


def alive_during(run, depth=12):
    alive, most = [], []
    model = nn.Sequential(*[Counted(alive, most) for _ in range(depth)])
    run(model)
    return max(most), sum(reference() is not None for reference in alive)


def test_no_activation_outlives_the_pass():
    def with_probe(model):
        with torch.no_grad():
            probe(model, draw(4, 6))

    def without(model):
        with torch.no_grad():
            model(draw(4, 6))

    assert alive_during(with_probe) == alive_during(without) == (1, 0)
    assert alive_during(lambda model: probe(model, draw(4, 6)))[1] == 0


def test_autograd_keeps_as_much_as_without_a_probe():
    def kept(run):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
            run()
        return sorted(sizes)

    model, tokens = GPT(), torch.randint(30, (2, 5))
    plain = kept(lambda: model(tokens).float().square().sum())
    assert kept(lambda: probe(model, tokens, lambda y: y.float().square().sum())) == plain


def test_a_probe_costs_less_than_two_plain_passes():
    torch.manual_seed(0)
    model = DecoderLM(64, 192, depth=4, num_heads=4, context_length=64)
    tokens = torch.randint(64, (8, 64))
    assert price(model, tokens, repeats=5) < 2
