"""Ghost batch normalization computes parts of one length in one call, and gives what batch normalization gives each."""

import pytest
import torch

from resnorm_lib.norms import BatchNorm, GhostBatchNorm


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(size, **settings):
    """Return a ghost batch norm and a batch norm in float64 with the same gain and bias."""
    layers = GhostBatchNorm(3, size, **settings).double(), BatchNorm(3, **settings).double()
    for layer in layers:
        for seed, value in enumerate(layer.parameters(), 1):
            value.data.copy_(normal(3, seed=seed))
    return layers


def apart(layer, x, parts):
    return torch.cat([layer(part) for part in x.tensor_split(parts)])


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 11])
def test_parts_are_cut_in_order_and_none_is_smaller_than_asked(rows):
    x, (ghost, plain) = normal(rows, 3, 5), pair(3)
    parts = max(1, rows // 3)
    assert all(len(part) >= min(3, rows) for part in x.tensor_split(parts))
    torch.testing.assert_close(ghost(x), apart(plain, x, parts))
    torch.testing.assert_close(ghost.state_dict(), plain.state_dict())


@pytest.mark.parametrize(
    "settings", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}], ids=str
)
@pytest.mark.parametrize("shape", [(12, 3), (12, 3, 5, 4)], ids=str)
@pytest.mark.parametrize("size", [2, 3, 5, 6, 12, 40])
def test_outputs_gradients_and_statistics_are_those_of_the_parts(size, shape, settings):
    """The layer is called twice. 5 does not divide the 12 rows, and 40 exceeds them."""
    results, parts = [], max(1, 12 // size)
    ghost, plain = pair(size, **settings)
    for layer, norm in ((ghost, ghost), (plain, lambda x: apart(plain, x, parts))):
        x = (2 + 3 * normal(*shape)).requires_grad_()
        y = norm(norm(x) + x)
        (y * normal(*shape, seed=3)).sum().backward()
        results.append([y, x.grad, *(value.grad for value in layer.parameters()), *layer.buffers()])
    for computed, expected in zip(*results, strict=True):
        torch.testing.assert_close(computed, expected)


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_the_ends_of_the_range_of_momentum_keep_all_or_nothing(momentum):
    ghost, _ = pair(2, momentum=momentum)
    x = normal(8, 3)
    ghost(x)
    torch.testing.assert_close(ghost.running_mean, momentum * x[6:].mean(0))


def test_one_ghost_is_batch_norm_and_two_are_not():
    x, (ghost, plain) = normal(6, 3), pair(6)
    assert torch.equal(ghost(x), plain(x))
    ghost.ghost_batch_size = 3
    assert (ghost(x) - plain(x)).abs().max() > 0.1


def test_in_evaluation_it_is_batch_norm_with_running_statistics_or_without():
    x = normal(6, 3)
    for settings in ({}, {"track_running_stats": False}):
        ghost, plain = (layer.eval() for layer in pair(2, **settings))
        assert torch.equal(ghost(x), plain(x))


def test_the_state_dict_is_that_of_batch_norm():
    ghost, plain = pair(2)
    ghost(normal(6, 3))
    plain.load_state_dict(ghost.state_dict())
    assert torch.equal(plain.eval()(normal(6, 3)), ghost.eval()(normal(6, 3)))


def test_one_row_without_positions_has_no_spread():
    with pytest.raises(ValueError, match=r"x has shape \(1, 3\): in training each channel needs at least two entries"):
        GhostBatchNorm(3, 1)(torch.ones(4, 3))


@pytest.mark.parametrize("rows", [8, 9])
def test_images_keep_their_layout(rows):
    x = torch.randn(rows, 3, 5, 5)
    assert GhostBatchNorm(3, 2)(x).is_contiguous()
    images = x.contiguous(memory_format=torch.channels_last)
    assert GhostBatchNorm(3, 2)(images).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_sixteen_bits_go_in_and_out_with_statistics_in_float32(affine, half):
    """Output and running mean are rounded once, by 2^-9 of their size at most."""
    x = (100 + normal(64, 3)).bfloat16()
    layer = GhostBatchNorm(3, 32, affine=affine)
    expected, y = GhostBatchNorm(3, 32, affine=affine), (layer.bfloat16() if half else layer)(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected(x.float()), rtol=2**-8, atol=2**-12)
    torch.testing.assert_close(layer.running_mean.float(), expected.running_mean, rtol=2**-8, atol=0)


def test_under_autocast_the_running_statistics_stay_in_float32():
    x, ghost, plain = 100 + torch.randn(64, 3), GhostBatchNorm(3, 2), BatchNorm(3)
    with torch.autocast("cpu", torch.bfloat16):
        ghost(x), apart(plain, x, 32)
    torch.testing.assert_close(ghost.running_mean, plain.running_mean, rtol=1e-5, atol=0)


@pytest.mark.no_cover
def test_a_second_size_of_batch_is_compiled_without_a_break():
    """For it torch's compiler takes the size for a symbol. 11 rows make parts of unequal length."""
    torch._dynamo.reset()
    ghost, other = pair(3)[0], pair(3)[0]
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    for rows in (8, 11):
        x = normal(rows, 3, 2)
        torch.testing.assert_close(compiled(x), ghost(x))
    torch.testing.assert_close(other.state_dict(), ghost.state_dict())


def test_evaluation_is_exported_with_a_dynamic_batch():
    ghost = pair(3)[0].eval()
    rows = torch.export.Dim("rows")
    exported = torch.export.export(ghost, (normal(8, 3, 2),), dynamic_shapes=({0: rows},)).module()
    for count in (1, 5, 8, 20):
        x = normal(count, 3, 2)
        torch.testing.assert_close(exported(x), ghost(x))
