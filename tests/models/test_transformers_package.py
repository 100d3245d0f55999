"""Programs that others wrote: the models of the transformers package, where it is installed, and ours say the same."""

import pytest
import torch

from resnorm_lib.models import Experts, LatentAttention, SinkAttention, from_gpt2

transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 31, "n_positions": 12, "n_embd": 24, "n_layer": 3, "n_head": 4}


def gpt2(**options):
    """A GPT-2 without dropout, in float64, whose gains and biases are not the ones and zeros of the start."""
    config = transformers.GPT2Config(**SIZES, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(config).double()
        for weight in model.parameters():
            weight.data.add_(0.2 * torch.randn_like(weight))
    return model


@pytest.mark.parametrize("options", [{}, {"n_inner": 40}, {"tie_word_embeddings": False}, {"layer_norm_epsilon": 1e-5}])
def test_logits_and_gradients_are_those_of_gpt2(options):
    theirs, tokens = gpt2(**options), torch.randint(31, (2, 12), generator=torch.Generator().manual_seed(1))
    ours = from_gpt2(theirs.state_dict(), num_heads=4)
    logits = ours(tokens), theirs(tokens).logits
    torch.testing.assert_close(*logits, rtol=1e-11, atol=1e-11)
    for out in logits:
        torch.nn.functional.cross_entropy(out[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    token, theirs_token = ours.embedding.token.weight.grad, theirs.transformer.wte.weight.grad
    torch.testing.assert_close(token, theirs_token, rtol=1e-10, atol=1e-12)
    last = ours.blocks[5].branch.up.weight.grad
    torch.testing.assert_close(last, theirs.transformer.h[2].mlp.c_fc.weight.grad.T, rtol=1e-10, atol=1e-12)


def test_another_token_changes_the_logits():
    """The comparison is able to fail: the two models depend on what they read, and on the number of heads."""
    theirs, tokens = gpt2(), torch.arange(12)[None]
    logits = theirs(tokens).logits
    assert (from_gpt2(theirs.state_dict(), num_heads=2)(tokens) - logits).abs().max() > 1e-3
    assert (from_gpt2(theirs.state_dict(), num_heads=4)(tokens.flip(1)) - logits).abs().max() > 1e-3


def stirred(module):
    """Return it in float64, no parameter as it starts."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in module.double().parameters():
            parameter.data.normal_(std=0.3)
    return module.eval()


def hidden_states(tokens=7, dim=16):
    return torch.randn(2, tokens, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def rotary(model, x):
    return model(x, torch.arange(x.shape[1])[None])


def causal(x):
    ones = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
    return torch.zeros(ones.shape, dtype=x.dtype).masked_fill(~ones.tril(), -torch.inf)[None, None]


def test_latent_attention_is_that_of_deepseek():
    from transformers.models.deepseek_v3 import modeling_deepseek_v3 as deepseek

    heads, e, r, rank = 2, 8, 4, 6
    config = transformers.DeepseekV3Config(
        hidden_size=16, num_attention_heads=heads, num_key_value_heads=heads, q_lora_rank=10, kv_lora_rank=rank,
        qk_nope_head_dim=e, qk_rope_head_dim=r, v_head_dim=e, rope_interleave=False, attn_implementation="eager",
    )  # fmt: skip
    theirs, x = stirred(deepseek.DeepseekV3Attention(config, 0)), hidden_states()
    angles = rotary(deepseek.DeepseekV3RotaryEmbedding(config), x)
    ours = LatentAttention(16, heads, query_rank=10, key_value_rank=rank, rotary_dim=r, causal=True, rotary=True)
    ours.double()
    parts = {
        "query_down": theirs.q_a_proj, "query_norm": theirs.q_a_layernorm, "query": theirs.q_b_proj,
        "key_value_down": theirs.kv_a_proj_with_mqa, "key_value_norm": theirs.kv_a_layernorm,
        "key_value": theirs.kv_b_proj, "output_projection": theirs.o_proj,
    }  # fmt: skip
    state = ours.state_dict() | {f"{name}.weight": part.weight for name, part in parts.items()}
    # theirs has the keys and values of one head after the other, ours all keys and then all values
    head_by_head = theirs.kv_b_proj.weight.unflatten(0, (heads, 2, e))
    ours.load_state_dict(state | {"key_value.weight": head_by_head.transpose(0, 1).flatten(0, 2)})
    ours.query_norm.eps = ours.key_value_norm.eps = theirs.q_a_layernorm.variance_epsilon
    y, _ = theirs(x, position_embeddings=angles, attention_mask=causal(x))
    torch.testing.assert_close(ours(x), y, rtol=1e-6, atol=1e-6)  # its norms and angles are float32


def test_experts_are_those_of_deepseek():
    from transformers.models.deepseek_v3 import modeling_deepseek_v3 as deepseek

    config = transformers.DeepseekV3Config(
        hidden_size=16, moe_intermediate_size=12, n_routed_experts=4, num_experts_per_tok=2, n_shared_experts=1,
        n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.0,
    )  # fmt: skip
    theirs, x = stirred(deepseek.DeepseekV3MoE(config)), hidden_states()
    theirs.gate.e_score_correction_bias.zero_()
    ours = Experts(16, 12, num_experts=4, num_chosen=2, shared=True, scores="sigmoid", activation="silu").double()
    state = ours.state_dict()
    state["router.weight"] = theirs.gate.weight
    for i in range(4):
        gate, up = theirs.experts.gate_up_proj[i].chunk(2)
        down = theirs.experts.down_proj[i]
        state |= {f"experts.{i}.gate.weight": gate, f"experts.{i}.up.weight": up}
        state[f"experts.{i}.output_projection.weight"] = down
    shared = theirs.shared_experts
    state |= {"experts.4.gate.weight": shared.gate_proj.weight, "experts.4.up.weight": shared.up_proj.weight}
    state["experts.4.output_projection.weight"] = shared.down_proj.weight
    ours.load_state_dict(state)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-6, atol=1e-6)


def test_sink_attention_is_that_of_gpt_oss():
    from transformers.models.gpt_oss import modeling_gpt_oss as gpt_oss

    config = transformers.GptOssConfig(
        hidden_size=16, num_attention_heads=2, num_key_value_heads=2, head_dim=8, layer_types=["full_attention"],
        num_hidden_layers=1, attn_implementation="eager", rope_parameters={"rope_type": "default", "rope_theta": 1e4},
    )  # fmt: skip
    theirs, x = stirred(gpt_oss.GptOssAttention(config, 0)), hidden_states()
    ours = SinkAttention(16, 2, causal=True, rotary=True).double()
    parts = (theirs.q_proj, theirs.k_proj, theirs.v_proj)
    ours.load_state_dict({
        "sink": theirs.sinks,
        "qkv.weight": torch.cat([part.weight for part in parts]),
        "qkv.bias": torch.cat([part.bias for part in parts]),
        "output_projection.weight": theirs.o_proj.weight,
        "output_projection.bias": theirs.o_proj.bias,
    })  # fmt: skip
    angles = rotary(gpt_oss.GptOssRotaryEmbedding(config), x)
    y, _ = theirs(x, position_embeddings=angles, attention_mask=causal(x))
    torch.testing.assert_close(ours(x), y, rtol=1e-6, atol=1e-6)
