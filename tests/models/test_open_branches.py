"""The branches of DeepSeek-V3 and gpt-oss: their formulas, and that they fit into every scheme and model."""

from functools import partial

import pytest
import torch

from resnorm_lib.models import DecoderLM, Experts, LatentAttention, SinkAttention, TransformerEncoder
from resnorm_lib.models.transformer_branches import SelfAttention
from resnorm_lib.residual import SCHEMES

DEEPSEEK = {
    "attention": partial(LatentAttention, query_rank=12, key_value_rank=8, rotary_dim=4),
    "feed_forward": partial(Experts, num_experts=4, num_chosen=2, shared=True, scores="sigmoid"),
}
GPT_OSS = {"attention": SinkAttention, "feed_forward": partial(Experts, num_experts=4, num_chosen=2)}


def stirred(module, seed=0):
    """Return it in float64, no parameter as it starts."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in module.double().parameters():
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    return module


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_sink_takes_its_share_of_the_attention():
    branch, x = stirred(SinkAttention(8, 2, causal=True)), drawn(3, 5, 8)
    q, k, v = (branch.heads(part) for part in branch.qkv(x).chunk(3, -1))
    scores = (q @ k.mT / 2).masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(), -torch.inf).exp()
    weights = scores / (scores.sum(-1, keepdim=True) + branch.sink.exp()[:, None, None])
    assert (weights.sum(-1) < 1).all()
    torch.testing.assert_close(branch(x), branch.output_projection((weights @ v).transpose(1, 2).flatten(-2)))


@pytest.mark.parametrize("causal", [False, True])
def test_a_sink_that_nothing_reaches_is_the_usual_attention(causal):
    sink, usual = (stirred(kind(8, 2, causal=causal, rotary=True)) for kind in (SinkAttention, SelfAttention))
    usual.load_state_dict({name: value for name, value in sink.state_dict().items() if name != "sink"})
    sink.sink.data.fill_(-1e3)
    x, padding = drawn(3, 5, 8), torch.arange(5).expand(3, 5) >= torch.tensor([[5], [3], [1]])
    torch.testing.assert_close(sink(x), usual(x))
    torch.testing.assert_close(sink(x, padding=padding), usual(x, padding=padding))


def test_latent_attention_is_its_formula():
    """Without positions it is attention on queries, keys and values that are linear in normalized short vectors."""
    branch, x = stirred(LatentAttention(8, 2, query_rank=6, key_value_rank=4, rotary_dim=2)), drawn(3, 5, 8)
    q = branch.heads(branch.query(branch.query_norm(branch.query_down(x))))
    k, v = (
        branch.heads(part) for part in branch.key_value(branch.key_value_norm(branch.key_value_down(x))).chunk(2, -1)
    )
    y = (q @ k.mT / 2).softmax(-1) @ v
    torch.testing.assert_close(branch(x), branch.output_projection(y.transpose(1, 2).flatten(-2)))


def test_latent_attention_knows_distances_and_no_places():
    """Turned parts alone score: words that move together by some places attend alike."""
    branch = stirred(LatentAttention(8, 2, query_rank=6, key_value_rank=4, rotary_dim=4, causal=True, rotary=True))
    x = drawn(1, 4, 8)
    far = torch.cat([torch.zeros(1, 3, 8, dtype=torch.float64), x], 1)
    padding = torch.arange(7)[None] < 3
    torch.testing.assert_close(branch(far, padding=padding)[:, 3:], branch(x))
    assert (branch(x.flip(1)).flip(1) - branch(x)).abs().max() > 1e-3


@pytest.mark.parametrize("scores", ["softmax", "sigmoid"])
def test_experts_are_the_sum_over_those_that_a_token_chooses(scores):
    layer, x = stirred(Experts(8, 6, num_experts=5, num_chosen=2, shared=True, scores=scores)), drawn(3, 4, 8)
    y = layer(x)
    for row, out in zip(x.flatten(0, 1), y.flatten(0, 1)):
        score = layer.router(row)
        best = score.argsort(descending=True)[:2]
        share = score[best].exp() if scores == "softmax" else score[best].sigmoid()
        chosen = sum(part / share.sum() * layer.experts[index](row) for part, index in zip(share, best))
        torch.testing.assert_close(out, chosen + layer.experts[5](row))


def network(model, scheme, options):
    sizes = {"depth": 2, "num_heads": 2, "context_length": 6, "hidden": 12, "norm": "rms", "positions": "rotary"}
    sizes |= {"tied": False} if scheme == "concat" and model is DecoderLM else {}
    return model(11, 16, scheme=scheme, **sizes, **options)


each_kind = pytest.mark.parametrize("options", [DEEPSEEK, GPT_OSS], ids=["deepseek", "gpt_oss"])
START_A_BRANCH = ("sub_ln", "deep_norm", "fixup", "t_fixup")  # or put a norm into it


@pytest.mark.parametrize("model", [DecoderLM, TransformerEncoder])
@each_kind
@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name not in START_A_BRANCH])
def test_they_fit_into_every_scheme(scheme, options, model):
    built, tokens = network(model, scheme, options), drawn(2, 6).mul(1e3).long() % 11
    built(tokens).square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in built.parameters())
    if model is DecoderLM:  # causal: a token sees none after it
        built.eval()
        changed = tokens.clone()
        changed[:, -1] = (changed[:, -1] + 1) % 11
        torch.testing.assert_close(built(changed)[:, :-1], built(tokens)[:, :-1])


@each_kind
@pytest.mark.parametrize("scheme", START_A_BRANCH)
def test_a_scheme_that_asks_for_the_last_linear_map_refuses_a_mixture_of_experts(scheme, options):
    with pytest.raises(ValueError, match=r"but Experts has no (output_projection|scaled_weights)"):
        network(DecoderLM, scheme, options)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: LatentAttention(8, 3, query_rank=4, key_value_rank=4, rotary_dim=2), "num_heads is 3"),
        (lambda: LatentAttention(8, 2, query_rank=4, key_value_rank=4, rotary_dim=3), "rotary_dim is 3"),
        (lambda: LatentAttention(8, 2, query_rank=4, key_value_rank=4, rotary_dim=2, qk_norm="rms"), "short vectors"),
        (lambda: Experts(8, num_experts=2, num_chosen=3), "num_chosen is 3, but there are 2"),
        (lambda: Experts(8, num_experts=2, num_chosen=1, scores="tanh"), "scores"),
        (lambda: DecoderLM(9, 8, depth=1, num_heads=2, context_length=4, gated=True, **GPT_OSS), "one of the two"),
    ],
)
def test_what_does_not_fit_is_refused(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


@pytest.mark.parametrize("kind", ["sink", "latent", "experts"])
def test_they_reset_to_another_start_of_the_same_kind(kind):
    module = {
        "sink": lambda: SinkAttention(8, 2),
        "latent": lambda: LatentAttention(8, 2, query_rank=6, key_value_rank=4, rotary_dim=2, rotary=True),
        "experts": lambda: Experts(8, 6, num_experts=3, num_chosen=2),
    }[kind]()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for value in module.state_dict().values():
        value.fill_(7.0)
    module.apply(lambda part: part.reset_parameters() if hasattr(part, "reset_parameters") else None)
    after = module.state_dict()
    for name, value in before.items():
        constant = value.std(correction=0) == 0
        assert torch.equal(after[name], value) if constant else not torch.equal(after[name], value), name
        assert (after[name] != 7).all(), name
