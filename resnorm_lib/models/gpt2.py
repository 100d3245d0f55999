"""GPT-2's weights, from the names and shapes in which they are published, into a :class:`DecoderLM`."""

import re

from resnorm_lib._arguments import positive_int
from resnorm_lib.models.transformer import DecoderLM

__all__ = ["from_gpt2", "gpt2_state_dict"]

# A layer of GPT-2 is two blocks here. Its maps are stored as (in, out), where a linear layer has (out, in).
LAYER = {
    "ln_1": (0, "scheme.norm", False),
    "attn.c_attn": (0, "branch.qkv", True),
    "attn.c_proj": (0, "branch.output_projection", True),
    "ln_2": (1, "scheme.norm", False),
    "mlp.c_fc": (1, "branch.up", True),
    "mlp.c_proj": (1, "branch.output_projection", True),
}
AROUND = {"wte": "embedding.token", "wpe": "embedding.position", "ln_f": "final_norm"}


def gpt2_state_dict(state):
    """Return a state dict of :class:`DecoderLM` from one of GPT-2 (keys ``h.0.attn.c_attn.weight``, ...).

    A prefix ``transformer.`` is taken off, buffers with the causal mask are left out, and so is ``lm_head``, which is
    the embedding once more.

    Raises
    ------
    ValueError
        If a key is none of GPT-2's.

    Examples
    --------
    >>> import torch
    >>> sorted(gpt2_state_dict({"transformer.h.3.mlp.c_fc.weight": torch.zeros(8, 32)}))
    ['blocks.7.branch.up.weight']
    """
    ours = {}
    for key, value in state.items():
        name = key.removeprefix("transformer.")
        layer = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", name)
        around = re.fullmatch(r"(wte|wpe|ln_f)\.(weight|bias)", name)
        if layer and layer[2] in LAYER:
            branch, to, is_map = LAYER[layer[2]]
            transposed = value.T if is_map and layer[3] == "weight" else value
            ours[f"blocks.{2 * int(layer[1]) + branch}.{to}.{layer[3]}"] = transposed
        elif around:
            ours[f"{AROUND[around[1]]}.{around[2]}"] = value
        elif name != "lm_head.weight" and not name.endswith((".attn.bias", ".attn.masked_bias")):
            raise ValueError(
                f"{key} is no key of GPT-2: its keys are wte, wpe, ln_f, and h.0.ln_1, h.0.attn.c_attn, ..."
            )
    return ours


def from_gpt2(state, num_heads):
    """Return a :class:`DecoderLM` with the weights of a GPT-2; all sizes but the number of heads are read from them.

    Parameters
    ----------
    state : dict of tensors
        The published state dict, of a size of its own or of 12, 24, 36 or 48 layers.
    num_heads : int
        12, 16, 20 or 25 in the published models.

    Raises
    ------
    ValueError
        If a key is missing or none of GPT-2's, or the number of heads does not divide the width.
    """
    ours = gpt2_state_dict(state)
    sizes = {key.removeprefix("transformer."): tuple(value.shape) for key, value in state.items()}
    for key in ("wte.weight", "wpe.weight", "h.0.mlp.c_fc.weight"):
        if key not in sizes:
            raise ValueError(f"{key} is missing, but the sizes of the model are read from it.")
    (words, dim), (longest, _) = sizes["wte.weight"], sizes["wpe.weight"]
    hidden = sizes["h.0.mlp.c_fc.weight"][1]
    depth = sum(key.endswith(".ln_1.weight") for key in sizes)
    model = DecoderLM(
        words, dim, depth=depth, num_heads=positive_int("num_heads", num_heads), context_length=longest, hidden=hidden
    )
    model.to(ours["embedding.token.weight"].dtype).load_state_dict(ours)
    return model
