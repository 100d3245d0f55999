"""The default compiler of torch, forward and backward: one graph, and the numbers of the uncompiled model."""

import os
import shutil

import pytest
import torch
from torch import nn

from resnorm_lib.models import DecoderLM, ResNet
from resnorm_lib.norms import LayerNorm, RMSNorm
from tests.residual.tools import disturb, draw

pytestmark = [
    pytest.mark.no_cover,
    pytest.mark.skipif(
        not shutil.which(os.environ.get("CXX", "g++")), reason="this machine has no C++ compiler, which Inductor calls"
    ),
    pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning"),  # of torch, by torch
]


def norms():
    model = nn.Sequential(LayerNorm(24), nn.Linear(24, 16), RMSNorm(16, eps=1e-6, zero_centered_gain=True))
    return model, draw(8, 24, dtype=torch.float32)


def image_network():
    return ResNet("basic", (1, 1), (8, 16), 10, stem="cifar"), draw(4, 3, 8, 8, dtype=torch.float32)


def language_model():
    return DecoderLM(32, 32, depth=1, num_heads=2, context_length=8, scheme="sandwich", norm="rms"), torch.arange(
        16
    ).reshape(2, 8)


def passes(model, network, x):
    network.zero_grad()
    y = model(x)
    y.square().mean().backward()
    return y.detach(), [parameter.grad.clone() for parameter in network.parameters()]


@pytest.mark.parametrize("build", [norms, image_network, language_model])
def test_inductor_gives_the_outputs_and_gradients_of_the_model(build):
    torch._dynamo.reset()
    torch.manual_seed(0)  # the weights of a model must not depend on which tests came before
    network, x = build()
    eager = passes(disturb(network), network, x)
    compiled = passes(torch.compile(network, fullgraph=True), network, x)
    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)
