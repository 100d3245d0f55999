"""The head is a layer that tools find and that is called; tied, it stays one parameter with the embedding."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from resnorm_lib.models import DecoderLM, EncoderDecoder
from resnorm_lib.norms import weight_norm
from tests.residual.tools import draw

BUILDS = {
    "decoder": lambda **o: DecoderLM(20, 16, depth=1, num_heads=2, context_length=8, **o),
    "both": lambda **o: EncoderDecoder(
        20, 20, 16, encoder_depth=1, decoder_depth=1, num_heads=2, context_length=8, **o
    ),
}


def words(*shape, seed=0):
    return torch.randint(20, shape, generator=torch.Generator().manual_seed(seed))


def call(model):
    return model(words(2, 8), words(2, 8, seed=1)) if isinstance(model, EncoderDecoder) else model(words(2, 8))


class LoRA(nn.Module):
    """A low-rank adapter (arXiv:2106.09685) around a linear layer, as libraries of adapters put it there."""

    def __init__(self, base):
        super().__init__()
        self.base, self.a = base, nn.Parameter(draw(2, base.in_features))
        self.b = nn.Parameter(torch.ones(base.out_features, 2))

    @property
    def weight(self):
        return self.base.weight

    def forward(self, x):
        return self.base(x) + x @ self.a.T @ self.b.T


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("build", BUILDS)
def test_an_adapter_around_the_head_changes_the_logits_and_learns(build, tied):
    model = BUILDS[build](tied=tied).double()
    before, embedding = call(model), model.embedding.token.weight.clone()
    model.head = LoRA(model.head)
    model.double()
    logits = call(model)
    assert not torch.allclose(logits, before)
    logits.square().sum().backward()
    assert model.head.a.grad.abs().min() > 0
    assert torch.equal(model.embedding.token.weight, embedding)


@pytest.mark.parametrize("tied", [True, False])
def test_hooks_and_pruning_reach_the_head_and_the_positions(tied):
    model, called = BUILDS["decoder"](tied=tied), []
    for module in (model.head, model.embedding.position, model.embedding.token):
        module.register_forward_hook(lambda module, args, y: called.append(module))
    call(model)
    assert called == [model.embedding.token, model.embedding.position, model.head]
    prune.l1_unstructured(model.head, "weight", amount=0.5)
    for _ in range(2):  # the pruned weight is computed anew in each call
        call(model).sum().backward()
    assert (model.double().head.weight == 0).double().mean() == 0.5


@pytest.mark.filterwarnings("ignore")  # of torch.ao, which torch still has
@pytest.mark.parametrize("tied", [True, False])
def test_dynamic_quantization_changes_the_logits_by_a_little(tied):
    torch.manual_seed(0)
    model = BUILDS["decoder"](tied=tied).eval()
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    assert isinstance(quantized.head, nn.Linear) is tied  # a shared weight is left alone
    # Each of five layers rounds weights and inputs to 1/255 of their range, 4 to 6 standard deviations: by 0.7 % each.
    logits, off = call(model), call(quantized) - call(model)
    assert off.square().mean().sqrt() < 5 * 0.007 * 2**0.5 * logits.square().mean().sqrt()


def without_storage(model):
    return model.to("meta").to_empty(device="cpu")


def assigned(model):
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    return model


@pytest.mark.parametrize(
    "change",
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        nn.Module.double,
        without_storage,
        lambda model: without_storage(copy.deepcopy(model)),
        lambda model: (
            model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True) and model
        ),
    ],
    ids=["deepcopy", "pickle", "double", "to_empty", "copy, to_empty", "assign"],
)
@pytest.mark.parametrize("build", BUILDS)
def test_head_and_embedding_stay_one_parameter(build, change):
    model = change(BUILDS[build]())
    assert model.head.weight is model.embedding.token.weight
    assert "head.weight" not in dict(model.named_parameters())
    assert "head.weight" not in model.state_dict()


def test_parameters_from_outside_reach_both_places():
    model = BUILDS["decoder"]().double()
    state = {name: value + 1 for name, value in model.state_dict().items()}
    moved = BUILDS["decoder"]().double()
    moved.load_state_dict(state)
    assert torch.equal(torch.func.functional_call(model, state, (words(2, 8),)), call(moved))


@pytest.mark.parametrize(
    "change",
    [lambda token: weight_norm(token), lambda token: prune.l1_unstructured(token, "weight", amount=0.5)],
    ids=["weight_norm", "pruning"],
)
def test_what_changes_the_weight_of_the_embedding_changes_the_tied_head(change):
    model = BUILDS["decoder"]().double()
    change(model.embedding.token)
    features = model.features(words(2, 8))
    torch.testing.assert_close(call(model), features @ model.embedding.token.weight.T)
    with torch.no_grad():
        for parameter in model.embedding.token.parameters():
            parameter.mul_(2)
    logits = call(model)
    torch.testing.assert_close(logits, model.features(words(2, 8)) @ model.embedding.token.weight.T)
    logits.sum().backward()
    call(model.to("meta").to_empty(device="cpu"))


def test_a_new_embedding_is_that_of_the_tied_head_too():
    model, x = BUILDS["decoder"]().double(), words(2, 8)
    rows, dim = model.embedding.token.weight.shape
    model.embedding.token = nn.Embedding(rows + 5, dim, dtype=torch.float64)  # a larger vocabulary
    assert call(model).shape[-1] == rows + 5
    model.embedding.token.weight = nn.Parameter(torch.randn(rows, dim, dtype=torch.float64))
    torch.testing.assert_close(call(model), model.features(x) @ model.embedding.token.weight.T)
    model.head.tie()
    assert model.head.weight is model.embedding.token.weight


def test_a_tied_head_is_not_reset_apart_from_its_embedding():
    model = BUILDS["decoder"]()
    before = model.embedding.token.weight.clone()
    model.head.reset_parameters()
    assert torch.equal(model.embedding.token.weight, before)


def test_a_state_dict_with_another_head_does_not_fit_a_tied_model():
    tied, untied = BUILDS["decoder"](), BUILDS["decoder"](tied=False)
    with pytest.raises(RuntimeError, match="is not the embedding, to which this head is tied: build with tied=False"):
        tied.load_state_dict(untied.state_dict())
    tied.load_state_dict(untied.state_dict() | {"head.weight": untied.embedding.token.weight})
    assert torch.equal(tied.head.weight, untied.embedding.token.weight)
