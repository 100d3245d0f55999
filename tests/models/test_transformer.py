"""Transformers: logits of a second, plain implementation, masks, tied embeddings, errors."""

import math
import re
from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnorm_lib.models import (
    MLP,
    DecoderLM,
    EncoderDecoder,
    Experts,
    LatentAttention,
    ReversibleInstanceNorm,
    SinkAttention,
    TransformerEncoder,
    cifar_resnet,
    from_gpt2,
    gpt2_state_dict,
)
from resnorm_lib.models.gated_feed_forward import GatedFeedForward
from resnorm_lib.models.transformer_branches import CrossAttention, FeedForward, SelfAttention
from resnorm_lib.norms import BatchNorm, LayerNorm, RMSNorm
from resnorm_lib.residual import SCHEMES, profile_admin
from tests.residual.tools import disturb, draw

ENCODER = {"vocab_size": 20, "dim": 16, "depth": 1, "num_heads": 2, "context_length": 8}
BOTH = {"source_vocab": 20, "target_vocab": 20, "encoder_depth": 1, "decoder_depth": 1}
BOTH |= {"dim": 16, "num_heads": 2, "context_length": 8}


def words(rows, length, vocab=20, seed=0):
    return torch.randint(vocab, (rows, length), generator=torch.Generator().manual_seed(seed))


# -- GPT-2 -----------------------------------------------------------------------------------------------------------

VOCAB, LONGEST, DIM, DEPTH, HEADS = 31, 12, 24, 3, 4


def gpt2_weights():
    """Weights under the names and in the shapes in which GPT-2 is published."""
    shapes = {"wte.weight": (VOCAB, DIM), "wpe.weight": (LONGEST, DIM)}
    for layer in range(DEPTH):
        h = f"h.{layer}"
        shapes |= {f"{h}.ln_1.weight": (DIM,), f"{h}.ln_1.bias": (DIM,)}
        shapes |= {f"{h}.attn.c_attn.weight": (DIM, 3 * DIM), f"{h}.attn.c_attn.bias": (3 * DIM,)}
        shapes |= {f"{h}.attn.c_proj.weight": (DIM, DIM), f"{h}.attn.c_proj.bias": (DIM,)}
        shapes |= {f"{h}.ln_2.weight": (DIM,), f"{h}.ln_2.bias": (DIM,)}
        shapes |= {f"{h}.mlp.c_fc.weight": (DIM, 4 * DIM), f"{h}.mlp.c_fc.bias": (4 * DIM,)}
        shapes |= {f"{h}.mlp.c_proj.weight": (4 * DIM, DIM), f"{h}.mlp.c_proj.bias": (DIM,)}
    shapes |= {"ln_f.weight": (DIM,), "ln_f.bias": (DIM,)}
    return {name: draw(*shape, seed=seed) / 4 for seed, (name, shape) in enumerate(shapes.items())}


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gpt2_logits(w, tokens, eps=1e-5, activation=gelu_tanh):
    """GPT-2 in elementary operations: no module, no fused kernel."""

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        return unit * w[f"{name}.weight"] + w[f"{name}.bias"]

    def affine(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def attention(x, name):
        rows, length, _ = x.shape
        q, k, v = (
            part.reshape(rows, length, HEADS, DIM // HEADS).transpose(1, 2)
            for part in affine(x, f"{name}.c_attn").split(DIM, dim=2)
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(DIM // HEADS)
        future = torch.ones(length, length).triu(1).bool()
        share = scores.masked_fill(future, -torch.inf).softmax(-1)
        return affine((share @ v).transpose(1, 2).reshape(rows, length, DIM), f"{name}.c_proj")

    x = w["wte.weight"][tokens] + w["wpe.weight"][: tokens.shape[1]]
    for layer in range(DEPTH):
        x = x + attention(norm(x, f"h.{layer}.ln_1"), f"h.{layer}.attn")
        x = x + affine(activation(affine(norm(x, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc")), f"h.{layer}.mlp.c_proj")
    return norm(x, "ln_f") @ w.get("lm_head.weight", w["wte.weight"]).T


def test_gpt2_weights_give_the_logits_of_a_plain_implementation():
    weights, tokens = gpt2_weights(), words(3, LONGEST, VOCAB)
    model = from_gpt2(weights, HEADS)
    torch.testing.assert_close(model(tokens), gpt2_logits(weights, tokens), rtol=1e-11, atol=1e-11)


def test_gpt2_files_of_other_makers_load_too():
    """A prefix, the causal mask as a buffer, and the tied head a second time."""
    plain = gpt2_weights()
    dressed = {f"transformer.{name}": value for name, value in plain.items()}
    dressed["transformer.h.0.attn.bias"] = torch.ones(1, 1, 12, 12)
    dressed["transformer.h.0.attn.masked_bias"] = torch.zeros(())
    dressed["lm_head.weight"] = plain["wte.weight"]
    tokens = words(1, 4, VOCAB)
    assert torch.equal(from_gpt2(dressed, HEADS)(tokens), from_gpt2(plain, HEADS)(tokens))


def test_a_gpt2_whose_head_is_not_the_embedding_keeps_its_head():
    weights, tokens = gpt2_weights(), words(3, LONGEST, VOCAB)
    weights["lm_head.weight"] = draw(VOCAB, DIM, seed=99)
    torch.testing.assert_close(from_gpt2(weights, HEADS)(tokens), gpt2_logits(weights, tokens), rtol=1e-11, atol=1e-11)
    assert "head.weight" in gpt2_state_dict(weights)
    assert "head.weight" not in gpt2_state_dict(weights | {"lm_head.weight": weights["wte.weight"].clone()})


@pytest.mark.parametrize("shape", [(VOCAB + 1, DIM), (VOCAB, DIM + 1), (VOCAB,)], ids=str)
def test_a_gpt2_whose_head_does_not_fit_is_refused(shape):
    with pytest.raises(ValueError, match=rf"lm_head.weight has shape .* must have the shape \({VOCAB}, {DIM}\)"):
        from_gpt2(gpt2_weights() | {"lm_head.weight": draw(*shape)}, HEADS)


def test_what_the_weights_of_a_gpt2_do_not_tell_can_be_said():
    weights, tokens = gpt2_weights(), words(3, LONGEST, VOCAB)
    model = from_gpt2(weights, HEADS, activation="relu", norm=partial(LayerNorm, eps=0.1))
    expected = gpt2_logits(weights, tokens, eps=0.1, activation=torch.relu)
    torch.testing.assert_close(model(tokens), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("key", gpt2_weights())
def test_a_gpt2_that_lacks_a_weight_is_refused_by_name(key):
    weights = gpt2_weights()
    for damaged in (
        {name: value for name, value in weights.items() if name != key},
        weights | {key: weights[key][..., None]},
    ):
        with pytest.raises(ValueError, match=re.escape(key)):
            from_gpt2(damaged, HEADS)


def test_gpt2_small_has_its_published_size():
    with torch.device("meta"):
        model = DecoderLM(50257, 768, depth=12, num_heads=12, context_length=1024)
    assert sum(parameter.numel() for parameter in model.parameters()) == 124_439_808


def test_what_is_not_gpt2_is_refused():
    with pytest.raises(ValueError, match=r"h\.0\.attn\.q_proj\.weight is no key of GPT-2"):
        gpt2_state_dict({"h.0.attn.q_proj.weight": torch.zeros(2, 2)})
    with pytest.raises(ValueError, match="num_heads is 5, but it must divide dim"):
        from_gpt2(gpt2_weights(), 5)
    with pytest.raises(ValueError, match=r"wte\.weight is missing"):
        from_gpt2({}, 5)
    with pytest.raises(ValueError, match=r"ln_f\.bias has no place"):
        from_gpt2(gpt2_weights(), HEADS, norm="rms")


# -- who sees whom ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["pre_norm", "hyper_connections", "dense_former", "value_residual", "reversible"])
def test_a_causal_token_sees_none_after_it(scheme):
    model = disturb(DecoderLM(20, 16, depth=2, num_heads=2, context_length=8, scheme=scheme)).eval()
    tokens = words(2, 8)
    other = tokens.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 20
    torch.testing.assert_close(model(tokens)[:, :5], model(other)[:, :5])
    assert not torch.allclose(model(tokens)[:, 5:], model(other)[:, 5:])


def test_padding_changes_no_real_token():
    tokens, padding = words(2, 8), torch.zeros(2, 8, dtype=torch.bool)
    padding[:, 5:] = True
    for model in (
        TransformerEncoder(20, 16, depth=2, num_heads=2, context_length=8),
        DecoderLM(20, 16, depth=2, num_heads=2, context_length=8),
    ):
        model.double().eval()
        torch.testing.assert_close(model(tokens, padding)[:, :5], model(tokens[:, :5]))


@pytest.mark.parametrize("norm", ["batch", "ghost_batch", "batch_renorm", nn.BatchNorm1d])
def test_padding_does_not_enter_the_statistics_of_a_batch(norm):
    """In training that cannot be had, and is refused; in evaluation the statistics are there already."""
    tokens, padding = words(2, 8), torch.zeros(2, 8, dtype=torch.bool)
    padding[:, 5:] = True
    model = TransformerEncoder(**ENCODER, norm=norm).double()
    model(tokens)
    with pytest.raises(ValueError, match=r"padding is given, but .*orm.* would count padding"):
        model(tokens, padding)
    both = EncoderDecoder(**BOTH, norm=norm)
    for name in ("source_padding", "target_padding"):
        with pytest.raises(ValueError, match="padding is given, but"):
            both(tokens, tokens, **{name: padding})
    model.eval()
    torch.testing.assert_close(model(tokens, padding)[:, :5], model(tokens[:, :5]))


def test_statistics_of_the_batch_in_evaluation_refuse_padding_too():
    model = TransformerEncoder(**ENCODER, norm=partial(BatchNorm, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match="would count padding"):
        model(words(2, 8), torch.zeros(2, 8, dtype=torch.bool))


def test_padding_of_the_source_changes_no_target():
    model = EncoderDecoder(20, 20, 16, encoder_depth=2, decoder_depth=2, num_heads=2, context_length=8).double().eval()
    source, target, padding = words(2, 8), words(2, 6, seed=1), torch.zeros(2, 8, dtype=torch.bool)
    padding[:, 5:] = True
    torch.testing.assert_close(model(source, target, padding), model(source[:, :5], target))
    memory = model.encoder(source, padding)
    with pytest.raises(ValueError, match=r"memory_padding is torch.bool of shape \(2, 5\), but it must be torch.bool"):
        model.decode(target, memory, padding[:, :5])
    torch.testing.assert_close(model.decode(target, memory, padding), model(source, target, padding))


def test_a_target_token_sees_the_source_but_not_its_future():
    model = EncoderDecoder(20, 20, 16, encoder_depth=1, decoder_depth=1, num_heads=2, context_length=8).double().eval()
    source, target = words(1, 8), words(1, 6, seed=1)
    later = target.clone()
    later[:, 4:] = (later[:, 4:] + 1) % 20
    torch.testing.assert_close(model(source, target)[:, :4], model(source, later)[:, :4])
    assert not torch.allclose(model(source, target), model((source + 1) % 20, target))


@pytest.mark.parametrize(("build", "sizes"), [(DecoderLM, ENCODER), (EncoderDecoder, BOTH)])
def test_queries_and_keys_take_any_norm_of_the_width_of_a_head(build, sizes):
    model = build(**sizes, qk_norm=partial(nn.LayerNorm, bias=False))
    width = sizes["dim"] // sizes["num_heads"]
    found = [module.qk_norm for module in model.modules() if hasattr(module, "qk_norm")]
    assert found
    for pair in found:
        for norm in (pair.q_norm, pair.k_norm):
            assert type(norm) is nn.LayerNorm
            assert norm.bias is None
            assert norm.normalized_shape == (width,)


@pytest.mark.parametrize(("build", "sizes"), [(DecoderLM, ENCODER), (EncoderDecoder, BOTH)])
def test_normalized_queries_and_keys_make_their_length_irrelevant(build, sizes):
    """Longer queries sharpen attention, unless every head normalizes them (up to eps)."""
    tokens, change = words(2, 8), {}
    for qk_norm in (None, "rms"):
        torch.manual_seed(0)
        model = build(**sizes, qk_norm=qk_norm).double().eval()
        arguments = (tokens, tokens) if isinstance(model, EncoderDecoder) else (tokens,)
        before = model(*arguments)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, SelfAttention):
                    module.qkv.weight[:32].mul_(100)  # queries and keys
        change[qk_norm] = (model(*arguments) - before).abs().max().item()
    assert change[None] > 1e-2
    assert change["rms"] < 1e-6


def test_self_attention_is_torchs():
    ours, theirs = SelfAttention(16, 4).double(), torch.nn.MultiheadAttention(16, 4, batch_first=True).double()
    disturb(ours)
    theirs.load_state_dict(
        {
            **{"in_proj_weight": ours.qkv.weight, "in_proj_bias": ours.qkv.bias},
            **{"out_proj.weight": ours.output_projection.weight, "out_proj.bias": ours.output_projection.bias},
        }
    )
    x, padding = draw(2, 5, 16), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    expected = theirs(x, x, x, key_padding_mask=padding, need_weights=False)[0]
    torch.testing.assert_close(ours(x, padding=padding), expected, rtol=1e-10, atol=1e-10)


# -- embeddings and heads --------------------------------------------------------------------------------------------


def test_a_tied_head_is_the_embedding():
    tied, untied = (
        DecoderLM(20, 16, depth=1, num_heads=2, context_length=8),
        DecoderLM(20, 16, depth=1, num_heads=2, context_length=8, tied=False),
    )
    assert sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters()) == 20 * 16
    features = tied.features(words(2, 8))
    assert torch.equal(tied(words(2, 8)), F.linear(features, tied.embedding.token.weight))


def test_embeddings_start_with_the_promised_spread():
    torch.manual_seed(0)
    weight = DecoderLM(1000, 100, depth=1, num_heads=2, context_length=8).embedding.token.weight
    assert weight.std().item() == pytest.approx(0.1, rel=4 / (2 * weight.numel()) ** 0.5)


def test_linear_maps_start_as_by_glorot_and_bengio():
    torch.manual_seed(0)
    branch = DecoderLM(20, 128, depth=1, num_heads=2, context_length=8).blocks[0].branch
    for part in branch.qkv.weight.chunk(3):  # each on its own: together they would start smaller
        assert part.abs().max().item() == pytest.approx((6 / 256) ** 0.5, rel=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 0}, "vocab_size is 0, but it must be at least 1"),
        ({"dim": 1.5}, "dim is 1.5, but it must be an integer"),
        ({"depth": 0}, "depth is 0, but it must be at least 1"),
        ({"num_heads": 3}, "num_heads is 3, but it must divide dim, which is 16"),
        ({"context_length": -1}, "context_length is -1, but it must be at least 1"),
        ({"hidden": 0}, "hidden is 0, but it must be at least 1"),
        ({"scheme": "prenorm"}, "Did you mean 'pre_norm'"),
        ({"norm": "lay"}, "norm is 'lay', but it must be one of"),
        ({"norm": "instance"}, "averaged over nothing: use 'layer'"),
        ({"activation": "swish"}, "activation is 'swish', but it must be one of 'relu'"),
        ({"qk_norm": "l2"}, "qk_norm is 'l2', but it must be one of 'rms', 'layer'"),
        ({"dropout": -1}, "dropout is -1, but it must be between 0 and 1"),
        ({"tied": "yes"}, "tied is 'yes', but it must be True or False"),
        ({"streams": 2}, "the scheme 'pre_norm' has no option 'streams'"),
        ({"scheme": "concat"}, "tied is True, but this scheme makes a stream of 40 features from 16: use tied=False"),
        ({"role": "decoder"}, "other_depth is 0, but it must be at least 1"),
    ],
)
def test_wrong_arguments_of_a_language_model_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        DecoderLM(**(ENCODER | arguments))


@pytest.mark.parametrize("name", BOTH)
def test_wrong_sizes_of_an_encoder_decoder_name_the_argument(name):
    with pytest.raises(ValueError, match=f"{name} is -1, but it must be at least 1"):
        EncoderDecoder(**(BOTH | {name: -1}))


@pytest.mark.parametrize(
    ("tokens", "padding", "message"),
    [
        (words(2, 9), None, r"of shape \(2, 9\), but they must be integers of shape \(N, T\) with T at most"),
        (words(2, 8)[0], None, "they must be integers of shape"),
        (words(2, 8).float(), None, r"the tokens are torch\.float32"),
        (words(2, 8), torch.zeros(2, 8), r"padding is torch\.float32 .* but it must be torch\.bool"),
        (words(2, 8), torch.zeros(2, 7, dtype=torch.bool), "but it must be torch.bool of the shape of the tokens"),
    ],
)
def test_wrong_tokens_say_what_to_do(tokens, padding, message):
    with pytest.raises(ValueError, match=message):
        TransformerEncoder(**ENCODER)(tokens, padding)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (SelfAttention, {"reads": 0}, "reads is 0, but it must be at least 1"),
        (SelfAttention, {"writes": 1.5}, "writes is 1.5, but it must be an integer"),
        (SelfAttention, {"causal": "yes"}, "causal is 'yes', but it must be True or False"),
        (SelfAttention, {"num_heads": 0}, "num_heads is 0, but it must be at least 1"),
        (CrossAttention, {"memory_dim": 0}, "memory_dim is 0, but it must be at least 1"),
        (CrossAttention, {"dim": 0}, "dim is 0, but it must be at least 1"),
        (FeedForward, {"hidden": 0}, "hidden is 0, but it must be at least 1"),
        (FeedForward, {"activation": "tanh"}, "activation is 'tanh', but it must be one of"),
        (FeedForward, {"dropout": 1.5}, "dropout is 1.5, but it must be between 0 and 1"),
    ],
)
def test_wrong_arguments_of_a_branch_say_what_to_do(build, arguments, message):
    heads = {} if build is FeedForward else {"num_heads": 2}
    with pytest.raises(ValueError, match=message):
        build(**({"dim": 8} | heads | arguments))


def test_cross_attention_without_a_memory_says_so():
    with pytest.raises(ValueError, match="memory is None, but cross-attention must be given what it reads"):
        CrossAttention(8, 2)(torch.zeros(1, 3, 8))


KNOWN = {  # the norms of models that people use, each by one argument
    "LLaMA": partial(RMSNorm, eps=1e-6),
    "BERT": partial(LayerNorm, eps=1e-12),
    "GPT without biases": partial(LayerNorm, bias=False),
    "Gemma": partial(RMSNorm, eps=1e-6, zero_centered_gain=True),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("scheme", ["pre_norm", "post_norm", "sandwich", "sub_ln"])
def test_every_norm_in_a_model_is_the_one_that_the_argument_builds(name, scheme):
    model = DecoderLM(20, 16, depth=2, num_heads=2, context_length=8, scheme=scheme, norm=KNOWN[name])
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm | nn.RMSNorm)]
    blocks, ends = {"pre_norm": (4, 1), "post_norm": (4, 0), "sandwich": (8, 1), "sub_ln": (8, 1)}[scheme]
    assert len(norms) == blocks + ends
    assert {repr(norm) for norm in norms} == {repr(KNOWN[name](norm.normalized_shape[0])) for norm in norms}
    assert all(norm.eps == KNOWN[name](8).eps for norm in norms)
    assert model(words(2, 8)).isfinite().all()


def test_a_norm_of_torch_and_none_at_all_fit_too():
    of_torch = DecoderLM(20, 16, depth=1, num_heads=2, context_length=8, norm=nn.LayerNorm)
    assert sum(type(module) is nn.LayerNorm for module in of_torch.modules()) == 3
    without = DecoderLM(20, 16, depth=1, num_heads=2, context_length=8, norm=None)
    assert not any(isinstance(module, nn.LayerNorm) for module in without.modules())


def test_branches_in_parallel_read_the_same_norm_in_a_model():
    model = disturb(DecoderLM(20, 16, depth=1, num_heads=2, context_length=8, scheme="parallel")).double()
    x = model.embedding(words(2, 8))
    attention, feed_forward = (block.branch for block in model.blocks)
    read = model.blocks[0].scheme.norm(x)
    torch.testing.assert_close(model.blocks(x), x + attention(read) + feed_forward(read))
    assert sum(isinstance(module, nn.LayerNorm) for module in model.modules()) == 2  # of the layer, and the last


def test_profiling_weighs_each_half_of_a_translator_by_its_own_branches():
    model = EncoderDecoder(20, 20, 16, encoder_depth=2, decoder_depth=2, num_heads=2, context_length=8, scheme="admin")
    profile_admin(model, words(4, 8), words(4, 8, seed=1))
    for stack in (model.encoder.blocks, model.blocks):
        omegas = [block.scheme.omega[0].item() for block in stack]
        assert omegas[0] == 1
        assert all(later > earlier for earlier, later in pairwise(omegas[1:]))  # a norm has made the variance 1


@pytest.mark.parametrize("scheme", ["pre_norm", "sub_ln", "layer_scale"])
def test_a_model_has_the_dtype_and_the_device_that_it_is_asked_for(scheme):
    common = {"depth": 2, "num_heads": 2, "context_length": 8, "scheme": scheme}
    model = DecoderLM(20, 16, tied=False, dtype=torch.float64, device="cpu", **common)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    model = DecoderLM(20, 16, device="meta", **common)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_a_model_on_the_meta_device_never_lies_in_memory(monkeypatch):
    """Every layer with weights is built there: on the CPU a large model would not fit before it is moved."""
    built = set()
    for layer in (torch.nn.Linear, torch.nn.Embedding, LayerNorm, torch.nn.Conv2d, BatchNorm):
        start = layer.__init__

        def note(self, *args, _start=start, **options):
            _start(self, *args, **options)
            built.update(parameter.device.type for parameter in self.parameters())

        monkeypatch.setattr(layer, "__init__", note)
    common = {"num_heads": 2, "context_length": 8, "device": "meta"}
    DecoderLM(20, 16, depth=2, tied=False, **common)
    DecoderLM(20, 16, depth=2, gated=True, qk_norm="rms", scheme="hyper_connections", **common)
    EncoderDecoder(20, 20, 16, encoder_depth=1, decoder_depth=1, **common)
    MLP(8, 8, 2, out_features=2, device=torch.device("meta"))
    cifar_resnet(20, device="meta")
    assert built == {"meta"}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    "build",
    [
        partial(SelfAttention, 8, 2, qk_norm="rms"),
        partial(CrossAttention, 8, 2),
        partial(FeedForward, 8),
        partial(GatedFeedForward, 8),
        partial(SinkAttention, 8, 2),
        partial(LatentAttention, 8, 2, query_rank=6, key_value_rank=4, rotary_dim=2),
        partial(Experts, 8, num_experts=3, num_chosen=2),
        partial(ReversibleInstanceNorm, torch.nn.Identity()),
    ],
    ids=lambda build: build.func.__name__,
)
def test_a_part_has_the_dtype_and_the_device_that_it_is_asked_for(build, device, dtype):
    found = {(parameter.device.type, parameter.dtype) for parameter in build(device=device, dtype=dtype).parameters()}
    assert found == {(device, dtype or torch.float32)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gated": True},
        {"attention": SinkAttention, "feed_forward": partial(Experts, num_experts=3, num_chosen=2)},
        {"attention": partial(LatentAttention, query_rank=6, key_value_rank=4, rotary_dim=2)},
    ],
)
def test_without_biases_a_model_has_none(options):
    common = {"num_heads": 2, "context_length": 8, "norm": partial(LayerNorm, bias=False), "bias": False}
    model = DecoderLM(20, 16, depth=2, **common, **options)
    assert not [name for name, _ in model.named_parameters() if name.endswith("bias")]
    model.apply(lambda module: getattr(module, "reset_parameters", lambda: None)())
    assert model(words(2, 8)).isfinite().all()
    if not options:
        translator = EncoderDecoder(20, 20, 16, encoder_depth=1, decoder_depth=1, **common)
        assert not [name for name, _ in translator.named_parameters() if name.endswith("bias")]


@pytest.mark.parametrize("bias", [0.0, -3])
def test_the_bias_of_a_gate_is_given_with_its_scheme(bias):
    common = {"num_heads": 2, "context_length": 8, "scheme": partial(SCHEMES["highway"], bias=bias)}
    model = DecoderLM(20, 16, depth=2, **common)
    translator = EncoderDecoder(20, 20, 16, encoder_depth=1, decoder_depth=1, **common)
    for stack in (model.blocks, translator.encoder.blocks, translator.blocks):
        assert stack[0].scheme.gate.bias.tolist() == [bias] * 16
        assert stack[0].branch.output_projection.bias is not None
    with pytest.raises(ValueError, match="must be True or False"):
        DecoderLM(20, 16, depth=2, **common | {"scheme": "highway", "bias": bias})


def test_a_branch_that_knows_no_bias_is_asked_for_none():
    class Own(SelfAttention):
        def __init__(self, dim, num_heads, *, reads, writes, causal, rotary, qk_norm, dropout):
            super().__init__(dim, num_heads, reads=reads, writes=writes, causal=causal)

    assert DecoderLM(20, 16, depth=1, num_heads=2, context_length=8, attention=Own)(words(2, 8)).shape == (2, 8, 20)


def test_the_same_seed_gives_the_same_weights_in_any_dtype():
    models = []
    for dtype in (None, torch.bfloat16):
        torch.manual_seed(0)
        models.append(DecoderLM(9, 8, depth=1, num_heads=2, context_length=4, dtype=dtype))
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert other.dtype == torch.bfloat16
        assert torch.equal(one.bfloat16(), other)
