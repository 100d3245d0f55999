"""The encoder-decoder: the first Transformer, for translation."""

from functools import partial

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import positive_int
from resnorm_lib.models._device import meta_at_once
from resnorm_lib.models.head import make_head, start_head
from resnorm_lib.models.padding import check_padding
from resnorm_lib.models.transformer import TokenEmbedding, TransformerEncoder, stack_of_layers, told_of_biases
from resnorm_lib.models.transformer_branches import CrossAttention, FeedForward, SelfAttention
from resnorm_lib.norms.registry import Norm

__all__ = ["EncoderDecoder"]


class EncoderDecoder(nn.Module):
    """Map source tokens (N, S) and target tokens (N, T) to logits (N, T, target_vocab) of the next target token.

    Schemes whose constants differ between the two halves (DeepNorm, Sub-LN, T-Fixup) are told which half they are in.

    Parameters
    ----------
    source_vocab, target_vocab, dim, encoder_depth, decoder_depth, num_heads, context_length : int
        Numbers of words, width, layers of each half, heads, longest sequence. A decoder's layer has three branches:
        attention to itself, attention to the encoder's output, and a feed-forward.
    hidden, scheme, norm, activation, qk_norm, dropout, bias, device, dtype, **options
        As for :class:`resnorm_lib.models.TransformerEncoder`.
    tied : bool, default True
        Tie the output weights to the embeddings of the target's words.

    Raises
    ------
    ValueError
        If an argument or the tokens do not fit.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762; positions are learned.

    Examples
    --------
    >>> import torch
    >>> model = EncoderDecoder(
    ...     50, 40, 16, encoder_depth=2, decoder_depth=3, num_heads=2, context_length=8, scheme="deep_norm"
    ... )
    >>> model(torch.zeros(1, 8, dtype=torch.long), torch.zeros(1, 5, dtype=torch.long)).shape
    torch.Size([1, 5, 40])
    """

    @meta_at_once
    def __init__(
        self,
        source_vocab: int,
        target_vocab: int,
        dim: int,
        *,
        encoder_depth: int,
        decoder_depth: int,
        num_heads: int,
        context_length: int,
        hidden: int | None = None,
        scheme: str | type | partial = "pre_norm",
        norm: Norm = "layer",
        activation: str = "relu",
        qk_norm: Norm = None,
        dropout: float = 0.0,
        tied: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options,
    ) -> None:
        super().__init__()
        positive_int("encoder_depth", encoder_depth)
        positive_int("decoder_depth", decoder_depth)
        positive_int("source_vocab", source_vocab)
        positive_int("target_vocab", target_vocab)
        common = {"dropout": dropout} | told_of_biases(bias)
        feed_forward = {"hidden": hidden, "activation": activation} | common
        attention = {"qk_norm": qk_norm} | common
        self.encoder = TransformerEncoder(
            source_vocab,
            dim,
            **{"depth": encoder_depth, "num_heads": num_heads, "context_length": context_length},
            **{"scheme": scheme, "norm": norm, "role": "encoder", "other_depth": decoder_depth},
            **(feed_forward | attention | options),
        )
        self.embedding = TokenEmbedding(target_vocab, dim, context_length, dropout)
        layer = [
            partial(SelfAttention, dim, num_heads, causal=True, **attention),
            partial(CrossAttention, dim, num_heads, memory_dim=self.encoder.out_dim, **attention),
            partial(FeedForward, dim, **feed_forward),
        ]
        position = {"role": "decoder", "other_depth": encoder_depth}
        self.blocks = stack_of_layers(layer, dim, decoder_depth, scheme, norm, options, **position)
        self.final_norm = self.blocks.make_final_norm(norm)
        self.embedding.scale(self.blocks.embedding_gain)
        self.head = make_head(self.blocks, self.embedding, tied)
        self.to(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Give the head another start. All else resets itself, before this: ``apply`` reaches the inner parts first."""
        start_head(self.head, self.blocks)

    def decode(
        self, target: Tensor, memory: Tensor, memory_padding: Tensor | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """Return the logits, given the encoder's output ``memory``. Generation needs to compute that only once."""
        memory_padding = check_padding("memory_padding", memory_padding, memory[..., 0])
        context = {"memory": memory, "memory_padding": memory_padding}
        context["padding"] = check_padding("target_padding", padding, target, self.blocks, self.final_norm)
        return self.head(self.final_norm(self.blocks(self.embedding(target), **context)))

    def forward(
        self, source: Tensor, target: Tensor, source_padding: Tensor | None = None, target_padding: Tensor | None = None
    ) -> Tensor:
        return self.decode(target, self.encoder(source, source_padding), source_padding, target_padding)
