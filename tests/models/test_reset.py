"""A model that is reset, as after the meta device, starts as a new one: with the spreads of its papers."""

import pytest
import torch

from resnorm_lib.models import cifar_resnet
from tests.models.test_everywhere import MODELS, build


def reset(part):
    if hasattr(part, "reset_parameters"):
        part.reset_parameters()


@pytest.mark.parametrize("scheme", ["pre_norm", "deep_norm", "t_fixup", "fixup", "sub_ln", "hyper_connections"])
@pytest.mark.parametrize("model", MODELS)
def test_a_model_from_the_meta_device_has_the_spreads_of_a_new_one(model, scheme):
    norm = "none" if "fixup" in scheme else "layer"
    expected = build(model, scheme, norm, seed=1).state_dict()
    with torch.device("meta"):
        network = build(model, scheme, norm)
    network.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(float("nan"))
    network.apply(reset)
    for name, ours in network.state_dict().items():
        theirs = expected[name]
        assert ours.isfinite().all(), name
        if theirs.min() == theirs.max():
            assert torch.equal(ours, theirs), name
        elif ours.numel() >= 64:
            six_errors = 6 * (2 * 2 / (4 * ours.numel())) ** 0.5  # of the ratio of two spreads of a normal draw
            torch.testing.assert_close(ours.std(), theirs.std(), rtol=six_errors, atol=0, msg=name)


def test_a_projection_past_the_branch_is_no_part_of_it():
    """Fixup puts the last convolution of a branch to zero, and leaves the shortcut as it is drawn."""
    block = cifar_resnet(20, block="pre_basic", shortcut="B", scheme="fixup", norm="none").layer2[0]
    assert block.downsample.weight.abs().max() > 0
    assert block.conv2.weight.abs().max() == 0
    assert block.conv1.weight.abs().max() > 0
