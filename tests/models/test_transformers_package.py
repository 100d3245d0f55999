"""Programs that others wrote: the models of the transformers package, where it is installed, and ours say the same."""

import pytest
import torch

from resnorm_lib.models import from_gpt2

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
