"""Spoken words, a player for them, and the series of carbon dioxide."""

import io
import wave

import pytest
import torch

from resnorm_lib.data import DataDamaged, Sound, co2, load_co2, load_words
from resnorm_lib.data.words import RATE, VOWELS, WORDS, mean_off, speak, spectrogram, through_filter


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_words_are_reproducible_and_every_recording_differs():
    one, again = load_words(rng(1), 6, 2), load_words(rng(1), 6, 2)
    assert torch.equal(one.x_train, again.x_train)
    assert one.x_train.shape == (6, 4096)
    assert one.y_test.shape == (2,)
    assert len({tuple(row[:50].tolist()) for row in one.x_train}) == 6


def test_the_vowel_i_has_a_formant_above_two_kilohertz_and_a_has_none():
    shares = []
    for vowel in "ia":
        sound = speak([vowel] * 20, rng(), noise=0.0)
        power = torch.fft.rfft(sound).abs().square()
        high = torch.fft.rfftfreq(sound.shape[1], 1 / RATE) > 1900
        shares.append((power[:, high].sum() / power.sum()).item())
    assert VOWELS["a"][1] < 1900 < VOWELS["i"][1]
    assert shares[0] > 3 * shares[1]


def test_six_words_are_the_same_vowels_in_another_order():
    assert sum(sorted(word) == ["a", "i", "u"] for word in WORDS) == 6


def test_mean_subtraction_takes_a_microphone_off_where_there_is_no_noise_floor():
    sound = 100 * speak(list(WORDS), rng(), noise=0.5)  # far above the floor of the logarithm
    direct, filtered = spectrogram(sound), spectrogram(through_filter(sound, 0.7))
    assert (direct - filtered).abs().mean() > 0.5
    assert (mean_off(direct) - mean_off(filtered)).abs().mean() < 0.1
    assert torch.allclose(spectrogram(through_filter(sound, 0.0)), direct, atol=1e-3)


@pytest.mark.parametrize("words", [["aiu", "ai"], ["xyz"]])
def test_other_words_are_refused(words):
    with pytest.raises(ValueError, match="words is"):
        speak(words, rng())


def test_a_sound_is_a_wav_file_with_a_label():
    sound = Sound(torch.sin(torch.arange(800) / 3), "a <tone>")
    with wave.open(io.BytesIO(sound.wav)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnframes()) == (8000, 1, 800)
        levels = file.readframes(800)
    assert (min(levels), max(levels)) == (8, 248)
    assert "a &lt;tone&gt;" in sound._repr_html_()
    assert repr(sound) == "sound: a <tone>"
    with pytest.raises(ValueError, match="one row"):
        Sound(torch.zeros(2, 3), "two rows")


def test_carbon_dioxide_rises_and_swings_with_the_year():
    series = load_co2()
    assert series.shape == (526,)
    years = series[9:].unfold(0, 12, 12)  # from December 1958 on
    assert (years.mean(1).diff() > 0).float().mean() > 0.95
    swing = (years - years.mean(1, keepdim=True)).mean(0)
    assert swing.argmax() in (5, 6)  # May or June


def test_a_changed_file_is_named(monkeypatch):
    monkeypatch.setattr(co2, "SHA256", "0")
    with pytest.raises(DataDamaged, match=r"co2\.txt has changed"):
        load_co2()
