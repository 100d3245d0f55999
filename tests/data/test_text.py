"""Texts as numbers, windows of them, and numbers in words."""

import platform
import sys

import pytest
import torch

from resnorm_lib.data import DataDamaged, DataMissing, load_text, number_in_words, text_batches, translation_pairs
from tests.data import shared_data

PLAY = "tinyshakespeare.txt"


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    return tmp_path


def test_a_text_is_split_nine_to_one_without_a_gap(folder):
    written = "To be, or not to be: that is the question.\n" * 3 + "ß"
    (folder / PLAY).write_text(written, encoding="utf-8")
    text = load_text()
    assert text.decode(torch.cat([text.train, text.val])) == written
    assert len(text.train) == 9 * len(written) // 10
    assert text.train.dtype == text.val.dtype == torch.int64
    assert list(text.vocabulary) == sorted(set(written))
    assert text.source == "Tiny Shakespeare, tinyshakespeare.txt"


def test_only_the_start_is_used_when_asked_for(folder):
    (folder / PLAY).write_text("abcdefghijklmnopqrstuvwxyz", encoding="utf-8")
    text = load_text(max_chars=20)
    assert text.vocabulary == "abcdefghijklmnopqrst"
    assert (len(text.train), len(text.val)) == (18, 2)
    assert text.source.endswith(", first 20 characters")
    assert load_text(max_chars=26).source == load_text().source


def test_pydoc_needs_no_folder_and_names_the_version(monkeypatch):
    monkeypatch.delenv("RESNORM_DATA", raising=False)
    text = load_text("pydoc")
    assert len(text.train) > 100_000
    assert text.source == f"help topics of CPython {platform.python_version()}"


def test_a_missing_text_is_told_with_the_way_to_it(folder, monkeypatch):
    with pytest.raises(DataMissing, match=r"RESNORM_DATA to a folder that holds tinyshakespeare.txt.*name='pydoc'"):
        load_text()
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataMissing, match="comes without pydoc_data"):
        load_text("pydoc")


def test_a_damaged_text_is_named(folder):
    (folder / PLAY).write_bytes(b"not utf-8: \xff")
    with pytest.raises(DataDamaged, match=r"tinyshakespeare.txt is not UTF-8 text"):
        load_text()
    (folder / PLAY).write_text("short")
    with pytest.raises(DataDamaged, match="holds 5 characters, too few to split"):
        load_text()


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"name is 'shakespear', but it must be .* Did you mean 'shakespeare'"):
        load_text("shakespear")
    with pytest.raises(ValueError, match="max_chars is 9, but it must be at least 10"):
        load_text("pydoc", max_chars=9)
    with pytest.raises(ValueError, match="text holds 'é', but the vocabulary is"):
        load_text("pydoc", max_chars=100).encode("é")


def test_the_real_text_has_its_known_size(monkeypatch):
    shared_data.use(monkeypatch, PLAY)
    text = load_text()
    assert (len(text.train), len(text.val), len(text.vocabulary)) == (1_003_854, 111_540, 65)


# Windows


def test_windows_are_pieces_of_the_text_and_targets_lie_one_ahead():
    ids = torch.randint(100, (50,), generator=rng())
    pieces = {tuple(ids[i : i + 6].tolist()) for i in range(45)}
    for x, y in text_batches(ids, 7, 5, rng(), steps=20):
        assert x.shape == y.shape == (7, 5)
        assert {(*a, b[-1]) for a, b in zip(x.tolist(), y.tolist())} <= pieces
        assert torch.equal(x[:, 1:], y[:, :-1])


def test_every_place_is_equally_likely_the_last_included():
    starts = torch.cat([x[:, 0] for x, _ in text_batches(torch.arange(13), 100, 3, rng(), steps=100)])
    # 10 places, 1000 expected at each, deviation 30: six of them
    assert torch.bincount(starts).tolist() == pytest.approx([1000] * 10, abs=180)


def test_windows_follow_the_generator():
    ids = torch.arange(1000)
    (a, _), (b, _), (c, _) = (next(text_batches(ids, 4, 8, rng(seed))) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_steps_are_counted_and_none_means_for_ever():
    ids = torch.arange(10)
    assert len(list(text_batches(ids, 1, 2, rng(), steps=3))) == 3
    endless = text_batches(ids, 1, 2, rng())
    assert len([next(endless) for _ in range(100)]) == 100


def test_wrong_input_is_named_before_the_first_window():
    ids = torch.arange(10)
    with pytest.raises(ValueError, match=r"ids has shape .* a row of more than length=10 integers"):
        text_batches(ids, 1, 10, rng())
    with pytest.raises(ValueError, match=r"type torch.float32"):
        text_batches(ids.float(), 1, 2, rng())
    with pytest.raises(ValueError, match="steps is 0, but it must be at least 1"):
        text_batches(ids, 1, 2, rng(), steps=0)
    assert next(text_batches(ids, 1, 9, rng()))[1].tolist() == [list(range(1, 10))]


# Numbers in words

WORDS = {
    0: ("zero", "null"),
    1: ("one", "eins"),
    11: ("eleven", "elf"),
    16: ("sixteen", "sechzehn"),
    17: ("seventeen", "siebzehn"),
    21: ("twenty one", "ein und zwanzig"),
    30: ("thirty", "dreißig"),
    76: ("seventy six", "sechs und siebzig"),
    101: ("one hundred one", "ein hundert eins"),
    221: ("two hundred twenty one", "zwei hundert ein und zwanzig"),
    1000: ("one thousand", "ein tausend"),
    1001: ("one thousand one", "ein tausend eins"),
    101_000: ("one hundred one thousand", "ein hundert ein tausend"),
    999_999: (
        "nine hundred ninety nine thousand nine hundred ninety nine",
        "neun hundert neun und neunzig tausend neun hundert neun und neunzig",
    ),
}


@pytest.mark.parametrize("number", WORDS)
def test_numbers_are_written_as_the_languages_do(number):
    assert (number_in_words(number, "english"), number_in_words(number, "german")) == WORDS[number]


@pytest.mark.parametrize("language", ["english", "german"])
def test_no_two_numbers_are_written_alike(language):
    numbers = [*range(20_000), *range(100_000, 1_000_000, 997)]
    assert len({number_in_words(number, language) for number in numbers}) == len(numbers)


def test_pairs_are_different_numbers_and_read_back_as_written():
    pairs = translation_pairs(rng(), 500, largest=999)
    assert len(set(pairs.english)) == 500
    both = {number_in_words(n, "english"): number_in_words(n, "german") for n in range(1000)}
    assert [both[sentence] for sentence in pairs.english] == pairs.german
    for row, sentence in zip(pairs.source.tolist(), pairs.english):
        length = len(sentence.split())
        assert " ".join(pairs.source_words[i] for i in row[:length]) == sentence
        assert set(row[length:]) <= {0}
    for row, sentence in zip(pairs.target.tolist(), pairs.german):
        length = len(sentence.split()) + 2
        assert " ".join(pairs.target_words[i] for i in row[:length]) == f"<start> {sentence} <end>"
        assert set(row[length:]) <= {0}


def test_pairs_follow_the_generator_and_can_be_all_there_are():
    assert translation_pairs(rng(), 20).english == translation_pairs(rng(), 20).english
    assert translation_pairs(rng(), 20).english != translation_pairs(rng(1), 20).english
    everything = translation_pairs(rng(), 100, largest=99)
    assert set(everything.english) == {number_in_words(n, "english") for n in range(100)}


def test_wrong_numbers_are_named():
    with pytest.raises(ValueError, match="number is 1000000, but it must be less than 1000000"):
        number_in_words(1_000_000, "german")
    with pytest.raises(ValueError, match="language is 'germane', but it must be one of"):
        number_in_words(1, "germane")
    with pytest.raises(ValueError, match="n is 101, but there are only 100 numbers from 0 to 99"):
        translation_pairs(rng(), 101, largest=99)
    with pytest.raises(ValueError, match="largest is 1000000, but it must be less than"):
        translation_pairs(rng(), 1, largest=1_000_000)
