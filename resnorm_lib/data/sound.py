"""A sound that a notebook, and the page made from it, plays: a WAV file in the text of the page."""

import base64
import html
import io
import wave

import torch
from torch import Tensor

__all__ = ["Sound"]


class Sound:
    """A player for samples (T,), shown by Jupyter: 8 bits a sample, the loudest made as loud as these can be.

    Parameters
    ----------
    samples : tensor (T,)
    label : str
        What is heard; shown beside the player.
    rate : int, default 8000
        Samples a second.

    Raises
    ------
    ValueError
        If samples is not one row of numbers.

    Examples
    --------
    >>> len(Sound(torch.zeros(80), "silence").wav)
    124
    """

    def __init__(self, samples: Tensor, label: str, rate: int = 8000) -> None:
        if samples.dim() != 1 or not samples.numel():
            raise ValueError(f"samples has the shape {tuple(samples.shape)}, but it must be one row of numbers.")
        self.label = label
        loudest = samples.abs().max().clamp_min(1e-12)
        levels = (128 + 120 * samples / loudest).round().to(torch.uint8)
        file = io.BytesIO()
        with wave.open(file, "wb") as written:
            written.setnchannels(1)
            written.setsampwidth(1)
            written.setframerate(rate)
            written.writeframes(bytes(levels.tolist()))
        self.wav = file.getvalue()

    def __repr__(self) -> str:
        return f"sound: {self.label}"

    def _repr_html_(self) -> str:
        data, label = base64.b64encode(self.wav).decode(), html.escape(self.label)
        player = f'<audio controls preload="none" aria-label="{label}" src="data:audio/wav;base64,{data}"></audio>'
        return f'<div class="sound">{player}<br>{label}</div>'
