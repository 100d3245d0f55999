"""The digits: real, complete, split without overlap."""

import sys

import pytest
import torch
from sklearn import datasets

from resnorm_lib.data import DataMissing, load_digits, load_spirals


def test_every_image_is_in_exactly_one_part():
    split = load_digits()
    together = torch.cat([split.x_train, split.x_test])
    back = (together - together.min()) / (together.max() - together.min()) * 16
    assert sorted(back.round().int().tolist()) == sorted(datasets.load_digits().data.astype(int).tolist())


def test_labels_stay_with_their_images():
    split, raw = load_digits(), datasets.load_digits()
    labels = {tuple(image): label for image, label in zip(raw.data.round().astype(int).tolist(), raw.target)}
    low, high = split.x_train.min(), split.x_train.max()
    for parts in ((split.x_train, split.y_train), (split.x_test, split.y_test)):
        pixels = ((parts[0] - low) / (high - low) * 16).round().int().tolist()
        assert [labels[tuple(image)] for image in pixels] == parts[1].tolist()


def test_training_pixels_are_standardized_by_two_numbers():
    x = load_digits().x_train
    assert abs(x.mean().item()) < 1e-5
    assert abs(x.std().item() - 1) < 1e-5


def test_the_split_is_the_same_everywhere_unless_a_generator_is_given():
    assert torch.equal(load_digits().y_test, load_digits().y_test)
    other = load_digits(torch.Generator().manual_seed(1))
    assert not torch.equal(load_digits().y_test, other.y_test)


def test_a_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DataMissing, match="The digits come with scikit-learn: pip install scikit-learn"):
        load_digits()


def test_spirals_lie_in_a_plane_that_no_linear_map_can_sort_and_neighbours_can():
    x, y, x_test, y_test = load_spirals()
    assert torch.linalg.matrix_rank(x, tol=1e-3) == 2
    ones = torch.ones(len(x), 1)
    fit = torch.linalg.lstsq(torch.cat((x, ones), 1), torch.eye(10)[y], driver="gelsd").solution
    assert ((torch.cat((x, ones), 1) @ fit).argmax(1) != y).float().mean() > 0.6
    nearest = torch.cdist(x_test, x).argmin(1)
    assert (y[nearest] != y_test).float().mean() < 0.05
