"""Every wrong argument gets a sentence that names it, what it was and what it must be."""

import inspect
import pkgutil
import re
from functools import partial

import pytest
import torch
from torch import nn

from resnorm_lib import _arguments
from resnorm_lib import norms as n

X = torch.ones(4, 3)
WRONG = [
    # constructors of the row norms
    (lambda: n.LayerNorm(3.0), "normalized_shape is 3.0, but it must be an integer."),
    (lambda: n.LayerNorm(True), "normalized_shape is True, but it must be an integer."),
    (lambda: n.LayerNorm(()), "normalized_shape is (), but it must name at least one axis."),
    (lambda: n.RMSNorm((3, -1)), "normalized_shape is -1, but it must be at least 1."),
    (lambda: n.LayerNorm(3, eps=-1e-5), "eps is -1e-05, but it must be at least 0."),
    (lambda: n.LayerNorm(3, eps=None), "eps is None, but it must be a number."),
    (lambda: n.LayerNorm(3, eps=float("nan")), "eps is nan, but it must be at least 0."),
    (lambda: n.LayerNorm(3, elementwise_affine="no"), "elementwise_affine is 'no', but it must be True or False."),
    (lambda: n.LayerNorm(3, bias=1), "bias is 1, but it must be True or False."),
    (lambda: n.LayerNorm(3, elementwise_affine=False, bias=1), "bias is 1, but it must be True or False."),
    (lambda: n.LayerNorm(3, zero_centered_gain=0), "zero_centered_gain is 0, but it must be True or False."),
    (lambda: n.RMSNorm(3, eps="small"), "eps is 'small', but it must be a number."),
    (lambda: n.RMSNorm(3, elementwise_affine=0), "elementwise_affine is 0, but it must be True or False."),
    (lambda: n.ScaleNorm((3,)), "dim is (3,), but it must be an integer."),
    (lambda: n.AdaNorm(3, scale=-1), "scale is -1, but it must be at least 0."),
    (lambda: n.AdaNorm(3, k="big"), "k is 'big', but it must be a number."),
    (lambda: n.DynamicTanh("3"), "normalized_shape is '3', but it must be an integer."),
    (lambda: n.DynamicTanh(3, alpha_init_value=None), "alpha_init_value is None, but it must be a number."),
    (lambda: n.DynamicTanh(3, elementwise_affine=2), "elementwise_affine is 2, but it must be True or False."),
    (lambda: n.Derf(3, shift_init_value="0"), "shift_init_value is '0', but it must be a number."),
    # of the channel norms
    (lambda: n.BatchNorm(-2), "num_features is -2, but it must be at least 1."),
    (lambda: n.BatchNorm(3, momentum=1.5), "momentum is 1.5, but it must be between 0 and 1."),
    (lambda: n.BatchNorm(3, affine=None), "affine is None, but it must be True or False."),
    (lambda: n.BatchNorm(3, track_running_stats=1), "track_running_stats is 1, but it must be True or False."),
    (lambda: n.GhostBatchNorm(3, 0), "ghost_batch_size is 0, but it must be at least 1."),
    (lambda: n.BatchRenorm(3, r_max=0.5), "r_max is 0.5, but it must be at least 1."),
    (lambda: n.BatchRenorm(3, d_max=-1), "d_max is -1, but it must be at least 0."),
    (lambda: n.BatchRenorm(3, momentum=1.5), "momentum is 1.5, but it must be between 0 and 1."),
    (lambda: n.BatchNorm(3, bias=0), "bias is 0, but it must be True or False."),
    (lambda: n.BatchNorm(3, eps=0), "eps is 0, but it must be positive"),
    (lambda: n.GhostBatchNorm(3, eps=0.0), "eps is 0.0, but it must be positive"),
    (lambda: n.BatchRenorm(3, eps=0), "eps is 0, but it must be positive"),
    (lambda: n.GroupNorm(0, 6), "num_groups is 0, but it must be at least 1."),
    (lambda: n.GroupNorm(2, 0), "num_channels is 0, but it must be at least 1."),
    (lambda: n.GroupNorm(4, 6), "num_groups is 4, but it must divide num_channels, which is 6."),
    (lambda: n.GroupNorm(2, 6, eps="x"), "eps is 'x', but it must be a number."),
    (lambda: n.GroupNorm(2, 6, affine=1), "affine is 1, but it must be True or False."),
    (lambda: n.InstanceNorm(3, momentum=None), "momentum is None, but it must be a number."),
    # of the others
    (lambda: n.AdaptiveLayerNorm(0, 3), "dim is 0, but it must be at least 1."),
    (lambda: n.AdaptiveLayerNorm(3, 0), "condition_features is 0, but it must be at least 1."),
    (lambda: n.AdaptiveLayerNorm(3, 3, eps=-1), "eps is -1, but it must be at least 0."),
    (lambda: n.QKNorm(0), "head_dim is 0, but it must be at least 1."),
    (lambda: n.QKNorm(4, "rsm"), "norm is 'rsm', but it must be one of 'layer', 'rms'. Did you mean 'rms'?"),
    (lambda: n.CosineQKNorm(0), "head_dim is 0, but it must be at least 1."),
    (lambda: n.CosineQKNorm(4, gain="1"), "gain is '1', but it must be a number."),
    (lambda: n.CosineQKNorm(4, eps=-1), "eps is -1, but it must be at least 0."),
    (lambda: n.WeightNorm("0"), "dim is '0', but it must be an axis of the weight, counted from 0, or None."),
    (lambda: n.WeightStandardization(-1), "eps is -1, but it must be at least 0."),
    (lambda: n.weight_norm("Linear"), "module is 'Linear', but it must be an nn.Module."),
    (lambda: n.weight_norm(nn.Linear(2, 3), "w"), "name is 'w', but the parameters of Linear are: weight, bias."),
    (lambda: n.weight_norm(nn.ReLU()), "name is 'weight', but the parameters of ReLU are: none."),
    (lambda: n.weight_norm(nn.Linear(2, 3), dim=2), "dim is 2, but the weight has 2 axes."),
    (
        lambda: n.weight_norm(nn.LayerNorm(3), "bias"),
        "the weight has a zero slice along dim=0: it has no direction to normalize.",
    ),
    (
        lambda: n.weight_standardization(nn.Linear(2, 3), "bias"),
        "bias has 1 axes, but standardization needs at least two.",
    ),
    (
        lambda: n.weight_standardization(nn.Linear(2, 3), 3),
        "name is 3, but the parameters of Linear are: weight, bias.",
    ),
    # inputs
    (lambda: n.LayerNorm((4, 4))(X), "x has shape (4, 3), but its last axes must be (4, 4)."),
    (lambda: n.RMSNorm((2, 4, 3))(X), "x has shape (4, 3), but its last axes must be (2, 4, 3)."),
    (lambda: n.BatchNorm(4)(X[0]), "x has shape (3,), but it must be (N, 4, ...)."),
    (lambda: n.InstanceNorm(3)(X), "x has shape (4, 3), but it must be (N, 3, L, ...)."),
    (
        lambda: n.InstanceNorm(3)(X[..., None]),
        "x has shape (4, 3, 1): each channel needs at least two positions, because one has no spread.",
    ),
    (
        lambda: n.InstanceNorm(3, track_running_stats=True)(torch.ones(0, 3, 2)),
        "x has shape (0, 3, 2): running statistics need at least one sample.",
    ),
    (
        lambda: n.BatchRenorm(3)(X[:1]),
        "x has shape (1, 3): in training each channel needs at least two entries, "
        "because one entry has no spread. Use a larger batch, or eval().",
    ),
    (lambda: n.AdaptiveLayerNorm(4, 2)(X, X), "x has shape (4, 3), but its last axes must be (4,)."),
    (
        lambda: n.AdaptiveLayerNorm(3, 2)(X, X),
        "condition has shape (4, 3), but it must be 2 features behind leading axes of x, which has shape (4, 3).",
    ),
    (
        lambda: n.AdaptiveLayerNorm(3, 3)(X, X[:2]),
        "condition has shape (2, 3), but it must be 3 features behind leading axes of x, which has shape (4, 3).",
    ),
    (lambda: n.AdaptiveLayerNorm(3, 2)(X, 1.0), "condition is 1.0, but it must be a tensor."),
    (lambda: n.QKNorm(4)(X, X), "q has shape (4, 3), but its last axes must be (4,)."),
    (lambda: n.CosineQKNorm(3)(X, X[:, :2]), "k has shape (4, 2), but its last axes must be (3,)."),
    # the factory
    (lambda: n.make_norm("rmsnorm", 3), "Did you mean 'rms'?"),
    (lambda: n.make_norm(3, 3), "norm is 3, but it must be a name, a class or a function that builds a module"),
    (lambda: n.make_norm(nn.LayerNorm(3), 3), "norm is LayerNorm((3,), eps=1e-05, elementwise_affine=True"),
    (
        lambda: n.make_norm(abs, 3),
        "norm is <built-in function abs>, which returns 3 for 3 features, but it must return",
    ),
    (lambda: n.make_norm(None, 0), "dim is 0, but it must be at least 1."),
    (lambda: n.named("rms")(n.LayerNorm), "name is 'rms', but RMSNorm has that name already."),
    (lambda: n.make_norm("none", 0), "dim is 0, but it must be at least 1."),
    (lambda: n.make_norm("none", 3, eps=1), "eps is no option of the norm 'none': it has none."),
    (
        lambda: n.make_norm("ada", 3, bias=True),
        "bias is no option of the norm 'ada': it has scale, k, eps, device, dtype.",
    ),
]


@pytest.mark.parametrize(("wrong", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_wrong_argument_gets_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        wrong()


norms_by_name = pytest.mark.parametrize("name", [name for name in n.NORMS if name != "none"])


@norms_by_name
def test_every_norm_answers_wrong_sizes_and_inputs_with_a_sentence(name):
    with pytest.raises(ValueError, match=r"^(dim|normalized_shape|num_features) is 0, but it must be at least 1\.$"):
        n.make_norm(name, 0)
    norm = n.make_norm(name, 4)
    wanted = r"its last axes must be \(4,\)\.|it must be \(N, 4, (L, )?\.\.\.\)\."
    with pytest.raises(ValueError, match=rf"^x has shape \(4, 3, 3\), but ({wanted})$"):
        norm(torch.ones(4, 3, 3))
    with pytest.raises(ValueError, match=r"^x has dtype torch.int64, but it must be a floating point tensor\.$"):
        norm(torch.ones(4, 4, 4).long())
    with pytest.raises(ValueError, match=r"^x is \[1\.0\], but it must be a tensor\.$"):
        norm([1.0])


@pytest.mark.parametrize("name", [name for name in n.NORMS if "eps" in inspect.signature(n.NORMS[name]).parameters])
def test_a_negative_eps_gets_a_sentence(name):
    with pytest.raises(ValueError, match=r"^eps is -1, but it must be at least 0\.$"):
        n.make_norm(name, 4, eps=-1)


def test_every_file_of_norms_is_imported_with_the_package():
    files = {file.name for file in pkgutil.iter_modules(n.__path__)}
    missing = ", ".join(files - vars(n).keys())
    assert not missing, f"resnorm_lib/norms/__init__.py does not import {missing}: add a line for its class."


def test_what_has_no_name_is_among_the_wrong_calls():
    source = inspect.getsource(inspect.getmodule(test_a_wrong_argument_gets_a_sentence))
    named = {type(n.make_norm(name, 4)).__name__ for name in n.NORMS}
    missing = [name for name in n.__all__ if name not in named | {"NORMS"} and f"n.{name}(" not in source]
    assert not missing, f"tests/norms/test_arguments.py calls {', '.join(missing)} nowhere: add a wrong call to WRONG."


@pytest.mark.parametrize("name", n.NORMS)
def test_make_norm_builds_each_norm_from_a_name_and_a_size(name):
    x = torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(0))  # fits rows and channels alike
    assert n.make_norm(name, 6)(x).shape == x.shape


OF_TORCH = {"BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm"}  # these keep torch's order


@pytest.mark.parametrize("name", [x for x in n.__all__ if isinstance(getattr(n, x), type) and x not in OF_TORCH])
def test_what_follows_the_sizes_of_our_own_norms_is_given_by_name(name):
    parameters = inspect.signature(getattr(n, name)).parameters.values()
    by_place = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert by_place[1:] in ([], ["ghost_batch_size"], ["norm"], ["condition_features"])


def test_make_norm_passes_its_options_on():
    assert n.make_norm("layer", 6, eps=1e-3, elementwise_affine=False).eps == 1e-3
    assert n.make_norm("group", 6, num_groups=3).num_groups == 3
    assert [n.make_norm("group", dim).num_groups for dim in (8, 64, 48, 100, 7)] == [8, 32, 16, 4, 1]
    assert n.make_norm("ghost_batch", 6, ghost_batch_size=5).ghost_batch_size == 5
    assert isinstance(n.make_norm("none", 6), nn.Identity)
    assert n.make_norm(n.RMSNorm, 6, eps=1e-6).eps == 1e-6


@pytest.mark.parametrize(
    ("norm", "kind"),
    [
        (n.RMSNorm, n.RMSNorm),
        (nn.LayerNorm, nn.LayerNorm),
        (partial(n.RMSNorm, eps=1e-6), n.RMSNorm),
        (partial(n.GroupNorm, 2), n.GroupNorm),
        (lambda dim: nn.GroupNorm(dim, dim), nn.GroupNorm),
        (None, nn.Identity),
    ],
    ids=["class", "class of torch", "partial", "partial with groups", "lambda", "None"],
)
def test_make_norm_takes_whatever_builds_a_norm_from_a_size(norm, kind):
    built = n.make_norm(norm, 6)
    assert type(built) is kind
    assert built(torch.ones(2, 6)).shape == (2, 6)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_device_and_dtype_reach_parameters_and_statistics(device):
    for name in n.NORMS:
        if name == "none":
            continue
        module = n.make_norm(name, 6, device=device, dtype=torch.float64)
        for key, tensor in module.state_dict().items():
            assert tensor.device.type == device, key
            assert tensor.dtype == torch.float64 or key == "num_batches_tracked"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (n.LayerNorm, nn.LayerNorm),
        (n.RMSNorm, nn.RMSNorm),
        (n.BatchNorm, nn.BatchNorm2d),
        (n.GroupNorm, nn.GroupNorm),
        (n.InstanceNorm, nn.InstanceNorm2d),
    ],
)
def test_arguments_and_defaults_are_those_of_torch_in_the_same_order(ours, theirs):
    def positional(cls):
        return [(p.name, p.default) for p in inspect.signature(cls).parameters.values() if p.kind != p.KEYWORD_ONLY]

    assert positional(ours) == positional(theirs)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (lambda: _arguments.positive_int("size", torch.tensor(3).item()), 3),
        (lambda: _arguments.positive_int("size", 0, at_least=0), 0),
        (lambda: _arguments.number("rate", 1, at_least=0, at_most=1), 1.0),
        (lambda: _arguments.number("rate", -7), -7.0),
        (lambda: _arguments.choice("kind", "a", ("a", "b")), "a"),
        (lambda: _arguments.flag("deep", False), False),
    ],
)
def test_a_right_argument_comes_back(check, value):
    assert check() == value
    assert type(check()) is type(value)
