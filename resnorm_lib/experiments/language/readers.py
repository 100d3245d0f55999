"""What stands around an encoder, or an encoder-decoder, to classify, to translate, and to answer."""

import torch
from torch import Tensor, nn

from resnorm_lib.data.numerals import DIGITS, SOURCE_WORDS
from resnorm_lib.data.translation import END, PAD, START
from resnorm_lib.experiments.language.token_batch_norm import tell
from resnorm_lib.models import EncoderDecoder, TransformerEncoder

__all__ = ["Answerer", "Classifier", "Translator", "best_spans"]


class Classifier(nn.Module):
    """Map sentences (N, T), filled up with 0, to logits: an encoder, the mean over the words, a linear map.

    Parameters
    ----------
    words, classes : int
        Sizes of the vocabulary and of the answer.
    shape
        Of :class:`resnorm_lib.models.TransformerEncoder`: dim, depth, num_heads, context_length, scheme, norm.
    """

    def __init__(self, words: int, classes: int, **shape) -> None:
        super().__init__()
        self.encoder = TransformerEncoder(words, **shape)
        self.head = nn.Linear(self.encoder.out_dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        tell(self.encoder, x != PAD)
        real = (x != PAD).unsqueeze(-1)
        features = self.encoder(x, x == PAD) * real
        return self.head(features.sum(1) / real.sum(1))


class Answerer(nn.Module):
    """Map questions with passages (N, T) to logits (N, 2, T): where the answer begins, and where it ends.

    Parameters
    ----------
    words : int
    shape
        As for :class:`Classifier`.
    """

    def __init__(self, words: int, **shape) -> None:
        super().__init__()
        self.encoder = TransformerEncoder(words, **shape)
        self.head = nn.Linear(self.encoder.out_dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        tell(self.encoder, x != PAD)
        logits = self.head(self.encoder(x, x == PAD))
        return logits.masked_fill((x == PAD).unsqueeze(-1), -1e4).transpose(1, 2)


def best_spans(logits: Tensor, longest: int = 3) -> Tensor:
    """Return for logits (N, 2, T) the span (first, last) of at most ``longest`` words with the largest sum of both.

    Examples
    --------
    >>> best_spans(torch.tensor([[[0.0, 5.0, 0.0, 4.0], [6.0, 0.0, 0.0, 5.0]]]))
    tensor([[1, 3]])
    """
    length = logits.shape[-1]
    scores = logits[:, 0, :, None] + logits[:, 1, None, :]
    allowed = torch.ones(length, length, dtype=torch.bool, device=logits.device).triu().tril(longest - 1)
    flat = scores.masked_fill(~allowed, -torch.inf).flatten(1).argmax(1)
    return torch.stack((flat // length, flat % length), 1)


class Translator(nn.Module):
    """Map German words, followed by the digits so far, to logits of the next digits: an encoder-decoder.

    Both stand in one tensor (N, source_length + t), because the training loop hands on one input.

    Parameters
    ----------
    source_length : int
        How many columns are words.
    depth : int
        Layers of the encoder, and of the decoder.
    dim, scheme, norm, num_heads
        As for :class:`resnorm_lib.models.EncoderDecoder`.
    """

    def __init__(self, source_length: int, *, dim: int, depth: int, **shape) -> None:
        super().__init__()
        self.source_length = source_length
        shape = {"encoder_depth": depth, "decoder_depth": depth, "context_length": source_length + 8} | shape
        self.model = EncoderDecoder(len(SOURCE_WORDS), len(DIGITS), dim, **shape)

    def forward(self, both: Tensor) -> Tensor:
        source, target = both[:, : self.source_length], both[:, self.source_length :]
        tell(self.model.encoder, source != PAD)
        tell(self.model.blocks, target != PAD)
        tell(self.model.final_norm, target != PAD)
        return self.model(source, target, source == PAD)

    @torch.no_grad()
    def translate(self, source: Tensor, digits: int = 7) -> Tensor:
        """Return rows of indices, a start mark and what the model writes, always its most probable digit."""
        padding = source == PAD
        memory = self.model.encoder(source, padding)
        written = torch.full((len(source), 1), START, device=source.device)
        ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        for _ in range(digits):
            best = self.model.decode(written, memory, padding)[:, -1].argmax(-1).masked_fill(ended, PAD)
            ended = ended | (best == END)
            written = torch.cat((written, best[:, None]), 1)
        return written
