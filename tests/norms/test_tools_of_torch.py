"""Tools of torch, and users of torch, can treat each norm as the layer of torch that has its name."""

import copy
from functools import partial
from inspect import signature

import pytest
import torch
from torch import nn
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.swa_utils import update_bn

from resnorm_lib import norms as n
from tests.norms.cases import without_bias

KINDS = [
    (n.LayerNorm, nn.LayerNorm),
    (n.RMSNorm, nn.RMSNorm),
    (n.BatchNorm, _BatchNorm),
    (n.GhostBatchNorm, _BatchNorm),
    (n.BatchRenorm, _BatchNorm),
    (n.InstanceNorm, _InstanceNorm),
    (lambda dim, **options: n.GroupNorm(2, dim, **options), nn.GroupNorm),
]
# Where torch's own norms of channels have no such option yet, they do not print it either.
NO_BIAS = {"bias": False} if "bias" in signature(nn.BatchNorm1d).parameters else {}
OF_BATCHES = [n.BatchNorm, lambda dim: n.GhostBatchNorm(dim, 4), n.BatchRenorm]


def batches(count=3, rows=8):
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(rows, 4, generator=generator) * (i + 1) + i for i in range(count)]


@pytest.mark.parametrize(("make", "kind"), KINDS)
def test_filters_by_class_find_the_norm(make, kind):
    """Weight-decay groups, freezing and the wrapping rules of FSDP look at the class."""
    model = nn.Sequential(nn.Linear(4, 4), make(4))
    assert [isinstance(part, kind) for part in model] == [False, True]
    policy = ModuleWrapPolicy({kind})
    assert [policy(part, recurse=False, nonwrapped_numel=0) for part in model] == [False, True]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (n.LayerNorm(4, 1e-6), nn.LayerNorm(4, 1e-6)),
        (n.LayerNorm((2, 4), bias=False), nn.LayerNorm((2, 4), bias=False)),
        (n.RMSNorm(4), nn.RMSNorm(4)),
        (n.BatchNorm(4, momentum=None), nn.BatchNorm1d(4, momentum=None)),
        (n.BatchNorm(4, bias=False), nn.BatchNorm1d(4, **NO_BIAS)),
        (n.GroupNorm(2, 4, bias=False), nn.GroupNorm(2, 4, **NO_BIAS)),
        (n.InstanceNorm(4, affine=True), nn.InstanceNorm1d(4, affine=True)),
    ],
    ids=repr,
)
def test_it_is_printed_as_by_torch(ours, theirs):
    assert repr(ours).partition("(")[2] == repr(theirs).partition("(")[2]


@pytest.mark.parametrize(("make", "kind"), [kind for kind in KINDS if kind[0] is not n.RMSNorm])
def test_a_norm_can_do_without_its_bias(make, kind):
    norm = make(4, bias=False, **({"affine": True} if make is n.InstanceNorm else {}))
    assert [name for name, _ in norm.named_parameters()] == ["weight"]
    norm.reset_parameters()


@pytest.mark.parametrize("make", OF_BATCHES[:2], ids=["batch", "ghost_batch"])
def test_conversion_to_synchronized_batch_norm_keeps_all_tensors(make):
    model = nn.Sequential(nn.Linear(4, 4), make(4))
    for x in batches():
        model(x)
    synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)).eval()
    assert type(synchronized[1]) is nn.SyncBatchNorm
    torch.testing.assert_close(synchronized.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert torch.equal(synchronized(x), model.eval()(x))


def test_batch_renorm_is_not_made_synchronized_batch_norm_in_silence():
    """Synchronized batch normalization is another layer, and batch renormalization has no running variance."""
    assert not hasattr(n.BatchRenorm(4), "running_var")
    with pytest.raises(AttributeError, match=r"standard deviation, in running_std\. So it cannot"):
        nn.SyncBatchNorm.convert_sync_batchnorm(n.BatchRenorm(4))


@pytest.mark.parametrize("make", OF_BATCHES, ids=["batch", "ghost_batch", "batch_renorm"])
def test_update_bn_leaves_the_average_over_the_batches(make):
    model = nn.Sequential(make(4)).eval()
    model[0].running_mean.fill_(7)
    momentum = model[0].momentum
    update_bn(batches(), model)
    torch.testing.assert_close(model[0].running_mean, torch.stack([x.mean(0) for x in batches()]).mean(0))
    assert (model[0].momentum, model.training) == (momentum, False)


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("ours", "theirs", "space"),
    [(n.BatchNorm, nn.BatchNorm1d, ()), (n.InstanceNorm, nn.InstanceNorm1d, (5,))],
    ids=["batch", "instance"],
)
def test_track_running_stats_that_is_set_later_means_what_it_means_to_torch(ours, theirs, space, training, tracked):
    layers = [make(4, track_running_stats=not tracked) for make in (ours, theirs)]
    x, z = torch.randn(2, 8, 4, *space, generator=torch.Generator().manual_seed(0))
    results = []
    for layer in layers:
        layer(x)
        layer.track_running_stats = tracked
        layer.train(training)
        try:
            results.append([layer(z), *layer.buffers()])
        except RuntimeError:  # torch's InstanceNorm asks for statistics that it never kept
            assert isinstance(layer, nn.InstanceNorm1d)
            assert tracked
            return
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_files_from_before_batches_were_counted_are_loaded():
    norm, old = n.BatchNorm(4), nn.BatchNorm1d(4).state_dict()
    del old["num_batches_tracked"]
    old._metadata[""]["version"] = 1
    norm(batches()[0])
    norm.load_state_dict(old)
    torch.testing.assert_close(norm.running_mean, torch.zeros(4))


STATE_KEEPING = [
    *((make, nn.BatchNorm1d) for make in OF_BATCHES[:2]),
    (
        lambda dim: n.InstanceNorm(dim, track_running_stats=True),
        lambda dim: nn.InstanceNorm1d(dim, track_running_stats=True),
    ),
]


@pytest.mark.parametrize(("make", "twin"), STATE_KEEPING, ids=["batch", "ghost_batch", "instance"])
def test_a_state_dict_without_counts_and_without_versions_is_loaded(make, twin):
    """Such are published files of ResNets: a plain dict, written before batches were counted."""
    old = {name: value + 1 for name, value in nn.Sequential(twin(4)).state_dict().items() if "tracked" not in name}
    model = nn.Sequential(make(4))
    model.load_state_dict(old)
    torch.testing.assert_close(model[0].running_var, torch.full((4,), 2.0))
    assert model[0].num_batches_tracked == 0
    assert make(4).state_dict()._metadata == twin(4).state_dict()._metadata


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (partial(n.LayerNorm, 4), partial(nn.LayerNorm, 4)),
        (partial(n.GroupNorm, 2, 4), partial(nn.GroupNorm, 2, 4)),
        (partial(n.BatchNorm, 4), partial(nn.BatchNorm2d, 4)),
        (partial(n.GhostBatchNorm, 4), partial(nn.BatchNorm1d, 4)),
        (partial(n.InstanceNorm, 4, affine=True), partial(nn.InstanceNorm3d, 4, affine=True)),
    ],
    ids=["layer", "group", "batch", "ghost_batch", "instance"],
)
def test_the_state_dict_of_torchs_layer_without_a_bias_fits(ours, theirs):
    ours(bias=False).load_state_dict(without_bias(theirs()).state_dict())


def test_a_norm_by_name_can_do_without_its_bias():
    for name in ("layer", "batch", "ghost_batch", "batch_renorm", "group", "instance"):
        affine = {"affine": True} if name == "instance" else {}
        assert n.make_norm(name, 64, bias=False, **affine).bias is None


@pytest.mark.parametrize("make", OF_BATCHES[:2], ids=["batch", "ghost_batch"])
def test_statistics_can_be_taken_out_for_torch_func(make):
    """As torch.func asks: then a batch of models can be trained under vmap."""
    model = nn.Sequential(make(4))
    torch.func.replace_all_batch_norm_modules_(model)
    x = torch.stack(batches())
    state = {name: value.expand(3, 4) for name, value in dict(model.named_parameters()).items()}
    y = torch.vmap(lambda state, x: torch.func.functional_call(model, state, x))(state, x)
    torch.testing.assert_close(y, torch.stack([model(part) for part in x]))


def test_batch_renorm_says_that_it_cannot_do_without_statistics():
    model = nn.Sequential(n.BatchRenorm(4))
    torch.func.replace_all_batch_norm_modules_(model)
    for mode in (True, False):
        with pytest.raises(ValueError, match="running_mean is None, but batch renormalization is a correction towards"):
            model.train(mode)(batches()[0])


@pytest.mark.parametrize("tracking", [False, True])
@pytest.mark.parametrize("make", [n.InstanceNorm, n.BatchNorm, n.GroupNorm, n.LayerNorm])
def test_an_export_takes_images_of_any_number_and_size(make, tracking):
    options = {"track_running_stats": tracking} if issubclass(make, _BatchNorm | _InstanceNorm) else {}
    norm = make(2, 4) if make is n.GroupNorm else make(5 if make is n.LayerNorm else 4, **options)
    sizes = {0: torch.export.Dim("rows", min=2), 2: torch.export.Dim("height", min=2)}
    exported = torch.export.export(norm.eval(), (torch.randn(3, 4, 6, 5),), dynamic_shapes=(sizes,)).module()
    for rows, height in ((2, 3), (7, 6), (4, 11)):
        x = torch.randn(rows, 4, height, 5)
        torch.testing.assert_close(exported(x), norm(x))


@pytest.mark.parametrize(("make", "kind"), KINDS)
def test_symbolic_tracing_is_told_what_to_do(make, kind):
    with pytest.raises(ValueError, match=r"symbolic_trace cannot follow .* is_leaf_module"):
        torch.fx.symbolic_trace(nn.Sequential(make(4)))

    class Leaving(torch.fx.Tracer):
        def is_leaf_module(self, module, name):
            return isinstance(module, kind) or super().is_leaf_module(module, name)

    model, x = nn.Sequential(nn.Linear(4, 4), make(4)).eval(), torch.randn(8, 4, 5).movedim(1, 2)
    model[0] = nn.Conv1d(4, 4, 1) if make is n.InstanceNorm else model[0]
    x = x.movedim(1, 2) if make is n.InstanceNorm else x[:, 0]
    assert torch.equal(torch.fx.GraphModule(model, Leaving().trace(model))(x), model(x))


def test_a_convolution_takes_up_the_norm_behind_it():
    conv, norm = nn.Conv2d(3, 4, 3), n.BatchNorm(4)
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    norm(conv(x))
    torch.testing.assert_close(fuse_conv_bn_eval(conv.eval(), norm.eval())(x), norm(conv(x)))
