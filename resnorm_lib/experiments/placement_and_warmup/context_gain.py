"""How much a language model gains from context, and which of its layers contribute."""

import torch
from torch import Tensor, nn

from resnorm_lib.residual.scheme import State

__all__ = ["context_loss", "output_without_layer", "spread", "unigram_loss"]


def spread(features: Tensor) -> Tensor:
    r"""Return the share of the features (..., d) that is not common to all tokens, from 0 (all alike) to 1.

    .. math:: 1 - \frac{\lVert \overline{f} \rVert^2}{\overline{\lVert f \rVert^2}}

    Examples
    --------
    >>> spread(torch.tensor([[1.0, 2.0], [1.0, 2.0]])).item(), spread(torch.tensor([[1.0, 2.0], [-1.0, -2.0]])).item()
    (0.0, 1.0)
    """
    rows = features.flatten(0, -2).double()
    return 1 - rows.mean(0).square().sum() / rows.square().sum(-1).mean()


@torch.no_grad()
def output_without_layer(model: nn.Module, layer: int | None, x: Tensor, amp: bool = False) -> Tensor:
    """Return the output when the stream goes past both branches (and their norms) of one layer, counted from 0.

    ``layer=None`` leaves all of them in.
    """
    with torch.autocast(x.device.type, torch.bfloat16, enabled=amp):
        state = model.blocks.open(model.embedding(x))
        for i, block in enumerate(model.blocks):
            state = _past_layer(block, state) if i // 2 == layer else block(state)
        return model.head(model.final_norm(model.blocks.close(state)))


def _past_layer(block: nn.Module, state: State) -> State:
    """Return the stream past a block. The norm of the embeddings, which peri_ln puts into the first block, stays."""
    return block.scheme.norm_in(state) if hasattr(block.scheme, "norm_in") else state


@torch.no_grad()
def context_loss(output: Tensor, target: Tensor, rounds: int = 30) -> Tensor:
    r"""Return the loss of the output (..., V) plus the best constant (V,), in nats: frequencies cost and gain nothing.

    With predictions :math:`q_{iw}`, the constant :math:`\ln r_w` makes every word as frequent on average as it is,
    :math:`p_w`. Each round, none of which raises the loss, is one of iterative scaling (Darroch and Ratcliff 1972):

    .. math:: r_w \leftarrow p_w \Big/ \frac1n \sum_i \frac{q_{iw}}{\sum_v q_{iv} r_v}

    Examples
    --------
    >>> output, target = torch.tensor([[9.0, 0.0]]).expand(4, 2), torch.tensor([0, 1, 1, 1])
    >>> context_loss(output, target), unigram_loss(target)
    (tensor(0.5623, dtype=torch.float64), tensor(0.5623, dtype=torch.float64))
    """
    q, target = output.flatten(0, -2).double().softmax(-1), target.flatten()
    frequency = torch.bincount(target, minlength=q.shape[-1]).double() / len(q)
    r = torch.ones_like(frequency)
    for _ in range(rounds):
        r = frequency / ((1 / (q @ r)) @ q / len(q))
    return -(q.gather(1, target[:, None])[:, 0] * r[target] / (q @ r)).log().mean()


def unigram_loss(targets: Tensor) -> Tensor:
    """Return the entropy of the characters, in nats: no prediction that is the same for all of them has a smaller loss.

    Examples
    --------
    >>> unigram_loss(torch.tensor([0, 1, 0, 1]))  # log 2
    tensor(0.6931, dtype=torch.float64)
    """
    frequency = torch.bincount(targets.flatten()).double() / targets.numel()
    return torch.special.entr(frequency).sum()
