"""Bytes and seconds of messages, as their formulas say."""

import pytest
import torch
from torch import nn

from resnorm_lib.norms import BatchNorm
from resnorm_lib.parallel import (
    SyncBatchNorm,
    Traffic,
    gradient_seconds,
    ring_bytes,
    run,
    seconds,
    sync_norm_seconds,
)

LINE = {"latency": 1e-5, "bandwidth": 1e9}


def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather():
    for count in (ring_bytes, lambda *what: seconds(*what, **LINE)):
        halves = [count(kind, 4000, 8) for kind in ("reduce-scatter", "all-gather")]
        assert sum(halves) == pytest.approx(count("all-reduce", 4000, 8))


def test_no_process_sends_more_than_twice_the_tensor():
    assert ring_bytes("all-reduce", 100, 2) == 100
    assert 199 < ring_bytes("all-reduce", 100, 1024) < 200


def test_a_ring_pays_for_each_process_and_a_tree_for_each_doubling():
    latency = {name: [seconds("all-reduce", 0, n, **LINE, algorithm=name) / 1e-5 for n in (2, 8, 1024)] for name in
               ("ring", "tree")}  # fmt: skip
    assert latency["ring"] == pytest.approx([2, 14, 2046])
    assert latency["tree"] == pytest.approx([2, 6, 20])


def test_messages_of_norms_come_one_after_another():
    assert sync_norm_seconds([8, 8], 4, **LINE) == pytest.approx(2 * sync_norm_seconds([8], 4, **LINE))
    assert sync_norm_seconds([], 4, **LINE) == 0
    assert gradient_seconds(250, 1, **LINE) == 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ring_bytes("gossip", 1, 2), "kind is 'gossip'"),
        (lambda: ring_bytes("all-reduce", -1, 2), "size is -1, but it must be at least 0"),
        (lambda: seconds("all-reduce", 1, 2, **LINE, algorithm="star"), "algorithm is 'star'"),
        (lambda: seconds("all-reduce", 1, 0, **LINE), "processes is 0, but it must be at least 1"),
        (lambda: seconds("all-reduce", 1, 2, latency=1, bandwidth=0), "bandwidth is 0, but it must be positive"),
    ],
)
def test_a_wrong_argument_is_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_traffic_without_messages_says_so():
    with Traffic() as traffic:
        nn.Linear(2, 2)(torch.ones(1, 2))
    assert repr(traffic) == "nothing is sent"


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("options", [{}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}])
def test_synchronized_batch_norm_of_one_process_is_batch_norm(shape, options):
    def compare():
        results = []
        for norm in (SyncBatchNorm(3, **options).double(), BatchNorm(3, **options).double()):
            x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
            y = norm(x)
            y.pow(3).sum().backward()
            results.append([y, x.grad, *(p.grad for p in norm.parameters()), *norm.buffers()])
        for ours, theirs in zip(*results):
            torch.testing.assert_close(ours, theirs)

    run(compare, 1)


def test_its_gradients_are_those_of_differences():
    def compare():
        x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        assert torch.autograd.gradcheck(SyncBatchNorm(3, track_running_stats=False).double(), x)

    run(compare, 1)
