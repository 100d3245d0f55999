"""MNIST, Fashion-MNIST and CIFAR-10: every format, torchvision, and the real files where they are."""

import io
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image, JpegImagePlugin

from resnorm_lib.data import DataMissing, cifar10, load_cifar10, load_fashion_mnist, load_mnist
from tests.data import shared_data
from tests.data.image_files import CIFAR, GREY, LOADERS, arrays_of, cifar_arrays, colours, grey_arrays, half_lit

# Formats


@pytest.mark.parametrize("file", GREY)
@pytest.mark.parametrize("names", [("Xt", "yt", "Xe", "ye"), ("x_train", "y_train", "x_test", "y_test")])
def test_grey_images_come_complete_with_their_labels(folder, file, names):
    np.savez(folder / file, **dict(zip(names, grey_arrays().values())))
    data = GREY[file]()
    assert data.x_train.shape == (30, 1, 28, 28)
    assert data.x_test.shape == (7, 1, 28, 28)
    assert data.x_train.dtype == torch.uint8
    assert data.y_train.dtype == torch.int64
    for x, y, first in ((data.x_train, data.y_train, 0), (data.x_test, data.y_test, 100)):
        shades = x[:, 0, 0, 0]
        assert sorted(shades.tolist()) == list(range(first, first + len(x)))
        assert torch.equal(x, shades.view(-1, 1, 1, 1).expand_as(x))
        assert torch.equal(y, shades.long() % 10)
    assert file in data.source


def test_colour_images_come_complete_with_their_labels(folder):
    np.savez(folder / CIFAR, **cifar_arrays())
    data = load_cifar10()
    assert data.x_train.shape == (25, 3, 32, 32)
    assert data.y_train.dtype == torch.int64
    shades, labels = colours(25)
    # One colour is coded by its mean alone; what is left is the rounding of two changes of colour space and of the
    # mean, in steps of 2 / 8 at quality 95: 3 levels at most. The red channels of two images are 8 apart.
    distance = (data.x_train[:, None].int() - torch.tensor(shades).int()[None, :, :, None, None]).abs().amax((2, 3, 4))
    assert (distance.amin(1) <= 3).all()
    nearest = distance.argmin(1)
    assert sorted(nearest.tolist()) == list(range(25))
    assert torch.equal(data.y_train, torch.tensor(labels).long()[nearest])
    assert "JPEG" in data.source


def test_left_and_right_of_a_colour_image_stay_left_and_right(folder):
    np.savez(folder / CIFAR, **cifar_arrays(encode=half_lit))
    x = load_cifar10().x_train
    assert (x[..., :16] <= 3).all()
    assert (x[:, 2, :, 16:] >= 40 - 3).all()  # the weakest blue


@pytest.mark.parametrize("file", LOADERS)
def test_order_is_mixed_repeatable_and_the_callers_to_choose(folder, file):
    np.savez(folder / file, **arrays_of(file))
    load = LOADERS[file]
    first, again, other = load(), load(), load(torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(first[:4], again[:4]))
    assert first.y_train.tolist() != arrays_of(file)["train_y" if file == CIFAR else "yt"].tolist()
    assert first.y_train.tolist() != other.y_train.tolist()


def test_decoded_images_are_kept_in_memory_only_and_cannot_be_spoilt(folder, monkeypatch):
    np.savez(folder / CIFAR, **cifar_arrays())
    first = load_cifar10()
    kept = first.x_train.clone()
    first.x_train.zero_()
    with monkeypatch.context() as patch:
        patch.setattr(cifar10, "_decode", lambda *_: pytest.fail("decoded a second time"))
        assert torch.equal(load_cifar10().x_train, kept)
    assert [path.name for path in folder.iterdir()] == [CIFAR]


def test_a_replaced_file_is_read_anew(folder):
    np.savez(folder / CIFAR, **cifar_arrays(25))
    assert len(load_cifar10().x_train) == 25
    np.savez(folder / CIFAR, **cifar_arrays(20))
    assert len(load_cifar10().x_train) == 20


# torchvision


def fake_torchvision(monkeypatch, name, make):
    """Stand in for torchvision.datasets with one class, built like the real one: data and targets, per part."""

    def dataset(root, train, download):
        assert download is False
        return types.SimpleNamespace(**dict(zip(("data", "targets"), make(train))))

    datasets = types.SimpleNamespace(**{name: dataset})
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(datasets=datasets))


def test_torchvision_gives_the_same_grey_images_as_the_file(folder, monkeypatch):
    arrays = grey_arrays()
    parts = {True: (arrays["Xt"], arrays["yt"]), False: (arrays["Xe"], arrays["ye"])}
    tensors = {train: tuple(torch.tensor(np.array(a)) for a in part) for train, part in parts.items()}
    fake_torchvision(monkeypatch, "MNIST", tensors.get)
    by_torchvision = load_mnist()
    np.savez(folder / "mnist.npz", **arrays)
    from_file = load_mnist()
    assert all(torch.equal(a, b) for a, b in zip(by_torchvision[:4], from_file[:4]))
    assert by_torchvision.source == "MNIST, by torchvision"


def test_torchvision_gives_colour_images_with_channels_first(folder, monkeypatch):
    shades, y = colours(25)
    pixels = np.broadcast_to(shades[:, None, None, :], (25, 32, 32, 3))
    fake_torchvision(monkeypatch, "CIFAR10", lambda train: (pixels, y.tolist()))
    data = load_cifar10()
    assert sorted(data.x_train[:, :, 5, 9].tolist()) == sorted(shades.tolist())
    assert data.x_train.is_contiguous()
    assert data.source == "CIFAR-10, original, by torchvision"


def test_what_torchvision_says_is_passed_on(folder, monkeypatch):
    def absent(train):
        raise RuntimeError("Dataset not found. You can use download=True to download it")

    fake_torchvision(monkeypatch, "FashionMNIST", absent)
    with pytest.raises(DataMissing, match=r"\(torchvision says: Dataset not found\)"):
        load_fashion_mnist()


# The real files


@pytest.mark.parametrize("file", LOADERS)
def test_the_real_files_have_the_known_sizes_classes_means_and_deviations(file, monkeypatch):
    shared_data.use(monkeypatch, file)
    data = LOADERS[file]()
    assert len(data.x_train) == 60_000 - 10_000 * (file == CIFAR)
    assert len(data.x_test) == 10_000
    counts = torch.bincount(data.y_test)
    assert len(counts) == 10
    assert file == "mnist.npz" or counts.tolist() == [1000] * 10
    level = torch.arange(256, dtype=torch.float64) / 255
    for channel, mean, std in zip(data.x_train.unbind(1), data.mean, data.std, strict=True):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        assert (share @ level).item() == pytest.approx(mean, abs=5e-5)  # four digits are printed
        assert (share @ (level - share @ level) ** 2).sqrt().item() == pytest.approx(std, abs=5e-5)


def test_the_real_colour_images_were_compressed_as_source_says(monkeypatch):
    path = shared_data.use(monkeypatch, CIFAR)
    with np.load(path) as archive:
        encoded, offsets = archive["test_bytes"], archive["test_off"]
    reference = io.BytesIO()
    Image.new("RGB", (32, 32)).save(reference, "JPEG", quality=75)
    expected = Image.open(reference).quantization
    for i in range(0, 10_000, 100):
        image = Image.open(io.BytesIO(encoded[offsets[i] : offsets[i + 1]]))
        assert image.quantization == expected
        assert JpegImagePlugin.get_sampling(image) == 2  # Pillow's number for 4:2:0
