"""GPT-2's weights, from the names and shapes in which they are published, into a :class:`DecoderLM`."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

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
AROUND = {"wte": "embedding.token", "wpe": "embedding.position", "ln_f": "final_norm", "lm_head": "head"}


def gpt2_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of :class:`DecoderLM` from one of GPT-2 (keys ``h.0.attn.c_attn.weight``, ...).

    A prefix ``transformer.`` is taken off, and buffers with the causal mask are left out. So is an ``lm_head`` that
    is the embedding once more; another one becomes the untied ``head``.

    Raises
    ------
    ValueError
        If a key is none of GPT-2's.

    Examples
    --------
    >>> sorted(gpt2_state_dict({"transformer.h.3.mlp.c_fc.weight": torch.zeros(8, 32)}))
    ['blocks.7.branch.up.weight']
    """
    ours = {}
    for key, value in state.items():
        name = key.removeprefix("transformer.")
        if not name.endswith((".attn.bias", ".attn.masked_bias")):
            place, transposes = _place(name)
            ours[place] = value.transpose(0, -1) if transposes else value
    if "head.weight" in ours and torch.equal(ours["head.weight"], ours.get("embedding.token.weight", torch.empty(0))):
        del ours["head.weight"]
    return ours


def _place(name: str) -> tuple[str, bool]:
    """Return where a weight of GPT-2 stands in a DecoderLM, and whether it must be transposed."""
    layer = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", name)
    around = re.fullmatch(r"(wte|wpe|ln_f|lm_head)\.(weight|bias)", name)
    if layer and layer[2] in LAYER:
        branch, to, is_map = LAYER[layer[2]]
        return f"blocks.{2 * int(layer[1]) + branch}.{to}.{layer[3]}", is_map and layer[3] == "weight"
    if around and name not in ("wte.bias", "wpe.bias", "lm_head.bias"):
        return f"{AROUND[around[1]]}.{around[2]}", False
    raise ValueError(f"{name} is no key of GPT-2: its keys are wte, wpe, ln_f, and h.0.ln_1, h.0.attn.c_attn, ...")


def from_gpt2(state: Mapping[str, Tensor], num_heads: int, **options) -> DecoderLM:
    """Return a :class:`DecoderLM` with the weights of a GPT-2; all sizes but the number of heads are read from them.

    Parameters
    ----------
    state : dict of tensors
        The published state dict, of a size of its own or of 12, 24, 36 or 48 layers. An ``lm_head`` that is not the
        embedding makes an untied model.
    num_heads : int
        12, 16, 20 or 25 in the published models.
    **options
        Of :class:`DecoderLM`. Weights do not tell what they were trained with: if that was not GPT-2's own, give
        ``activation="relu"`` or ``norm=partial(LayerNorm, eps=1e-6)``. Attention divides its logits by the root of the
        width of a head, and by nothing else.

    Raises
    ------
    ValueError
        If a key is missing or none of GPT-2's, a shape does not fit, or the number of heads does not divide the width.
    """
    ours = gpt2_state_dict(state)
    sizes = {key.removeprefix("transformer."): tuple(value.shape) for key, value in state.items()}
    for key in ("wte.weight", "wpe.weight", "h.0.mlp.c_fc.weight"):
        if len(sizes.get(key, ())) != 2:
            found = f"has shape {sizes[key]}" if key in sizes else "is missing"
            raise ValueError(f"{key} {found}, but it must be a matrix: the sizes of the model are read from it.")
    (words, dim), (longest, _) = sizes["wte.weight"], sizes["wpe.weight"]
    depth = 1 + max(int(key.split(".")[1]) for key in sizes if key.startswith("h."))
    shape = {"depth": depth, "num_heads": positive_int("num_heads", num_heads), "context_length": longest}
    shape |= {"hidden": sizes["h.0.mlp.c_fc.weight"][1], "tied": "head.weight" not in ours}
    model = DecoderLM(words, dim, **shape, **options)
    _check_shapes(sizes, depth, model.state_dict())
    model.to(ours["embedding.token.weight"].dtype).load_state_dict(ours)
    return model


def _check_shapes(sizes: dict, depth: int, wanted: dict) -> None:
    """Raise unless each weight of a GPT-2 of this depth is there and has the shape that the model wants."""
    layers = [f"h.{layer}.{part}" for layer in range(depth) for part in LAYER]
    keys = [f"{part}.{kind}" for part in ("ln_f", *layers) for kind in ("weight", "bias")] + ["wpe.weight"]
    for key in keys + ["lm_head.weight"] * ("head.weight" in wanted):
        place, transposes = _place(key)
        if place not in wanted:
            raise ValueError(f"{key} has no place in a DecoderLM with these options.")
        shape = tuple(wanted[place].shape)[:: -1 if transposes else 1]
        if sizes.get(key) != shape:
            found = f"has shape {sizes[key]}" if key in sizes else "is missing"
            raise ValueError(f"{key} {found}, but it must have the shape {shape}.")
