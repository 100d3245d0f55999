"""Tools of torch, and users of torch, can treat each norm as the layer of torch that has its name."""

import copy

import pytest
import torch
from torch import nn
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.swa_utils import update_bn

from resnorm_lib import norms as n

KINDS = [
    (n.LayerNorm, nn.LayerNorm),
    (n.RMSNorm, nn.RMSNorm),
    (n.BatchNorm, _BatchNorm),
    (n.GhostBatchNorm, _BatchNorm),
    (n.BatchRenorm, _BatchNorm),
    (n.InstanceNorm, _InstanceNorm),
    (lambda dim, **options: n.GroupNorm(2, dim, **options), nn.GroupNorm),
]
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
        (n.BatchNorm(4, bias=False), nn.BatchNorm1d(4, bias=False)),
        (n.GroupNorm(2, 4, bias=False), nn.GroupNorm(2, 4, bias=False)),
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
    with pytest.raises(AttributeError, match="running_var"):
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


def test_a_convolution_takes_up_the_norm_behind_it():
    conv, norm = nn.Conv2d(3, 4, 3), n.BatchNorm(4)
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    norm(conv(x))
    torch.testing.assert_close(fuse_conv_bn_eval(conv.eval(), norm.eval())(x), norm(conv(x)))
