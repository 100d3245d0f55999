"""Batches: every sample once, every crop a window of its image, every flip a flip, and no slower than a loop."""

import time

import pytest
import torch
from torch.nn import functional

from resnorm_lib.data import ImageBatches, batches

CROP, SIZE = 2, 6
WINDOWS = 2 * CROP + 1


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(n):
    """Images that say who they are: channel 0 the row, channel 1 the column, channel 2 the image, each from 1 on."""
    line = torch.arange(1, SIZE + 1)
    rows, columns = line.view(1, -1, 1).expand(n, SIZE, SIZE), line.view(1, 1, -1).expand(n, SIZE, SIZE)
    number = torch.arange(n).view(-1, 1, 1).expand(n, SIZE, SIZE) % 255 + 1
    return torch.stack([rows, columns, number], dim=1).to(torch.uint8), torch.arange(n)


def pixels(x):
    """Undo the division by 255."""
    return (x * 255).round().to(torch.uint8)


def padded(x, padding):
    """Pad by torch's own function, which reflects only floating point."""
    mode = {"zero": "constant", "reflect": "reflect"}[padding]
    return functional.pad(x.double(), (CROP,) * 4, mode=mode).to(torch.uint8)


def window_of(image, source, padding):
    """Return (row, column, mirrored) of the one window that the image is, found by trying all."""
    big = padded(source[None], padding)[0]
    found = [
        (row, column, mirrored)
        for row in range(WINDOWS)
        for column in range(WINDOWS)
        for mirrored in (False, True)
        if torch.equal(image.flip(2) if mirrored else image, big[:, row : row + SIZE, column : column + SIZE])
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_every_crop_is_exactly_one_window_of_its_own_image(padding, channels_last):
    x, y = numbered(200)
    data = ImageBatches(x, y, 32, rng(), crop=CROP, padding=padding, channels_last=channels_last)
    for images, labels in data:
        for image, label in zip(pixels(images), labels):
            window_of(image, x[label], padding)


def test_all_windows_and_both_directions_are_equally_likely():
    x, y = numbered(5000)
    counts = torch.zeros(WINDOWS, WINDOWS, 2)
    for images, labels in ImageBatches(x, y, 500, rng(), crop=CROP):
        for image, label in zip(pixels(images), labels):
            row, column, mirrored = window_of(image, x[label], "zero")
            counts[row, column, int(mirrored)] += 1
    # 50 cells, 100 expected in each, deviation 9.9: six of them, for one chance in ten million
    assert counts.min() > 100 - 60
    assert counts.max() < 100 + 60


def test_without_crop_and_flip_images_come_as_they_are():
    x, y = numbered(50)
    for images, labels in ImageBatches(x, y, 8, rng(), crop=0, flip=False):
        assert torch.equal(pixels(images), x[labels])


def test_without_a_generator_order_is_kept():
    x, y = numbered(10)
    labels = [part.tolist() for _, part in ImageBatches(x, y, 4, crop=0, flip=False)]
    assert labels == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64])
@pytest.mark.parametrize("drop_last", [False, True])
def test_each_sample_appears_once_in_an_epoch(n, drop_last):
    x, y = numbered(n)
    images = ImageBatches(x, y, 8, rng(), crop=CROP, drop_last=drop_last)
    generic = batches(x, y, 8, rng(), drop_last=drop_last)
    for parts in (list(images), list(generic)):
        seen = [label for _, labels in parts for label in labels.tolist()]
        assert len(set(seen)) == len(seen) == (n // 8 * 8 if drop_last else n)
        assert all(len(a) == len(b) == 8 for a, b in parts[:-1])
    assert len(images) == len(list(images))


def test_same_generator_same_batches_and_every_epoch_its_own():
    x, y = numbered(64)
    first, second = (ImageBatches(x, y, 64, rng(3), crop=CROP) for _ in range(2))
    for _ in range(2):
        (a, labels_a), (b, labels_b) = next(iter(first)), next(iter(second))
        assert torch.equal(a, b)
        assert torch.equal(labels_a, labels_b)
    assert not torch.equal(next(iter(first))[1], labels_a)


def test_the_global_random_state_is_left_alone():
    x, y = numbered(16)
    before = torch.get_rng_state()
    list(ImageBatches(x, y, 4, rng(), crop=CROP))
    list(batches(x, y, 4, rng()))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_normalization_is_the_formula_rounded_once(dtype):
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    [(images, _)] = ImageBatches(x, torch.zeros(1), 1, mean=mean, std=std, crop=0, flip=False, dtype=dtype)
    m, s = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (mean, std))
    exact = (x.double() / 255 - m) / s
    assert images.dtype == dtype
    # The product, of size 4.2 at most, the shift and their sum are rounded in float32, then the sum once more in dtype.
    unit = torch.finfo(dtype).eps / 2
    bound = unit * exact.abs() + 4 * 4.2 * torch.finfo(torch.float32).eps / 2 * (1 + unit)
    assert ((images.double() - exact).abs() <= bound).all()


def test_floating_point_images_are_taken_as_they_are_and_padded_with_zero():
    x = torch.randn(20, 1, SIZE, SIZE, generator=rng()) + 10
    data = ImageBatches(x.half(), torch.arange(20), 20, rng(), crop=CROP, dtype=torch.float16)
    [(images, labels)] = data
    inside = images != 0
    assert not inside.all()
    for image, label, kept in zip(images, labels, inside):
        assert torch.isin(image[kept], x[label].half()).all()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("given", [torch.contiguous_format, torch.channels_last])
def test_memory_order_is_the_one_asked_for(channels_last, given):
    x, y = numbered(32)
    x = x.contiguous(memory_format=given)
    for crop, flip in ((CROP, True), (0, False)):
        data = ImageBatches(x, y, 16, rng(), crop=crop, flip=flip, channels_last=channels_last)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        for images, _ in data:
            assert images.shape == (16, 3, SIZE, SIZE)
            assert images.is_contiguous(memory_format=layout)


def test_the_set_is_kept_as_bytes():
    x, y = numbered(10)
    windows = ImageBatches(x, y, 4, rng(), crop=CROP).windows
    assert windows.untyped_storage().nbytes() == 10 * 3 * (SIZE + 2 * CROP) ** 2


def loop(x, y, batch_size, generator, mean, std, crop):
    """Crop and flip image by image, as a data set class would."""
    mean, std = torch.tensor(mean).view(-1, 1, 1), torch.tensor(std).view(-1, 1, 1)
    side = x.shape[-1]
    for index in torch.randperm(len(x), generator=generator).split(batch_size):
        images = []
        for i in index:
            row, column = torch.randint(2 * crop + 1, (2,), generator=generator).tolist()
            image = functional.pad(x[i], (crop,) * 4)[:, row : row + side, column : column + side]
            if torch.rand((), generator=generator) < 0.5:
                image = image.flip(2)
            images.append(image)
        yield (torch.stack(images).float() / 255 - mean) / std, y[index]


def test_on_a_cpu_a_batch_at_once_is_not_slower_than_image_by_image():
    x = torch.randint(0, 256, (2560, 3, 32, 32), generator=rng(), dtype=torch.uint8)
    y, mean, std = torch.zeros(2560), (0.5,) * 3, (0.25,) * 3
    at_once = ImageBatches(x, y, 128, rng(), mean, std)

    def seconds(epoch):
        start = time.perf_counter()
        assert sum(len(labels) for _, labels in epoch) == 2560
        return time.perf_counter() - start

    pairs = [(seconds(at_once), seconds(loop(x, y, 128, rng(), mean, std, 4))) for _ in range(5)]
    fast, slow = (min(times) for times in zip(*pairs))
    assert fast <= slow


FAULTS = {
    "batch_size is 0, but it must be at least 1": {"batch_size": 0},
    "crop is -1, but it must be at least 0": {"crop": -1},
    "crop is 6, but to reflect it must be less than": {"crop": 6, "padding": "reflect"},
    "padding is 'mirror', but it must be one of 'zero', 'reflect'": {"padding": "mirror"},
    "generator is None, but crop=2 and flip=True need one": {"generator": None},
    "x has shape (3, 6, 6)": {"x": torch.zeros(3, 6, 6)},
    "type torch.int64, but it must be (n, c, h, w), uint8 or floating point": {"x": torch.zeros(4, 3, 6, 6).long()},
    "x is floating point, which is taken as normalized": {"x": torch.zeros(4, 3, 6, 6), "mean": (0.0,) * 3},
    "but x has 3 channels": {"mean": (0.5,)},
    "each with std > 0": {"std": (1.0, 0.0, 1.0)},
    "dtype is torch.int32, but it must be a floating-point type": {"dtype": torch.int32},
    "flip is 1, but it must be True or False": {"flip": 1},
    "but their first sizes must be equal, not 0": {"y": torch.arange(5)},
}


@pytest.mark.parametrize("message", FAULTS)
def test_wrong_input_is_named(message):
    x, y = numbered(4)
    arguments = {"x": x, "y": y, "batch_size": 2, "generator": rng(), "crop": CROP, **FAULTS[message]}
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is compared below
        ImageBatches(**arguments)
    assert message in str(caught.value)


def test_wrong_input_of_batches_is_named_before_the_first_batch():
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match="first sizes must be equal, not 0"):
        batches(x, x[:3], 2)
    with pytest.raises(ValueError, match="first sizes must be equal, not 0"):
        batches(x[:0], x[:0], 2)
    with pytest.raises(ValueError, match=r"batch_size is 2\.5, but it must be an integer"):
        batches(x, x, 2.5)
    with pytest.raises(ValueError, match="y is on meta, but it must be on cpu, where x is"):
        batches(x, x.to("meta"), 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_generator_on_the_cpu_gives_the_same_batches_on_a_gpu():
    x, y = numbered(100)
    on_cpu = ImageBatches(x, y, 32, rng(), crop=CROP)
    on_gpu = ImageBatches(x, y, 32, rng(), crop=CROP, device="cuda")
    for (a, labels_a), (b, labels_b) in zip(on_cpu, on_gpu):
        assert b.device.type == labels_b.device.type == "cuda"
        assert torch.equal(labels_a, labels_b.cpu())
        assert torch.equal(pixels(a), pixels(b.cpu()))
