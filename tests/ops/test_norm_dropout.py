"""The dropout of add_norm: its bits are Philox's, the same in every version; its rate is p; nothing repeats."""

import math

import pytest
import torch

from resnorm_lib.ops import add_norm, dropout_mask, kernels, launch
from resnorm_lib.ops.norm.dropout import philox
from tests.ops.cases import DEVICE, gradients, needs_kernels, random

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)  # digits of pi, as in the published tests of Random123


def seed(value):
    return torch.full((1,), value, dtype=torch.int64, device=DEVICE)


@pytest.mark.parametrize(
    ("rounds", "counter", "key", "expected"),
    [
        (7, (0,) * 4, (0,) * 2, (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
        (10, (0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (10, (2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (10, PI, (0xA4093822, 0x299F31D0), (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_philox_gives_the_published_numbers(rounds, counter, key, expected):
    """The known answers of Random123, by the authors of Philox."""
    words = philox([torch.tensor(k) for k in key], [torch.tensor(c) for c in counter], rounds)
    assert tuple(int(word) for word in words) == expected


@needs_kernels
@pytest.mark.parametrize("tile", [{}, {"rows": 2, "block": 16, "programs": 2}], ids=["whole", "chunked"])
@pytest.mark.parametrize("value", [0, 5, 2**32 + 1, 2**62 + 12345])
def test_kernels_and_torch_drop_the_same_numbers_forward_and_backward(tile, value):
    x, zero = torch.ones(5, 37, device=DEVICE), torch.zeros(5, 37, device=DEVICE)
    mask = dropout_mask(seed(value), x.shape, 0.4)
    with kernels("on"), launch.forced(**tile):
        (_, s), (dx, _) = gradients(lambda x, r: add_norm(x, r, dropout_p=0.4, seed=value), (x, zero), [zero, x])
    assert torch.equal(s != 0, mask)
    assert torch.equal(dx != 0, mask)
    torch.testing.assert_close(s[mask], torch.full_like(s[mask], 1 / 0.6), rtol=2.0**-23, atol=0)


@needs_kernels
def test_rows_past_32_bits_have_their_own_masks():
    """The row enters as two words; the high one is seen to count by the philox of torch, which the kernels match."""
    low = philox([torch.tensor(1)] * 2, [torch.tensor(0), torch.tensor(3), torch.tensor(0), torch.tensor(0)])
    high = philox([torch.tensor(1)] * 2, [torch.tensor(0), torch.tensor(3), torch.tensor(1), torch.tensor(0)])
    assert all(int(a) != int(b) for a, b in zip(low, high))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_were_asked_for(p):
    """Within five standard deviations, of all, of every row and of every column."""
    mask = dropout_mask(seed(11), (400, 500), p)
    for dropped, n in ((~mask).sum(), 200_000), ((~mask).sum(0), 400), ((~mask).sum(1), 500):
        assert ((dropped - n * p).abs() <= 5 * math.sqrt(n * p * (1 - p))).all()


def test_neighbours_rows_and_seeds_do_not_agree_more_than_by_chance():
    a, b = (dropout_mask(seed(k), (300, 400), 0.5) for k in (1, 2))
    pairs = {"columns": (a[:, 1:], a[:, :-1]), "rows": (a[1:], a[:-1]), "quads": (a[:, 4:], a[:, :-4]), "seeds": (a, b)}
    for kind, (u, v) in pairs.items():
        n = u.numel()
        assert abs((u == v).sum().item() - n / 2) <= 5 * math.sqrt(n / 4), kind


@pytest.mark.parametrize("mode", ["off", pytest.param("on", marks=needs_kernels)])
def test_without_a_seed_torchs_generator_gives_one(mode):
    x = random(4, 64)
    with kernels(mode):
        torch.manual_seed(5)
        first, second = (add_norm(x, x, dropout_p=0.5)[1] for _ in range(2))
        torch.manual_seed(5)
        again = add_norm(x, x, dropout_p=0.5)[1]
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("mode", ["off", pytest.param("on", marks=needs_kernels)])
def test_a_dropped_infinity_is_zero(mode):
    x = torch.full((8, 16), torch.inf, device=DEVICE)
    x[dropout_mask(seed(3), x.shape, 0.5)] = 1.0
    with kernels(mode):
        assert add_norm(x, torch.zeros_like(x), dropout_p=0.5, seed=3)[1].isfinite().all()
