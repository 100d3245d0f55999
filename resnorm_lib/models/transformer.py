"""Transformers: an encoder, a decoder-only language model, and an encoder-decoder."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import choice, flag, number, positive_int
from resnorm_lib.models._device import meta_at_once
from resnorm_lib.models.gated_feed_forward import GatedFeedForward
from resnorm_lib.models.head import make_head, start_head
from resnorm_lib.models.padding import check_padding
from resnorm_lib.models.transformer_branches import FeedForward, SelfAttention
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual import BranchPosition, ResidualStack, branch_widths

__all__ = ["DecoderLM", "TransformerEncoder"]

POSITIONS = ("learned", "rotary")


class TokenEmbedding(nn.Module):
    """Map tokens (N, T) to vectors (N, T, dim): word, plus position if it is learned, with initial std dim^-1/2."""

    def __init__(
        self, vocab_size: int, dim: int, context_length: int, dropout: float = 0.0, learned_positions: bool = True
    ) -> None:
        super().__init__()
        self.token = nn.Embedding(positive_int("vocab_size", vocab_size), positive_int("dim", dim))
        self.context_length = positive_int("context_length", context_length)
        self.position = nn.Embedding(context_length, dim) if learned_positions else None
        self.dropout = nn.Dropout(number("dropout", dropout, at_least=0, at_most=1))
        self.gain = 1.0
        self.reset_parameters()

    @property
    def tables(self) -> list[nn.Embedding]:
        return [self.token] if self.position is None else [self.token, self.position]

    def reset_parameters(self) -> None:
        """Draw the vectors anew, with the gain that the scheme asks for."""
        for embedding in self.tables:
            nn.init.normal_(embedding.weight, std=self.gain * embedding.embedding_dim**-0.5)

    @torch.no_grad()
    def scale(self, gain: float) -> None:
        self.gain = gain
        for embedding in self.tables:
            embedding.weight.mul_(gain)

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.dim() != 2 or tokens.is_floating_point() or tokens.shape[1] > self.context_length:
            raise ValueError(
                f"the tokens are {tokens.dtype} of shape {tuple(tokens.shape)}, but they must be integers of shape "
                f"(N, T) with T at most context_length={self.context_length}."
            )
        x = self.token(tokens)
        if self.position is not None:
            x = x + self.position(torch.arange(tokens.shape[1], device=tokens.device))
        return self.dropout(x)


def told_of_biases(bias: bool) -> dict:
    """Return what branches are told of biases: no default, for one that others wrote need not know the word."""
    return {} if flag("bias", bias) else {"bias": False}


def stack_of_layers(
    branches: Sequence[Callable[..., nn.Module]],
    dim: int,
    depth: int,
    scheme: str | type | partial,
    norm: Norm,
    options: dict,
    **position,
) -> ResidualStack:
    """Return ``depth`` layers, each with a branch from every one of the factories ``branches``."""
    widths = branch_widths(dim, scheme, positive_int("depth", depth) * len(branches), **options)
    built = [build(reads=reads, writes=writes) for build, (reads, writes) in zip(cycle(branches), widths)]
    position = BranchPosition(feature_axis=-1, **position)
    return ResidualStack(built, dim, scheme, norm=norm, branches_per_layer=len(branches), position=position, **options)


class TransformerEncoder(nn.Module):
    r"""Map tokens (N, T) to features (N, T, out_dim); every token sees all others.

    Parameters
    ----------
    vocab_size, dim, depth, num_heads, context_length : int
        Number of words, width of the stream, layers (an attention and a feed-forward each), heads, longest sequence.
    hidden : int, optional
        Width inside the feed-forward; four times ``dim`` by default.
    scheme, norm, device, dtype
        As for :class:`resnorm_lib.residual.Residual`; weights are drawn on the CPU in float32.
        A norm of channels (``"batch"``) takes every token as a sample, and refuses padding while it takes its
        statistics from the batch.
    activation : {"gelu", "gelu_tanh", "silu", "relu"}
    gated : bool, default False
        Multiply the hidden features of the feed-forward by a second linear map, as LLaMA does with ``"silu"``:
        Shazeer (2020), arXiv:2002.05202. Two thirds of the hidden width then give the same number of weights.
    attention, feed_forward : callable, optional
        What builds the branches in place of ``SelfAttention`` and ``FeedForward``, and takes their arguments:
        :class:`SinkAttention`, or a partial of :class:`LatentAttention` or :class:`Experts`.
    positions : {"learned", "rotary"}
        A vector for each position is added to the token's, or each head turns its queries and keys by an angle that
        grows with the position: Su et al. (2024), arXiv:2104.09864.
    qk_norm : {"rms", "layer"}, class or callable, optional
        Normalize the queries and keys of each head, by a norm that is built for the width of a head.
    dropout : number, default 0
    bias : bool, default True
        Of the linear maps in the branches. Norms and gates have their own: ``norm=partial(LayerNorm, bias=False)``,
        ``scheme=partial(SCHEMES["highway"], bias=-3.0)``.
    role, other_depth
        As for :class:`resnorm_lib.residual.BranchPosition`, where the encoder is half of an encoder-decoder.
    **options
        Of the scheme.

    Raises
    ------
    ValueError
        If an argument or the tokens do not fit.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762; positions are learned by default.

    Examples
    --------
    >>> model = TransformerEncoder(100, 16, depth=2, num_heads=2, context_length=8, scheme="peri_ln", norm="rms")
    >>> model(torch.zeros(3, 8, dtype=torch.long)).shape
    torch.Size([3, 8, 16])
    """

    causal = False

    @meta_at_once
    def __init__(
        self,
        vocab_size: int,
        dim: int,
        *,
        depth: int,
        num_heads: int,
        context_length: int,
        hidden: int | None = None,
        scheme: str | type | partial = "pre_norm",
        norm: Norm = "layer",
        activation: str = "gelu",
        gated: bool = False,
        attention: Callable[..., nn.Module] | None = None,
        feed_forward: Callable[..., nn.Module] | None = None,
        positions: str = "learned",
        qk_norm: Norm = None,
        dropout: float = 0.0,
        role: str = "alone",
        other_depth: int = 0,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options,
    ) -> None:
        super().__init__()
        rotary = choice("positions", positions, POSITIONS) == "rotary"
        self.embedding = TokenEmbedding(vocab_size, dim, context_length, dropout, learned_positions=not rotary)
        common = {"dropout": dropout} | told_of_biases(bias)
        heads = {"causal": self.causal, "rotary": rotary, "qk_norm": qk_norm}
        if flag("gated", gated) and feed_forward is not None:
            raise ValueError(
                "gated is True, but feed_forward says itself what the feed-forward is: give one of the two."
            )
        kind = feed_forward or (GatedFeedForward if gated else FeedForward)
        both = [
            partial(attention or SelfAttention, dim, num_heads, **heads, **common),
            partial(kind, dim, hidden, activation=activation, **common),
        ]
        self.blocks = stack_of_layers(both, dim, depth, scheme, norm, options, role=role, other_depth=other_depth)
        self.final_norm = self.blocks.make_final_norm(norm)
        self.embedding.scale(self.blocks.embedding_gain)
        self.to(device=device, dtype=dtype)

    @property
    def out_dim(self) -> int:
        return self.blocks.out_dim

    def features(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the stream after the last block, normalized where the scheme asks for it."""
        padding = check_padding("padding", padding, tokens, self.blocks, self.final_norm)
        return self.final_norm(self.blocks(self.embedding(tokens), padding=padding))

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the features. ``padding`` (N, T) is True at padding positions; each row needs a real token."""
        return self.features(tokens, padding)


class DecoderLM(TransformerEncoder):
    """Map tokens (N, T) to logits (N, T, vocab_size) of the next token: a language model, whose attention is causal.

    With the defaults it has the shape of GPT-2: :func:`resnorm_lib.models.from_gpt2` loads its weights. With
    ``norm="rms", positions="rotary", gated=True, activation="silu", bias=False`` it has that of LLaMA.

    Parameters
    ----------
    tied : bool, default True
        Tie the output weights, those of ``head``, to the embeddings. An adapter (LoRA) in front of one of the two
        changes this one alone.
    others
        As for :class:`TransformerEncoder`; ``activation`` is "gelu_tanh" by default.

    Raises
    ------
    ValueError
        If an argument or the tokens do not fit.

    Examples
    --------
    >>> model = DecoderLM(65, 16, depth=2, num_heads=2, context_length=8, scheme="hyper_connections")
    >>> model(torch.zeros(3, 8, dtype=torch.long)).shape
    torch.Size([3, 8, 65])
    """

    causal = True

    @meta_at_once
    def __init__(
        self,
        vocab_size: int,
        dim: int,
        *,
        tied: bool = True,
        activation: str = "gelu_tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options,
    ) -> None:
        super().__init__(vocab_size, dim, activation=activation, **options)
        self.head = make_head(self.blocks, self.embedding, tied)
        self.to(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Give the head another start. All else resets itself, before this: ``apply`` reaches the inner parts first."""
        start_head(self.head, self.blocks)

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        return self.head(self.features(tokens, padding))
