"""The ways to write a residual sum: each is followed, or the report says what was seen and why it is not counted."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from resnorm_lib.probes import probe
from tests.probes.test_reach import draw, three


def found(model, batch, **options):
    """Return the number of blocks and the kinds of shortcut of each stream."""
    streams = probe(model, batch, **options).streams
    return [(len(stream.points) - 1, {point.shortcut for point in stream.points[1:]}) for stream in streams]


def tokens():
    return draw(4, 5, 8)


def average(x):
    return x.mean(1, keepdim=True)


def written_in_slices(x, f):
    y = x.clone()
    y[:, :2] += f(x)[:, :2]
    return y


# Each adds to the stream x what f, a linear map, has computed from it.
IDENTITY = {
    "add_": lambda x, f: x.clone().add_(f(x)),
    "add_ to the branch": lambda x, f: f(x).add_(x),
    "alpha": lambda x, f: torch.add(x, f(x), alpha=0.5),
    "minus a negative": lambda x, f: torch.sub(x, f(x), alpha=-0.5),
    "plus the negative": lambda x, f: x + -f(x),
    "an operation of aten": lambda x, f: torch.ops.aten.add.Tensor(x, f(x)),
    "einsum": lambda x, f: x + torch.einsum("btd,ed->bte", x, f.weight),
    "functional_call": lambda x, f: x + functional_call(f, {k: 2 * v for k, v in f.named_parameters()}, (x,)),
    "checkpoint": lambda x, f: checkpoint(lambda z: z + f(z), x, use_reentrant=False),
    "reentrant checkpoint": lambda x, f: checkpoint(lambda z: z + f(z), x, use_reentrant=True),
    "bfloat16 branch": lambda x, f: x + f(x).bfloat16(),
    "detached branch": lambda x, f: x + f(x).detach(),
    "where": lambda x, f: torch.where(x > 0, x + f(x), x),
    "masked branch": lambda x, f: x + f(x) * (x > 0),
    "sign": lambda x, f: x + f(x).sign(),
    "straight through": lambda x, f: x + (f(x) + (f(x).sign() - f(x)).detach()),
    "small integers for numbers": lambda x, f: x + (10 * f(x)).round().to(torch.int8).float() / 10,
    # the branch is repeated along an axis
    "of the average": lambda x, f: x + f(average(x)),
    "of the average, in place": lambda x, f: x.clone().add_(f(average(x))),
    "one number a feature": lambda x, f: x + f(x).mean((0, 1)),
    "one number": lambda x, f: x + f(x).mean(),
    # the branch hands its input on, times what f says
    "gate": lambda x, f: x + f(x) * x,
    "sigmoid gate": lambda x, f: x + x * f(x).sigmoid(),
    "gate of the average": lambda x, f: x + x * f(average(x)).sigmoid(),
    # the branch mixes tokens and no features
    "pooling": lambda x, f: x + F.avg_pool1d(x.mT, 3, 1, 1).mT,
    "pooling minus the input": lambda x, f: x + f.bias * (F.avg_pool1d(x.mT, 3, 1, 1).mT - x),
    "max pooling": lambda x, f: x + F.max_pool1d(x.mT, 3, 1, 1).mT,
    "Fourier transform": lambda x, f: x + torch.fft.fft2(F.layer_norm(x, (8,))).real,
    "shift": lambda x, f: x + x.roll(1, 1),
    "running sum": lambda x, f: x + x.cumsum(1),
}


@pytest.mark.parametrize("rule", IDENTITY.values(), ids=IDENTITY)
def test_a_sum_with_an_identity_shortcut_is_followed(rule):
    report = probe(three(rule), tokens().requires_grad_())
    assert not report.unfollowed
    (stream,) = report.streams
    assert [point.shortcut for point in stream.points] == ["", "identity", "identity", "identity"]
    assert all(point.branch_ratio > 0 for point in stream.points[1:])


NEUTRAL = {
    "Python's sum": lambda x, f: sum([x, f(x)]),
    "zero": lambda x, f: (x - 0) + f(x),
    "one": lambda x, f: (1 * x / 1) + f(x),
}


@pytest.mark.parametrize("rule", NEUTRAL.values(), ids=NEUTRAL)
def test_a_shortcut_that_adds_0_or_multiplies_by_1_is_an_identity(rule):
    assert found(three(rule), tokens()) == [(3, {"identity"})]


MODIFIED = {
    "one more": lambda x, f: (x + 1) + f(x),
    "halved": lambda x, f: 0.5 * x + f(x),
    "the other way round": lambda x, f: f(x) + (0 - x),
    "masked stream": lambda x, f: x * (x > 0) + f(x),
    "scaled stream, pooled branch": lambda x, f: 2 * f.bias * x + F.avg_pool1d(x.mT, 3, 1, 1).mT,
    "two gates": lambda x, f: (1 - f(x).sigmoid()) * x + f(x).sigmoid() * f(x).tanh(),
    "some features": lambda x, f: torch.cat([x[:, :2] + f(x)[:, :2], x[:, 2:]], 1),
    "some features in place": written_in_slices,
}


@pytest.mark.parametrize("rule", MODIFIED.values(), ids=MODIFIED)
def test_a_sum_with_a_shortcut_that_changes_the_stream_is_followed(rule):
    assert found(three(rule), tokens()) == [(3, {"modified"})]


# What is not counted, and a word of the reason.
TOLD = {
    "average": (lambda x, f: x + average(x).expand_as(x), "an average of itself"),
    "two gates of the stream": (lambda x, f: 0.5 * x + f(x).sigmoid() * x, "only an identity shortcut"),
    "average as the stream": (lambda x, f: average(x) + f(x), "a shortcut is repeated"),
    "mask": (lambda x, f: x + (f(x) > 0), "truth values or integers"),
    "mask as numbers": (lambda x, f: x + (f(x) > 0).float(), "truth values or integers"),
    "integers": (lambda x, f: x + f(x).round().long(), "truth values or integers"),
    "the largest": (lambda x, f: x + F.one_hot(f(x).argmax(-1), 8).float(), "truth values or integers"),
    "a code book": (lambda x, f: x + F.embedding(f(x).argmax(-1), f.weight), "truth values or integers"),
    "an integer stream": (lambda x, f: ((99 * x).long() + (99 * f(x)).long()).float(), "the addends are integers"),
    "complex": (lambda x, f: torch.view_as_real(x + 1j * f(x) + x).sum(-1), "complex"),
    "row by row": (lambda x, f: torch.stack([r + f(r) for r in x.flatten(0, 1)]).view_as(x), "one axis"),
    "addcmul with a gate": (lambda x, f: torch.addcmul(x, f(x), f(x).sigmoid()), "addcmul adds inside one call"),
    "lerp with a gate": (lambda x, f: torch.lerp(x, f(x), f(x).sigmoid()), "lerp adds inside one call"),
    "index_add": (lambda x, f: x.index_add(1, torch.arange(3), f(x)[:, :3]), "index_add adds inside one call"),
    "rsub": (lambda x, f: torch.rsub(f(x), x), "rsub adds inside one call"),
    "foreach": (lambda x, f: torch._foreach_add([x], [f(x)])[0], "foreach_add adds inside one call"),
    "sum of a stack": (lambda x, f: torch.stack([x, f(x)]).sum(0), "If a later call adds the parts"),
    "NumPy": (lambda x, f: x + torch.from_numpy(f(x).detach().numpy() * 1), "an addend was made by calls"),
    "a tensor of an array": (lambda x, f: x + torch.tensor(f(x).detach().numpy()), "an addend was made by calls"),
    "an array as a tensor": (lambda x, f: x + torch.asarray(f(x).detach().numpy()), "an addend was made by calls"),
    "a list": (lambda x, f: x + torch.tensor(f(x).tolist()), "an addend was made by calls"),
    "a list in another shape": (
        lambda x, f: x + x.new_tensor(f(x).flatten().tolist()).view_as(x),
        "an addend was made by calls",
    ),
    "a list of tensors": (
        lambda x, f: x + torch.stack([torch.tensor(row.tolist()) for row in f(x)]),
        "an addend was made by calls",
    ),
    "a branch without its input": (lambda x, f: f(x) - x, "A value is subtracted from what layers have computed"),
    "the same by a call": (lambda x, f: torch.add(f(x), x, alpha=-1), "A value is subtracted from what layers"),
}


@pytest.mark.parametrize(("rule", "reason"), TOLD.values(), ids=TOLD)
def test_a_sum_that_is_not_counted_is_told_with_its_place_and_reason(rule, reason):
    report = probe(three(rule), tokens(), loss=None)
    assert not report.streams
    (told,) = [finding for finding in report.findings() if reason in finding]
    assert "0" in told


# No sum of a value and of what layers have made of it: nothing to tell.
NO_SUM = {
    "centred": lambda x, f: x - x.mean(-1, keepdim=True),
    "standardized": lambda x, f: f.bias * (x - average(x)) / (x.var(1, keepdim=True) + 1e-5).sqrt() + f.bias,
    "GELU by hand": lambda x, f: f(0.5 * x * (1 + torch.tanh(x + 0.04 * x**3))),
    "softmax by hand": lambda x, f: (f(x) - f(x).amax(-1, keepdim=True)).exp(),
    "a gate alone": lambda x, f: x * (1 + f(x)),
    "a table of numbers": lambda x, f: f(x) + torch.tensor([[0.5] * 8] * 5),
    "a map of numbers": lambda x, f: f(x @ torch.tensor([[0.5] * 8] * 8)),
    "the identity within a weight": lambda x, f: x @ (torch.eye(8) + f.weight),
    "a norm as the branch": lambda x, f: x + F.layer_norm(x, (8,)),
    "two branches of one kind": lambda x, f: f(x).relu() + f(x).tanh(),
    "a straight-through code": lambda x, f: f(x) + (F.embedding(f(x).argmax(-1), f.weight) - f(x)).detach(),
    "masked scores": lambda x, f: (f(x) @ x.mT + torch.where(x[:, :, 0] > 9, -9.0, 0.0)[:, None]).softmax(-1) @ f(x),
}


@pytest.mark.parametrize("rule", NO_SUM.values(), ids=NO_SUM)
def test_what_is_no_residual_sum_is_neither_counted_nor_told(rule):
    report = probe(three(rule), tokens())
    assert not report.streams
    assert not report.unfollowed
    assert report.findings()[0].startswith("No residual stream was found: no + or - adds to a value what layers")


class Mixer(nn.Module):
    """A layer as in PoolFormer and FNet: one branch mixes tokens, the other features."""

    def __init__(self, mix):
        super().__init__()
        self.norm, self.mix, self.gain = nn.LayerNorm(8), mix, nn.Parameter(torch.ones(8))
        self.features = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        x = x + self.gain * self.mix(self.norm(x))
        return x + self.features(x)


class Shared(nn.Module):
    """One norm for two branches side by side, as in GPT-J."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.one, self.other = (nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(2))

    def forward(self, x):
        y = self.norm(x)
        return x + self.one(y) + self.other(y)


class OwnSequential(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


LAYERS = {
    "pooling": lambda: Mixer(lambda y: F.avg_pool1d(y.mT, 3, 1, 1).mT - y),
    "Fourier": lambda: Mixer(lambda y: torch.fft.fft2(y).real),
    "one norm for two": Shared,
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_both_sums_of_a_layer_are_on_the_stream(layer):
    report = probe(nn.Sequential(*(layer() for _ in range(3))), tokens())
    assert [point.module for point in report.streams[0].points] == list("0001122")
    assert {point.shortcut for point in report.streams[0].points[1:]} == {"identity"}
    assert not report.unfollowed


def test_a_residual_within_a_subclass_of_sequential():
    model = nn.Sequential(*(OwnSequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3)))
    assert found(model, tokens()) == [(3, {"identity"})]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision(dtype):
    model, x = three(lambda x, f: x + f(x)), tokens()
    sizes = [point.rms for point in probe(model, x).streams[0].points]
    report = probe(model.to(dtype), x.to(dtype), loss=lambda output: output.float().square().mean())
    assert [point.rms for point in report.streams[0].points] == pytest.approx(sizes, rel=0.01)


def test_numbers_of_a_branch_that_is_repeated():
    model, x = three(lambda x, f: x + f(average(x)))[:1], tokens()
    branch = model[0].linear(average(x)).expand_as(x)
    point = probe(model, x).streams[0].points[1]
    assert point.branch_ratio == pytest.approx((branch.norm() / x.norm()).item(), rel=1e-5)
    assert point.cosine == pytest.approx(F.cosine_similarity(branch.flatten(), x.flatten(), 0).item(), abs=1e-5)


def test_a_sum_into_a_given_tensor():
    with torch.no_grad():
        assert found(three(lambda x, f: torch.add(x, f(x), out=torch.empty_like(x))), tokens()) == [(3, {"identity"})]


def exported(model, x):
    return torch.export.export(model, (x,))


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_an_exported_model_has_the_numbers_of_the_model(layer):
    model, x = nn.Sequential(*(layer() for _ in range(2))), tokens()
    own, of_export = probe(model, x), probe(exported(model, x).module(), x)
    assert not of_export.unfollowed
    for one, other in zip(own.streams[0].points, of_export.streams[0].points, strict=True):
        assert (other.shortcut, other.shape) == (one.shortcut, one.shape)
        assert other.rms == pytest.approx(one.rms, rel=1e-5)
        assert (other.gradient_norm or 0) == pytest.approx(one.gradient_norm or 0, rel=1e-4)
    assert [norm.slope for norm in of_export.norms] == pytest.approx([norm.slope for norm in own.norms], rel=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_unflattened_export_has_the_names_of_the_model_too():
    model, x = nn.Sequential(*(Shared() for _ in range(2))), tokens()
    found = torch.export.export(model, (x,), strict=False)  # those of a strict export torch 2.6 cannot unflatten
    report = probe(torch.export.unflatten(found), x)
    assert [point.module for point in report.streams[0].points] == list("00011")


def test_a_traced_graph_has_the_numbers_of_the_model():
    model, x = three(lambda x, f: x + f(x)), tokens()
    traced = probe(torch.fx.symbolic_trace(model), x).streams[0].points
    assert [p.rms for p in traced] == [p.rms for p in probe(model, x).streams[0].points]
