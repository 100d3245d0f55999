"""Spoken words, synthesised: eight words of three vowels each, by a new speaker every time."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from resnorm_lib._arguments import number, positive_int
from resnorm_lib.data.digits import Split

__all__ = ["RATE", "VOWELS", "WORDS", "load_words", "mean_off", "speak", "spectrogram", "through_filter"]

RATE, SAMPLES = 8000, 4096  # samples a second; in one recording
# Means of 33 men, the first three formants in hertz: Peterson and Barney (1952), Table II.
VOWELS = {"a": (730.0, 1090.0, 2440.0), "i": (270.0, 2290.0, 3010.0), "u": (300.0, 870.0, 2240.0)}
WIDTHS = (90.0, 110.0, 170.0)  # of the resonances, hertz
WORDS = ("aiu", "aui", "iau", "iua", "uai", "uia", "aia", "uiu")
SLOW = 16  # samples over which a formant hardly moves
WINDOW, HOP, FLOOR = 256, 128, 1e-4


def speak(words: Sequence[str], generator: Generator, noise: float = 1.0) -> Tensor:
    """Synthesise recordings (n, 4096) of these words at 8 kHz, half a second each.

    A voice is a pulse train, the vocal tract a resonance at each formant: the source-filter model of Fant (1960). Each
    recording has its own pitch (130 to 280 Hz, gliding), size of the vocal tract (formants up to 15 % lower or higher),
    speed, beginning and loudness.

    Parameters
    ----------
    words : sequence of str
        Each of letters of ``VOWELS``, all of one length.
    generator : torch.Generator
    noise : number, default 1
        Root mean square of white noise, in units of that of the voice.

    Raises
    ------
    ValueError
        If a word has another letter, the lengths differ, or noise is negative.

    Examples
    --------
    >>> speak(["aiu", "uia"], torch.Generator().manual_seed(0)).shape
    torch.Size([2, 4096])
    """
    number("noise", noise, at_least=0)
    if len({*map(len, words)}) != 1 or not all(letter in VOWELS for word in words for letter in word):
        raise ValueError(f"words is {list(words)[:3]}, but it must be words of one length from {', '.join(VOWELS)}.")
    n, time = len(words), torch.arange(SAMPLES) / RATE

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    pitch = uniform(130, 280, 1) * (1 + uniform(-0.2, 0.2, 1) * (time / time[-1] - 0.5))
    tract, length = uniform(0.85, 1.15, 1, 1), uniform(0.18, 0.42, 1)
    start = uniform(0, 1, 1) * (SAMPLES / RATE - length)
    parts = uniform(0.6, 1.4, len(words[0]))
    ends = start + length * parts.cumsum(1) / parts.sum(1, keepdim=True)
    formants = torch.tensor([[VOWELS[letter] for letter in word] for word in words]) * tract
    voice = _voice(pitch, formants, torch.cat((start, ends), 1), time)
    voice = voice / voice.square().mean(1, keepdim=True).sqrt()
    return (voice + noise * torch.randn(n, SAMPLES, generator=generator)) * 10 ** uniform(-0.5, 0.5, 1)


def _voice(pitch: Tensor, formants: Tensor, borders: Tensor, time: Tensor) -> Tensor:
    """Add up the harmonics of a pitch (n, T), each as loud as the resonances at its frequency make it.

    sin((h + 1) p) = 2 cos(p) sin(h p) - sin((h - 1) p) needs one cosine for all of them.
    """
    gates = torch.sigmoid((time[::SLOW] - borders[:, :, None]) / 0.008)  # 8 ms from one vowel to the next
    spoken = gates[:, :-1] - gates[:, 1:]  # (n, vowels, T / SLOW): how much of each is heard
    weights = spoken / spoken.sum(1, keepdim=True).clamp_min(1e-6)
    centres = torch.einsum("nvf,nvt->nft", formants, weights)
    phase = 2 * math.pi * pitch.double().cumsum(1) / RATE
    double_cosine, before, wave = 2 * phase.cos().float(), torch.zeros_like(pitch), phase.sin().float()
    voice = torch.zeros_like(pitch)
    for harmonic in range(1, 30):
        frequency = harmonic * pitch[:, ::SLOW]
        peaks = [0.5**k / (1 + ((frequency - centres[:, k]) / width) ** 2) for k, width in enumerate(WIDTHS)]
        loudness = sum(peaks) * (frequency < 0.475 * RATE) * spoken.sum(1)
        voice = voice + loudness.repeat_interleave(SLOW, 1) * wave
        before, wave = wave, double_cosine * wave - before
    return voice


def spectrogram(sound: Tensor, bands: int = 20) -> Tensor:
    """Return the logarithm of the power (n, bands, 31) in bands of the mel scale, 16 ms a frame.

    Raises
    ------
    ValueError
        If bands is no positive integer.
    """
    power = torch.stft(
        sound, WINDOW, HOP, window=torch.hann_window(WINDOW, device=sound.device), center=False, return_complex=True
    )
    return (_mel(positive_int("bands", bands)).to(sound.device) @ power.abs().square() + FLOOR).log()


def _mel(bands: int) -> Tensor:
    """Return triangles (bands, frequencies) between 60 and 3900 Hz, equally wide in mel = 2595 log10(1 + f / 700)."""
    low, high = (2595 * math.log10(1 + f / 700) for f in (60, 3900))
    edges = 700 * (10 ** (torch.linspace(low, high, bands + 2) / 2595) - 1)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequency = torch.fft.rfftfreq(WINDOW, 1 / RATE)
    return torch.minimum((frequency - left) / (middle - left), (right - frequency) / (right - middle)).clamp_min(0)


def through_filter(sound: Tensor, slope: float) -> Tensor:
    """Return the sound through a microphone that multiplies the amplitude at f hertz by (f / 1000)^slope.

    Raises
    ------
    ValueError
        If slope is no number.
    """
    spectrum = torch.fft.rfft(sound)
    frequency = torch.fft.rfftfreq(sound.shape[-1], 1 / RATE, device=sound.device).clamp_min(50)
    return torch.fft.irfft(spectrum * (frequency / 1000) ** number("slope", slope), sound.shape[-1])


def mean_off(spectrograms: Tensor) -> Tensor:
    r"""Subtract from each band of each recording its mean over time, :math:`s_{bt} - \overline{s_b}`.

    A microphone multiplies each frequency by a constant; in the logarithm it adds one, and this takes it off: cepstral
    mean subtraction (Atal 1974).
    """
    return spectrograms - spectrograms.mean(-1, keepdim=True)


def load_words(generator: Generator | None = None, train: int = 600, test: int = 400, noise: float = 1.0) -> Split:
    """Return recordings (n, 4096) and which of the eight ``WORDS`` they are, for training and testing.

    Parameters
    ----------
    generator : torch.Generator, optional
        Left out, the recordings are the same everywhere.
    train, test : int
    noise : number
        As for ``resnorm_lib.data.words.speak``, which makes the words.

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> split = load_words(train=8, test=4)
    >>> split.x_train.shape, split.y_test.shape
    (torch.Size([8, 4096]), torch.Size([4]))
    """
    generator = generator or torch.Generator().manual_seed(0)
    train = positive_int("train", train)
    y = torch.randint(len(WORDS), (train + positive_int("test", test),), generator=generator)
    x = speak([WORDS[label] for label in y.tolist()], generator, noise)
    return Split(x[:train], y[:train], x[train:], y[train:])
