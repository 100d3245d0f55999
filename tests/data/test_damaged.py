"""Images that are missing or damaged: one sentence says what is wrong."""

import sys

import numpy as np
import pytest

from resnorm_lib.data import DataDamaged, DataMissing, load_cifar10, load_mnist
from tests.data.image_files import CIFAR, LOADERS, arrays_of, cifar_arrays, colours, grey_arrays, jpeg

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
    with pytest.raises(DataMissing, match="JPEG files: pip install Pillow"):
        load_cifar10()


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
