"""Language models under FSDP2 with two processes: each has the gradients of the whole batch."""

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from book._tools.situations.together import RIGHT, WORLD, WRONG, in_two_processes
from resnorm_lib.models import DecoderLM


def model(tied):
    torch.manual_seed(0)
    return DecoderLM(11, 8, depth=2, num_heads=2, context_length=6, tied=tied).double()


def shard(network, each_layer):
    layers = [part for part in network.modules() if isinstance(part, nn.Linear | nn.Embedding)] if each_layer else []
    for part in (*layers, *network.blocks):
        fully_shard(part)
    return fully_shard(network)


def gradients_agree(tied, each_layer):
    tokens, whole = torch.arange(24).reshape(4, 6) % 11, model(tied)
    whole(tokens).square().sum().backward()
    sharded = shard(model(tied), each_layer)
    sharded(tokens.chunk(WORLD)[torch.distributed.get_rank()]).square().sum().backward()
    for name, parameter in sharded.named_parameters():
        torch.testing.assert_close(parameter.grad.full_tensor() * WORLD, whole.get_parameter(name).grad, msg=name)


def outcome(tied, each_layer):
    try:
        gradients_agree(tied, each_layer)
    except (AssertionError, RuntimeError, ValueError) as error:
        return WRONG, str(error)
    return RIGHT, ""


@pytest.mark.filterwarnings("ignore")
def test_a_sharded_language_model_has_the_gradients_of_the_whole():
    cases = [(True, False), (False, False), (False, True), (True, True)]
    *agree, (_, said) = in_two_processes(cases, outcome)
    assert agree == [(RIGHT, "")] * 3
    assert "use fully_shard([module_a, module_b])" in said  # a tied head and its embedding belong into one group
