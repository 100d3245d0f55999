"""How far a probe sees: shortcuts behind calls that take no value, and what it says of calls it cannot follow."""

import matplotlib as mpl
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import grad, vmap

from resnorm_lib.probes import probe
from tests.probes.networks import Rescale


class Write(nn.Module):
    """A block that adds to the stream in the way of ``rule(x, linear)``."""

    def __init__(self, rule):
        super().__init__()
        self.linear, self.rule = nn.Linear(8, 8), rule

    def forward(self, x):
        return self.rule(x, self.linear)


def three(rule):
    torch.manual_seed(0)
    return nn.Sequential(*(Write(rule) for _ in range(3)))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def after(branch, stream):
    """The branch is computed first, as in a block that keeps ``residual = x``."""

    def rule(x, f):
        y = branch(f, x)
        return stream(x) + y

    return rule


def linear(f, x):
    return f(x)


def slope(f, x):
    return torch.autograd.grad(f(x).square().sum(), x, create_graph=True)[0]


# d(branch)/d(x) through the second operand is 0 in each of these, so that the branch is no second shortcut.
BRANCHES = {
    "type_as": lambda f, x: f(x).type_as(x),
    "view_as": lambda f, x: f(x).view_as(x),
    "reshape_as": lambda f, x: f(x).reshape_as(x),
    "expand_as": lambda f, x: f(x).expand_as(x),
    "to": lambda f, x: f(x).to(x),
    "masked_fill": lambda f, x: f(x).masked_fill(x > 5, 0),
    "where": lambda f, x: torch.where(x.isnan(), 0.0, f(x)),
    "argsort": lambda f, x: f(x).gather(1, x.argsort(-1)),
    "topk": lambda f, x: f(x).scatter(1, x.topk(2).indices, 0.0),
    "autograd.grad": slope,
}


@pytest.mark.parametrize("branch", BRANCHES.values(), ids=BRANCHES)
def test_masks_indices_and_shapes_of_the_stream_are_no_way_to_it(branch):
    model = three(after(branch, lambda x: x))
    (stream,) = probe(model, draw(4, 8).requires_grad_()).streams
    assert [point.shortcut for point in stream.points] == ["", "identity", "identity", "identity"]


STREAMS = {
    "to": lambda x: x.to(torch.float32),
    "float": lambda x: x.float(),
    "contiguous": lambda x: x.contiguous(),
    "dropout in evaluation": lambda x: F.dropout(x, 0.5, training=False),
    "[:]": lambda x: x[:],
    "[None]": lambda x: x[None].squeeze(0),
    "clone": lambda x: x.clone(),
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_shortcut_that_leaves_every_entry_where_it_was_is_the_identity(stream, inference):
    with torch.inference_mode(inference):
        (found,) = probe(three(after(linear, stream)), draw(4, 8)).streams
    assert {point.shortcut for point in found.points[1:]} == {"identity"}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("stream", [lambda x: x[[1, 0, 3, 2]], lambda x: x.mul_(1.5), lambda x: x[:, :4].repeat(1, 2)])
def test_a_shortcut_that_moves_or_scales_entries_is_modified(stream, inference):
    with torch.inference_mode(inference), torch.no_grad():
        (found,) = probe(three(after(linear, stream)), draw(4, 8)).streams
    assert {point.shortcut for point in found.points[1:]} == {"modified"}


def test_a_norm_behind_a_linear_map_is_seen_through_a_cast_that_changes_nothing():
    model = nn.Sequential(nn.Linear(8, 8), Rescale(8))
    assert [norm.kind for norm in probe(model, draw(4, 8)).norms] == ["Rescale"]


def test_a_difference_is_a_sum_with_the_branch_turned_round():
    x = draw(4, 8)
    added = probe(three(lambda x, f: x + f(x)), x).streams[0].points[1]
    taken = probe(three(lambda x, f: x - f(x)), x).streams[0].points[1]
    assert taken.branch_ratio == added.branch_ratio
    assert taken.cosine == pytest.approx(-added.cosine)
    assert taken.rms == pytest.approx((x - three(lambda x, f: f(x))[0](x)).square().mean().sqrt().item(), rel=1e-5)
    assert not probe(three(lambda x, f: f(x) - x), x).streams  # the stream itself is turned round


def by_numpy(x):
    return torch.from_numpy(x.detach().numpy())


# What cannot be followed, and a word of the reason.
BEYOND = {
    "addcmul": (lambda x, f: torch.addcmul(x, f(x), torch.ones(8)), "addcmul adds inside one call"),
    "lerp": (lambda x, f: torch.lerp(x, f(x), 0.5), "lerp adds inside one call"),
    "addmm": (lambda x, f: torch.addmm(x, x.relu(), f.weight), "addmm adds inside one call"),
    "stack": (lambda x, f: torch.stack([x, f(x)]).sum(0), "is concatenated with"),
    "branch in vmap": (lambda x, f: x + vmap(f)(x), "torch.func"),
    "block in vmap": (lambda x, f: vmap(lambda row: row + f(row))(x), "torch.func"),
    "streams in vmap": (lambda x, f: vmap(lambda rows: rows + f(rows))(x[:, None]).squeeze(1), "torch.func"),
    "branch in grad": (lambda x, f: x + grad(lambda z: f(z).square().sum())(x), "an addend was made by calls"),
    "block in grad": (lambda x, f: grad(lambda z: (z + f(z)).square().sum())(x), "torch.func"),
    "branch by NumPy, viewed": (lambda x, f: x + by_numpy(f(x)).view_as(x), "an addend was made by calls"),
    "branch by NumPy, copied": (
        lambda x, f: x + torch.empty_like(x).copy_(by_numpy(f(x))),
        "an addend was made by calls",
    ),
    "stream by NumPy, copied": (
        lambda x, f: torch.empty_like(x).copy_(by_numpy(x)) + f(x),
        "an addend was made by calls",
    ),
    "a number of the branch": (lambda x, f: x + torch.full_like(x, f(x).mean().item()), "an addend was made by calls"),
    "its number by NumPy": (
        lambda x, f: x + torch.empty_like(x).fill_(float(f(x).detach().numpy().mean())),
        "an addend was made by calls",
    ),
}


@pytest.mark.parametrize(("rule", "reason"), BEYOND.values(), ids=BEYOND)
def test_what_cannot_be_followed_is_said_with_its_place_and_reason(rule, reason):
    report = probe(three(rule), draw(4, 8))
    assert not report.streams
    (told,) = [finding for finding in report.findings() if reason in finding]
    assert "0" in told
    assert not any("nowhere" in finding for finding in report.findings())


@pytest.mark.parametrize(
    "rule",
    [
        lambda x, f: x + f(x),
        lambda x, f: torch.empty_like(x).copy_(x) + f(x),
        lambda x, f: x + torch.full_like(x, 0.5).copy_(f(x)),
    ],
)
def test_what_is_followed_gets_no_such_sentence(rule):
    report = probe(three(rule), draw(4, 8))
    assert not report.unfollowed
    assert not report.hidden
    (stream,) = report.streams
    assert [point.shortcut for point in stream.points[1:]] == ["identity"] * 3


def test_a_new_tensor_of_constants_is_no_value_that_was_lost():
    constants = (torch.zeros_like, torch.rand_like, lambda x: torch.full_like(x, 0.5), lambda x: x.new_full(x.shape, 2))
    for made in constants:
        assert not probe(three(lambda x, f, made=made: f(x) + made(x)), draw(4, 8)).unfollowed


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_dynamic_quantization_is_followed():
    from torch.ao.quantization import quantize_dynamic

    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this build of torch has no quantized kernels.")
    model = quantize_dynamic(three(lambda x, f: x + f(x)).eval(), {nn.Linear}, dtype=torch.qint8)
    assert len(probe(model, draw(4, 8)).streams[0].points) == 4


class Queries(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.f = nn.Parameter(draw(1, 5, 4)), nn.Linear(4, 4)

    def forward(self, x):
        q = self.q.expand(len(x), -1, -1)
        return q + self.f(q)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_stream_that_starts_as_a_view_of_a_parameter_without_gradients(mode):
    with mode():
        (stream,) = probe(Queries(), draw(3, 1)).streams
    assert [point.gradient_norm for point in stream.points] == [None, None]
    assert probe(Queries(), draw(3, 1)).streams[0].points[1].gradient_norm > 0


class Coupled(torch.autograd.Function):
    """Views of its input inside a function with a backward of its own, as in a RevNet or a Reformer."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        a, b = x.chunk(2, -1)
        return torch.cat([a + F.linear(b, weight), b], -1)

    @staticmethod
    def backward(ctx, g):
        return g, None


def test_a_function_that_views_its_input():
    report = probe(three(lambda x, f: Coupled.apply(x, f.weight[:4, :4])), draw(4, 8).requires_grad_())
    assert any("There are no gradients at depth" in finding for finding in report.findings())


@pytest.mark.parametrize("inference", [False, True])
def test_buffers_of_all_kinds_are_put_back(inference):
    with torch.inference_mode(inference):
        odd = torch.arange(3.0).view(3, 1)
        odd = odd if inference else odd.expand(3, 4)
    model = nn.Sequential(Write(lambda x, f: x + f(x)), nn.BatchNorm1d(8))
    model[0].register_buffer("odd", odd)
    probe(model, draw(4, 8))
    assert model[0].odd is odd
    assert model[1].running_mean.abs().sum() == 0
    assert model[1].num_batches_tracked == 0


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_and_empty_batches_are_refused_with_a_sentence():
    nested = torch.nested.nested_tensor([draw(2, 8), draw(3, 8)])
    with pytest.raises(ValueError, match="nested"):
        probe(nn.Linear(8, 8), nested)
    with pytest.raises(ValueError, match="output is empty"):
        probe(nn.Linear(8, 8), draw(0, 8))


def test_gradients_of_one_sample_have_no_correlation():
    report = probe(three(lambda x, f: x + f(x)), draw(4, 8), loss=lambda output: output[0].sum())
    assert {point.gradient_correlation for point in report.streams[0].points} == {None}
    assert not any("nan" in finding for finding in report.findings())


def test_a_plot_leaves_the_settings_of_matplotlib_alone():
    before = dict(mpl.rcParams)
    mpl.pyplot.close(probe(three(lambda x, f: x + f(x)), draw(4, 8)).plot())
    assert dict(mpl.rcParams) == before
