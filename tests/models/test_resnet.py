"""Residual networks for images: sizes, torchvision's keys, and logits of a second, plain implementation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnorm_lib.models import ResNet, cifar_resnet, resnet18, resnet34, resnet50, wide_resnet
from resnorm_lib.residual import SCHEMES
from tests.residual.tools import disturb, draw


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "millions", "exact"),
    [(20, 0.27, 269722), (32, 0.46, 464154), (44, 0.66, 658586), (56, 0.85, 853018), (110, 1.7, 1727962)],
)
def test_cifar_networks_have_the_sizes_of_table_6(depth, millions, exact):
    model = cifar_resnet(depth)
    assert size(model) == exact
    assert size(model) / 1e6 == pytest.approx(millions, abs=0.03)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) + 1 == depth


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (resnet18, 11_689_512),
        (resnet34, 21_797_672),
        (resnet50, 25_557_032),
        (lambda: resnet50(block="pre_bottleneck"), 25_549_352),  # resnetv2_50 of timm
        (lambda: resnet50(inner_width=0.5), 68_883_240),  # wide_resnet50_2 of torchvision
        (lambda: wide_resnet(28, 10), 36_479_194),
    ],
)
def test_large_networks_have_the_published_sizes(build, parameters):
    with torch.device("meta"):
        assert size(build()) == parameters


def test_plain_twins_have_the_same_parameters_as_their_residual_twins():
    """Shortcuts of option A have no parameters: the twins differ in nothing but them."""
    plain, residual = cifar_resnet(8, scheme="plain").state_dict(), cifar_resnet(8).state_dict()
    assert {name: value.shape for name, value in plain.items()} == {n: v.shape for n, v in residual.items()}


# -- torchvision -----------------------------------------------------------------------------------------------------


def norm_keys(name, width):
    vectors = {f"{name}.{key}": (width,) for key in ("weight", "bias", "running_mean", "running_var")}
    return vectors | {f"{name}.num_batches_tracked": ()}


def torchvision_keys(counts, bottleneck):
    """The state dict of torchvision's ResNets as its documentation and files show it, written out here."""
    keys = {"conv1.weight": (64, 3, 7, 7)} | norm_keys("bn1", 64)
    arriving = 64
    for stage, count in enumerate(counts, 1):
        inner = 32 * 2**stage
        leaving = inner * (4 if bottleneck else 1)
        for step in range(count):
            block = f"layer{stage}.{step}"
            sizes = (
                [(inner, arriving, 1), (inner, inner, 3), (leaving, inner, 1)]
                if bottleneck
                else [(inner, arriving, 3), (inner, inner, 3)]
            )
            for number, (writes, reads, kernel) in enumerate(sizes, 1):
                keys[f"{block}.conv{number}.weight"] = (writes, reads, kernel, kernel)
                keys |= norm_keys(f"{block}.bn{number}", writes)
            if arriving != leaving:
                keys[f"{block}.downsample.0.weight"] = (leaving, arriving, 1, 1)
                keys |= norm_keys(f"{block}.downsample.1", leaving)
            arriving = leaving
    return keys | {"fc.weight": (1000, arriving), "fc.bias": (1000,)}


@pytest.mark.parametrize(
    ("build", "counts", "bottleneck", "some"),
    [
        (resnet18, (2, 2, 2, 2), False, "layer2.0.downsample.0.weight"),
        (resnet34, (3, 4, 6, 3), False, "layer3.5.bn2.running_var"),
        (resnet50, (3, 4, 6, 3), True, "layer1.0.downsample.1.num_batches_tracked"),
    ],
)
def test_the_state_dict_is_torchvisions_in_names_order_and_shapes(build, counts, bottleneck, some):
    with torch.device("meta"):
        ours = {name: tuple(value.shape) for name, value in build().state_dict().items()}
    expected = torchvision_keys(counts, bottleneck)
    assert some in ours
    assert ours == expected
    assert list(ours) == list(expected)


def plain_logits(state, x, training):
    """A ResNet v1 written as one function of its state dict, from the paper and torch alone."""

    def norm(x, name):
        values = [state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        mean, var = (None, None) if training else values[:2]
        return F.batch_norm(x, mean, var, *values[2:], training=training)

    x = F.relu(norm(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    blocks = list(dict.fromkeys(".".join(key.split(".")[:2]) for key in state if key.startswith("layer")))
    for block in blocks:
        bottleneck = f"{block}.conv3.weight" in state
        stride = 2 if block.endswith(".0") and not block.startswith("layer1") else 1
        y, shortcut = x, x
        for number in range(1, 4 if bottleneck else 3):
            weight = state[f"{block}.conv{number}.weight"]
            has_stride = number == (2 if bottleneck else 1)
            y = F.conv2d(y, weight, stride=stride if has_stride else 1, padding=weight.shape[-1] // 2)
            y = norm(y, f"{block}.bn{number}")
            y = y if number == (3 if bottleneck else 2) else F.relu(y)
        if f"{block}.downsample.0.weight" in state:
            shortcut = F.conv2d(x, state[f"{block}.downsample.0.weight"], stride=stride)
            shortcut = norm(shortcut, f"{block}.downsample.1")
        x = F.relu(y + shortcut)
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_logits_are_those_of_a_plain_implementation(block, training):
    torch.manual_seed(0)
    model = disturb(ResNet(block, (2, 2, 1), (8, 16, 24), 10).double()).train(training)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.copy_(0.5 + draw(*buffer.shape).abs())
    x = draw(4, 3, 40, 32)
    torch.testing.assert_close(model(x), plain_logits(model.state_dict(), x, training), rtol=1e-10, atol=1e-10)


def plain_pre_activation_logits(state, x, strides, training=False):
    """Pre-activation as in the programs of arXiv:1603.05027 and 1605.07146: both ways of a unit that changes the shape
    start from one ReLU(N(x)); a unit that keeps it adds x itself."""

    def norm_relu(x, name):
        values = [state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        mean, var = (None, None) if training else values[:2]
        return F.relu(F.batch_norm(x, mean, var, *values[2:], training=training))

    if state["conv1.weight"].shape[-1] == 7:
        h = F.max_pool2d(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), 3, 2, 1)
    else:
        h = F.conv2d(x, state["conv1.weight"], padding=1)
    for block, stride in strides.items():
        read = y = norm_relu(h, f"{block}.scheme.norm")
        bottleneck = f"{block}.conv3.weight" in state
        for number in range(1, 4 if bottleneck else 3):
            weight = state[f"{block}.conv{number}.weight"]
            has_stride = number == (2 if bottleneck else 1)
            y = y if number == 1 else norm_relu(y, f"{block}.bn{number}")
            y = F.conv2d(y, weight, stride=stride if has_stride else 1, padding=weight.shape[-1] // 2)
        projection = state.get(f"{block}.downsample.weight")
        h = y + (h if projection is None else F.conv2d(read, projection, stride=stride))
    return F.linear(norm_relu(h, "final_norm").mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("block", ["pre_basic", "pre_bottleneck"])
def test_pre_activation_logits_are_those_of_the_authors_programs(block, stem, training):
    torch.manual_seed(0)
    model = disturb(ResNet(block, (2, 2), (8, 16), 5, stem=stem, stem_width=4).double()).train(training)
    strides = {"layer1.0": 1, "layer1.1": 1, "layer2.0": 2, "layer2.1": 1}
    assert [name for name in strides if f"{name}.downsample.weight" in model.state_dict()] == ["layer1.0", "layer2.0"]
    x = draw(4, 3, 12, 12) if stem == "cifar" else draw(4, 3, 40, 32)
    expected = plain_pre_activation_logits(model.state_dict(), x, strides, training)
    torch.testing.assert_close(model(x), expected, rtol=1e-10, atol=1e-10)


def test_a_projection_of_pre_activation_sees_nothing_of_what_is_negative():
    block = ResNet("pre_basic", (1,), (1,), 1, stem="cifar", stem_width=2, norm="none").stages[0][0]
    for name, weight in {"conv1": 0.0, "conv2": 0.0, "downsample": 1.0}.items():
        nn.init.constant_(getattr(block, name).weight, weight)
    assert block(torch.full((1, 2, 1, 1), -1.0)) == 0
    assert block(torch.full((1, 2, 1, 1), 1.0)) == 2


# ln_scaling divides what the branch reads, and not the stream. With several streams the branch reads a mixture.
@pytest.mark.parametrize(
    "scheme",
    [name for name, kind in SCHEMES.items() if kind.has_shortcut and not kind.carries_state and name != "ln_scaling"],
)
def test_one_tensor_goes_into_the_projection_and_into_the_first_convolution_of_pre_activation(scheme):
    block, seen = disturb(ResNet("pre_basic", (1, 1), (8, 16), 5, stem="cifar", scheme=scheme)).layer2[0], []
    for module in (block.conv1, block.downsample):
        module.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    block(draw(2, block.conv1.in_channels, 8, 8, dtype=torch.float32))
    assert torch.equal(*seen)


def test_option_a_takes_every_other_pixel_and_pads_channels_with_zeros():
    shortcut = cifar_resnet(8).layer2[0].downsample
    x = draw(2, 16, 8, 8)
    y = shortcut(x)
    assert torch.equal(y[:, :16], x[:, :, ::2, ::2])
    assert y[:, 16:].abs().max() == 0
    assert y.shape == (2, 32, 4, 4)


def test_a_v1_branch_gets_a_further_norm_only_from_schemes_that_place_norms():
    names = {scheme: list(ResNet("basic", (1,), (8,), 5, scheme=scheme).state_dict()) for scheme in ("add", "rezero")}
    assert [name for name in names["rezero"] if name not in names["add"]] == ["layer1.0.scheme.alpha"]
    placed = ResNet("basic", (1,), (8,), 5, scheme="pre_norm").state_dict()
    assert "layer1.0.scheme.norm.weight" in placed
    assert "final_norm.weight" in placed


def test_rezero_leaves_only_shortcuts_at_the_start():
    model = cifar_resnet(8, scheme="rezero").eval()
    x = F.relu(model.bn1(model.conv1(draw(2, 3, 16, 16, dtype=torch.float32))))
    assert torch.equal(model.layer1(x), x)


def test_channels_last_gives_the_same_logits():
    model, x = cifar_resnet(8).eval(), draw(2, 3, 32, 32, dtype=torch.float32)
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ResNet("bsaic"), "block is 'bsaic', but it must be one of .* Did you mean 'basic'"),
        (lambda: ResNet("basic", (2,), (8, 16)), "layers is .* and widths is .*, but both must have an entry for each"),
        (lambda: ResNet("basic", (), ()), "both must have an entry for each stage"),
        (lambda: ResNet("basic", (0,), (8,)), r"layers\[0\] is 0, but it must be at least 1"),
        (lambda: ResNet("basic", (1, 1), (8, -1)), r"widths\[1\] is -1, but it must be at least 1"),
        (lambda: ResNet(num_classes=0), "num_classes is 0, but it must be at least 1"),
        (lambda: ResNet(in_channels="3"), "in_channels is '3', but it must be an integer"),
        (lambda: ResNet(stem="mnist"), "stem is 'mnist', but it must be one of 'imagenet', 'cifar'"),
        (lambda: ResNet(stem_width=0), "stem_width is 0, but it must be at least 1"),
        (lambda: ResNet(shortcut="C"), "shortcut is 'C', but it must be one of 'A', 'B'"),
        (lambda: ResNet(scheme="resnet"), "scheme is 'resnet', but it must be one of"),
        (lambda: ResNet(norm="batchnorm"), "norm is 'batchnorm', but it must be one of .*Did you mean 'batch"),
        (lambda: ResNet(inner_width=2), "inner_width is 2, but it must be between 0 and 1"),
        (lambda: ResNet(dropout=2), "dropout is 2, but it must be between 0 and 1"),
        (lambda: ResNet("basic", (1,), (8,), groups=3), "the scheme 'add' has no option 'groups'"),
        (lambda: cifar_resnet(21), "depth is 21, but it must be 6n"),
        (lambda: wide_resnet(28, 0), "width is 0, but it must be at least 1"),
        (lambda: wide_resnet(30, 2), "depth is 30, but it must be 6n"),
        (lambda: cifar_resnet(8, scheme="value_residual"), "it would be pre_norm"),
        (lambda: cifar_resnet(8)(torch.zeros(3, 32, 32)), r"x has shape \(3, 32, 32\), but it must be \(N, 3"),
        (lambda: cifar_resnet(8)(torch.zeros(1, 1, 32, 32)), r"x has shape \(1, 1, 32, 32\), but it must be \(N, 3"),
    ],
)
def test_wrong_arguments_say_what_to_do(build, message):
    with pytest.raises(ValueError, match=message):
        build()
