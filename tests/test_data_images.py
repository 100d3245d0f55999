"""MNIST, Fashion-MNIST and CIFAR-10: every format, every way to miss, and the real files where they are."""

import io
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image, JpegImagePlugin

from resnorm_lib.data import DataDamaged, DataMissing, cifar10, load_cifar10, load_fashion_mnist, load_mnist
from tests import shared_data

GREY = {"mnist.npz": load_mnist, "fashion.npz": load_fashion_mnist}
LOADERS = {**GREY, "cifar10_jpegbytes.npz": load_cifar10}
CIFAR = "cifar10_jpegbytes.npz"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, and no torchvision."""
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torchvision", None)
    return tmp_path


def grey(n, first=0):
    """Images of one shade each, and labels that the shade determines."""
    shades = np.arange(first, first + n, dtype=np.uint8)
    return np.broadcast_to(shades[:, None, None], (n, 28, 28)), shades % 10


def grey_arrays():
    (x_train, y_train), (x_test, y_test) = grey(30), grey(7, first=100)
    return {"Xt": x_train, "yt": y_train, "Xe": x_test, "ye": y_test}


def colours(n):
    """Colours that differ in each channel, and labels that the colour determines."""
    i = np.arange(n)
    return np.stack([8 * i + 4, 250 - 8 * i, 40 + 5 * (i % 10)], axis=1).astype(np.uint8), (i % 10).astype(np.uint8)


def jpeg(colour, size=(32, 32), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, tuple(map(int, colour)) if mode == "RGB" else 7).save(file, "JPEG", quality=95)
    return file.getvalue()


def cifar_arrays(n=25, encode=jpeg):
    shades, y = colours(n)
    files = [encode(shade) for shade in shades]
    joined = np.frombuffer(b"".join(files), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, files)]).astype(np.int64)
    return {
        f"{part}_{name}": a
        for part in ("train", "test")
        for name, a in zip(("bytes", "off", "y"), (joined, offsets, y))
    }


def arrays_of(file):
    return cifar_arrays() if file == CIFAR else grey_arrays()


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


def half_lit(colour):
    """A black image whose right half has the colour. The edge stays sharp: it lies between blocks, no colour is shared."""
    file, image = io.BytesIO(), Image.new("RGB", (32, 32))
    image.paste(tuple(map(int, colour)), (16, 0, 32, 32))
    image.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


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


# Missing


@pytest.mark.parametrize("file", LOADERS)
def test_missing_data_is_told_with_the_file_and_the_way_to_it(folder, file, monkeypatch):
    with pytest.raises(DataMissing, match=rf"torchvision cannot be imported.*RESNORM_DATA.*{file}.*download=True"):
        LOADERS[file]()
    monkeypatch.delenv("RESNORM_DATA")
    with pytest.raises(FileNotFoundError, match=rf"RESNORM_DATA is not set.*{file}"):
        LOADERS[file]()


def test_a_missing_pillow_is_named(folder, monkeypatch):
    np.savez(folder / CIFAR, **cifar_arrays(24))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match="JPEG files: pip install Pillow"):
        load_cifar10()


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


# Damaged


@pytest.mark.parametrize("file", LOADERS)
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.98])
def test_a_file_cut_short_is_named(folder, file, keep):
    np.savez(folder / "whole.npz", **arrays_of(file))
    whole = (folder / "whole.npz").read_bytes()
    (folder / file).write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(DataDamaged, match=rf"{file} cannot be read as an .npz archive .*: copy it again\.$"):
        LOADERS[file]()


def test_a_flipped_byte_is_noticed(folder):
    np.savez(folder / "mnist.npz", **grey_arrays())
    content = bytearray((folder / "mnist.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "mnist.npz").write_bytes(content)
    with pytest.raises(DataDamaged, match="cannot be read"):
        load_mnist()


def test_a_single_array_and_pickled_objects_are_refused(folder):
    with open(folder / "mnist.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataDamaged, match="cannot be read"):
        load_mnist()
    np.savez(folder / "mnist.npz", **{**grey_arrays(), "yt": np.array([None, "code"])})
    with pytest.raises(DataDamaged, match="cannot be read"):
        load_mnist()


GREY_FAULTS = {
    "holds the arrays Xe, Xt, ye, but they must be Xt, yt, Xe, ye or x_train": {"yt": None},
    "but 29 labels want (29, 1, 28, 28)": {"yt": np.zeros(29, np.uint8)},
    "type float64": {"Xt": np.zeros((30, 28, 28))},
    "shape (30, 1, 32, 32)": {"Xt": np.zeros((30, 32, 32), np.uint8)},
    "labels from 0 to 10, but they must be 0 to 9": {"yt": np.arange(30) % 11},
    "not a row of integers": {"yt": np.zeros((30, 2), np.uint8)},
}


@pytest.mark.parametrize("message", GREY_FAULTS)
def test_wrong_arrays_are_named(folder, message):
    arrays = {**grey_arrays(), **GREY_FAULTS[message]}
    np.savez(folder / "mnist.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataDamaged) as caught:
        load_mnist()
    assert message in str(caught.value)


def test_wrong_offsets_are_named(folder):
    arrays = cifar_arrays()
    np.savez(folder / CIFAR, **{**arrays, "test_off": arrays["test_off"][:-1]})
    with pytest.raises(DataDamaged, match="25 offsets for 25 labels"):
        load_cifar10()
    np.savez(folder / CIFAR, **{**arrays, "test_off": arrays["test_off"][::-1]})
    with pytest.raises(DataDamaged, match="do not rise from 0"):
        load_cifar10()


@pytest.mark.parametrize(
    "encode",
    [
        lambda colour: jpeg(colour)[:200],
        lambda colour: b"no picture",
        lambda colour: jpeg(colour, size=(32, 31)),
        lambda colour: jpeg(colour, mode="L"),
    ],
    ids=["cut short", "no picture", "too low", "grey"],
)
def test_an_image_that_cannot_be_used_is_named_by_its_number(folder, encode):
    shades, _ = colours(25)
    np.savez(folder / CIFAR, **cifar_arrays(encode=lambda c: encode(c) if (c == shades[3]).all() else jpeg(c)))
    with pytest.raises(DataDamaged, match="image 3 is no JPEG of 32 x 32 colour pixels"):
        load_cifar10()


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
