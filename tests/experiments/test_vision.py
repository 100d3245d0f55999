"""Vision: boxes, canvases, cells and flows mean what they say, and every preset runs at toy size."""

import numpy as np
import pytest
import torch

from resnorm_lib.experiments import get
from resnorm_lib.experiments.vision.boxes import Found, count_found, iou, precision_recall_f1, suppress, without_labels
from resnorm_lib.experiments.vision.canvases import SIDE, make_canvases
from resnorm_lib.experiments.vision.detector import CELL, Detector, detect, detection_loss, targets
from resnorm_lib.experiments.vision.flow import WAYS, ConditionedBlock, FlowNet, flow_pairs, sample
from resnorm_lib.experiments.vision.pictures import load_pictures
from resnorm_lib.experiments.vision.scores import nearest_label, precision_recall
from tests.data.image_files import CIFAR, cifar_arrays

EXPERIMENT = get("vision")
SMALL = {
    "cpu": {"width": 8, "steps": 2, "samples": 20},
    "find": {"width": 8, "steps": 2, "canvases": 40},
    "read": {"width": 8, "epochs": 1, "train_images": 64},
    "clothes": {"data": "digits", "width": 8, "epochs": 1, "train_images": 128},
    "gpu": {"data": "digits", "width": 8, "depth": 2, "steps": 2, "samples": 20},
}


NORMS = ("layer", "batch", "none")


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def canvases():
    pictures = load_pictures()
    return make_canvases(pictures.x_train, pictures.y_train, 200, draw())


def found(*boxes, labels=None, scores=None):
    count = len(boxes)
    labels = torch.zeros(count, dtype=torch.long) if labels is None else torch.tensor(labels)
    scores = torch.ones(count) if scores is None else torch.tensor(scores)
    return Found(torch.tensor(boxes, dtype=torch.float32).view(-1, 4), labels, scores)


def test_the_iou_is_the_share_of_pixels_that_two_boxes_have_in_common():
    corner = torch.randint(0, 10, (30, 2, 2), generator=draw())
    boxes = torch.cat((corner, corner + torch.randint(1, 10, (30, 2, 2), generator=draw(1))), -1)
    masks = torch.zeros(30, 2, 20, 20, dtype=torch.bool)
    for row in range(30):
        for k in range(2):
            x0, y0, x1, y1 = boxes[row, k].tolist()
            masks[row, k, y0:y1, x0:x1] = True
    common, union = (masks[:, 0] & masks[:, 1]).sum((1, 2)), (masks[:, 0] | masks[:, 1]).sum((1, 2))
    torch.testing.assert_close(iou(boxes[:, 0].float(), boxes[:, 1].float()), common / union)


def test_a_suppressed_box_suppresses_none():
    chain = found([0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10], scores=[0.9, 0.8, 0.7])
    assert suppress(chain).scores.tolist() == pytest.approx([0.9, 0.7])


def test_each_true_box_is_found_once_and_only_under_its_label():
    truth = found([0, 0, 10, 10], [20, 0, 30, 10], labels=[3, 4])
    twice = found([0, 0, 10, 10], [1, 0, 11, 10], labels=[3, 3])
    assert count_found(twice, truth) == 1
    assert count_found(twice._replace(labels=torch.tensor([4, 5])), truth) == 0
    assert precision_recall_f1([twice], [truth]) == (0.5, 0.5, 0.5)
    other = found([0, 0, 10, 10], [20, 1, 30, 11], labels=[9, 9])
    assert precision_recall_f1(without_labels([other]), without_labels([truth])) == (1, 1, 1)


def test_nothing_found_is_no_error():
    assert precision_recall_f1([found()], [found([0, 0, 1, 1])]) == (0, 0, 0)


def test_a_canvas_holds_two_to_four_pictures_inside_it_that_do_not_overlap(canvases):
    there = canvases.labels >= 0
    assert set(there.sum(1).tolist()) == {2, 3, 4}
    boxes = canvases.boxes[there]
    assert boxes.min() >= 0
    assert boxes.max() <= SIDE
    for entry in canvases.truth():
        overlaps = iou(entry.boxes[:, None], entry.boxes[None])
        assert (overlaps - torch.eye(len(overlaps))).abs().max() < 1e-5


def test_ink_stands_in_the_boxes_alone():
    pictures = load_pictures()
    clean = make_canvases(pictures.x_train, pictures.y_train, 50, draw(2), noise=0.0)
    centre = torch.arange(SIDE) + 0.5
    for x, entry in zip(clean.x[:, 0], clean.truth()):
        x0, y0, x1, y1 = entry.boxes[:, :, None].unbind(1)
        inside = ((centre > y0) & (centre < y1))[:, :, None] & ((centre > x0) & (centre < x1))[:, None, :]
        near = torch.nn.functional.max_pool2d(inside.any(0).float()[None, None], 3, 1, 1)[0, 0] > 0  # interpolation
        assert x[~near].abs().max() == 0
        assert all(x[box].max() > 0.3 for box in inside)


def test_perfect_cells_find_everything(canvases):
    """What the targets say, read as the output of a network, is the truth: one function undoes the other."""
    wanted = targets(canvases)
    sure = 20 * (2 * wanted[..., :1] - 1)
    classes = torch.nn.functional.one_hot(wanted[..., 4].long().clamp(min=0), 10).float()
    output = torch.cat((sure, wanted[..., 1:4], 20 * classes), -1)

    class Oracle(torch.nn.Module):
        def forward(self, x):
            return output

    assert precision_recall_f1(detect(Oracle(), canvases.x), canvases.truth()) == (1, 1, 1)
    assert detection_loss(output, wanted) < 1e-6


def test_a_cell_of_the_detector_moves_with_the_canvas():
    model = Detector(1, 8, norm="none").eval()
    x = torch.zeros(1, 1, SIDE, SIDE)
    x[..., 8:16, 8:16] = torch.rand(8, 8, generator=draw())
    with torch.no_grad():
        torch.testing.assert_close(model(x)[:, 2:5, 2:5], model(x.roll((CELL, CELL), (2, 3)))[:, 3:6, 3:6])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("way", WAYS)
def test_only_adaln_zero_starts_as_the_identity(way, norm):
    torch.manual_seed(0)
    h, c = torch.randn(2, 5, 8, generator=draw())
    same = torch.equal(ConditionedBlock(8, way, norm=norm)(h, c), h)
    assert same == (way == "adaLN-Zero")


def test_without_the_shortcut_a_block_returns_what_it_would_add():
    h, c = torch.randn(2, 5, 8, generator=draw())
    blocks = []
    for scheme in ("add", "plain"):
        torch.manual_seed(0)
        blocks.append(ConditionedBlock(8, "adaLN", scheme))
    torch.testing.assert_close(blocks[0](h, c), h + blocks[1](h, c))


def test_an_adapted_block_has_the_norm_that_it_is_asked_for():
    h, c = 3 + torch.randn(2, 50, 8, generator=draw())
    seen = {norm: ConditionedBlock(8, "adaLN", norm=norm).norm(h, c)[0] for norm in NORMS}
    assert torch.equal(seen["none"], h)
    assert seen["layer"].mean(1).abs().max() < 1e-5 < seen["batch"].mean(1).abs().max()
    assert seen["batch"].mean(0).abs().max() < 1e-5 < seen["layer"].mean(0).abs().max()


def test_the_pictures_where_a_rate_is_chosen_are_neither_learnt_from_nor_tested():
    pictures = load_pictures()
    rows = torch.cat((pictures.x_train, pictures.x_val, pictures.x_test))
    assert len(rows) == 1797
    assert len(pictures.x_val) == len(pictures.y_val) == 259
    near = torch.cdist(pictures.x_val, torch.cat((pictures.x_train, pictures.x_test))).min(1).values
    assert near.min() > 0


@pytest.mark.parametrize("way", WAYS)
def test_every_way_tells_the_network_its_label_once_it_has_learnt(way):
    torch.manual_seed(0)
    model = FlowNet(6, 8, 2, way)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    row = torch.cat((torch.randn(1, 6, generator=draw()), torch.tensor([[0.5]]), torch.eye(10)[:1]), 1).repeat(2, 1)
    row[1, 7:] = torch.eye(10)[1]
    first, second = model(row)
    assert (first - second).abs().max() > 1e-3


def test_a_point_of_the_path_moved_by_its_velocity_arrives_at_the_picture():
    x, y = torch.randn(20, 6, generator=draw()), torch.arange(20) % 10
    row, velocity = flow_pairs(x, y, draw(1))
    point, t, label = row.split((6, 1, 10), 1)
    torch.testing.assert_close(point + (1 - t) * velocity, x)
    assert torch.equal(label.argmax(1), y)


def test_samples_follow_the_velocity_to_the_second_order():
    class Rotation(torch.nn.Module):
        pixels = 2

        def forward(self, row):
            return torch.stack((-row[:, 1], row[:, 0]), 1)

    y = torch.zeros(50, dtype=torch.long)
    start = torch.randn(50, 2, generator=draw())
    turn = torch.tensor([[0.5403023, 0.8414710], [-0.8414710, 0.5403023]])  # cos 1, sin 1
    wrong = [(sample(Rotation(), y, draw(), steps) - start @ turn).abs().max() for steps in (8, 16)]
    assert 3.5 < wrong[0] / wrong[1] < 4.5


def test_pictures_that_are_copies_have_precision_and_recall_one():
    real = torch.randn(40, 3, generator=draw())
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real + 100, real) == (0, 0)
    assert nearest_label(real, real, torch.arange(40)).tolist() == list(range(40))


@pytest.mark.parametrize("preset", SMALL)
def test_a_preset_runs_at_toy_size(preset):
    config = EXPERIMENT.config(preset, learning_rates=[0.01], **SMALL[preset])
    run = EXPERIMENT.run(config, preset=preset, device="cpu")
    assert run.arms == [f"{arm} at 0.01" for arm in EXPERIMENT.arms(config)]
    assert all(value is not None for trial in run.trials for value in trial.summary.values())
    assert all(any(name.startswith("val_") for name in trial.summary) for trial in run.trials)


def test_photographs_are_read_by_convolutional_networks_with_one_norm_and_another(tmp_path, monkeypatch):
    np.savez(tmp_path / CIFAR, **cifar_arrays())
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    small = {"depth": 1, "epochs": 1, "train_images": 16, "batch_size": 8, "learning_rates": [0.05], "warmup": 1}
    run = EXPERIMENT.run(EXPERIMENT.config("photographs", **small), preset="photographs", device="cpu")
    assert {"shortcut, BN at 0.05", "plain, no norm at 0.05"} < set(run.arms)
    assert all(0 <= trial.summary["test_error"] <= 100 for trial in run.trials)
