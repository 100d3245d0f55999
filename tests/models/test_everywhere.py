"""Any scheme and any norm in any model: all schemes with two norms, all norms with two schemes."""

import copy
import pickle

import pytest
import torch

from resnorm_lib.models import MLP, DecoderLM, EncoderDecoder, ResNet, TransformerEncoder
from resnorm_lib.norms import NORMS
from resnorm_lib.residual import SCHEMES

DIM = 64  # so that "group" has more than one channel in a group


def image_network(block, **options):
    return ResNet(block, (1, 2), (8, 16), 3, stem="cifar", **options)


def untied(options):
    return options | ({"tied": False} if options["scheme"] == "concat" else {})


MODELS = {
    "mlp": lambda **o: MLP(5, 16, 4, out_features=3, **o),
    "basic": lambda **o: image_network("basic", **o),
    "bottleneck": lambda **o: image_network("bottleneck", **o),
    "pre_basic": lambda **o: image_network("pre_basic", **o),
    "pre_bottleneck": lambda **o: image_network("pre_bottleneck", **o),
    "encoder": lambda **o: TransformerEncoder(11, DIM, depth=2, num_heads=2, context_length=6, **o),
    "decoder": lambda **o: DecoderLM(11, DIM, depth=2, num_heads=2, context_length=6, **untied(o)),
    "both": lambda **o: EncoderDecoder(
        11, 11, DIM, encoder_depth=2, decoder_depth=2, num_heads=2, context_length=6, **untied(o)
    ),
}
IMAGES = ("basic", "bottleneck", "pre_basic", "pre_bottleneck")


def inputs(model):
    generator = torch.Generator().manual_seed(0)
    if model in IMAGES:
        return (torch.randn(2, 3, 8, 8, generator=generator),)
    if model == "mlp":
        return (torch.randn(8, 5, generator=generator),)
    tokens = torch.randint(11, (2, 6), generator=generator)
    return (tokens, tokens) if model == "both" else (tokens,)


def works(model, scheme, norm):
    if scheme == "value_residual":
        return model in ("encoder", "decoder", "both")
    return norm != "instance" or model in IMAGES


def pairs():
    """Every scheme with a norm of rows and one of channels in turn, and every norm before and around the branch."""
    for number, model in enumerate(MODELS):
        for other, scheme in enumerate(SCHEMES):
            yield model, scheme, ("layer", "batch")[(number + other) % 2]
        for other, norm in enumerate(NORMS):
            yield model, ("pre_norm", "sandwich")[(number + other) % 2], norm


ALL = sorted({case for case in pairs() if works(*case)})


def build(model, scheme, norm, seed=0):
    torch.manual_seed(seed)
    return MODELS[model](scheme=scheme, norm=norm)


@pytest.mark.parametrize(("model", "scheme", "norm"), ALL)
def test_every_weight_learns(model, scheme, norm):
    network = build(model, scheme, norm)
    loss = network(*inputs(model)).square().sum()
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize(("model", "scheme", "norm"), ALL[::5])
def test_copies_agree(model, scheme, norm):
    network, x = build(model, scheme, norm).eval(), inputs(model)
    twin = build(model, scheme, norm, seed=1).eval()
    twin.load_state_dict(network.state_dict())
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), twin):
        assert torch.equal(other(*x), network(*x))


def one_of_each_model():
    """A case a model, further down the list each time: each scheme and each norm is compiled alone in its own tests."""
    for number, model in enumerate(MODELS):
        cases = [case for case in ALL if case[0] == model]
        yield cases[(7 * number + 3) % len(cases)]


@pytest.mark.parametrize(("model", "scheme", "norm"), [*one_of_each_model()])
@pytest.mark.no_cover
def test_compiles_without_a_break(model, scheme, norm):
    torch._dynamo.reset()
    network, x = build(model, scheme, norm).eval(), inputs(model)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*x), network(*x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_the_start_and_the_forward_pass_depend_on_the_seed_alone(model):
    first, second = (build(model, "pre_norm", "layer").eval()(*inputs(model)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("model", ["encoder", "decoder", "both"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_acts_in_training_alone(model, dropout):
    network = MODELS[model](scheme="pre_norm", norm="layer", dropout=dropout)
    x = inputs(model)
    assert torch.equal(network(*x), network(*x)) == (dropout == 0)
    network.eval()
    assert torch.equal(network(*x), network(*x))


@pytest.mark.parametrize("model", ["mlp", "basic", "pre_basic", "decoder"])
def test_autocast_keeps_the_numbers_finite_and_close(model):
    network, x = build(model, "pre_norm", "layer").eval(), inputs(model)
    with torch.autocast("cpu", torch.bfloat16):
        low = network(*x).float()
    torch.testing.assert_close(low, network(*x), rtol=0.1, atol=0.1)
