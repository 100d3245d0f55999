"""Text as a row of characters, for language models."""

import platform
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from resnorm_lib import _arguments
from resnorm_lib.data.files import DataDamaged, DataMissing, find

__all__ = ["Text", "load_text", "text_batches"]

SHAKESPEARE = "tinyshakespeare.txt"


class Text(NamedTuple):
    """A text as numbers: character i of the vocabulary is written i."""

    train: torch.Tensor  # (n,) int64, the first nine tenths
    val: torch.Tensor  # (m,) int64, the rest
    vocabulary: str  # every character of the text once, sorted
    source: str  # what was read, to print beside every number that comes from it

    def encode(self, text: str) -> torch.Tensor:
        """Return the numbers of a text's characters, (n,) int64; ValueError names one that is not in the vocabulary."""
        if unknown := sorted(set(text) - set(self.vocabulary)):
            raise ValueError(f"text holds {unknown[0]!r}, but the vocabulary is {self.vocabulary!r}.")
        number = {character: i for i, character in enumerate(self.vocabulary)}
        return torch.tensor([number[character] for character in text], dtype=torch.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text that a row of numbers stands for."""
        return "".join(self.vocabulary[i] for i in ids)


def load_text(name: str = "shakespeare", max_chars: int | None = None) -> Text:
    """Return a text, its first nine tenths for training.

    Parameters
    ----------
    name : str
        "shakespeare": 1.1 million characters of plays, ``tinyshakespeare.txt`` in the folder that RESNORM_DATA names.
        "pydoc": the help on Python's own topics, which comes with CPython. It is shorter and grows from version to
        version, so ``source`` has the version: compare no numbers between two of them.
    max_chars : int, optional
        Use only the start of the text.

    Raises
    ------
    ValueError
        If name is neither, or max_chars less than 10.
    DataMissing
        If the text is not on this machine; the message says how to get it.
    DataDamaged
        If the file is not UTF-8 or shorter than 10 characters.
    SettingError
        If RESNORM_DATA names no folder.

    Examples
    --------
    >>> text = load_text("pydoc", max_chars=1000)
    >>> len(text.train), len(text.val)
    (900, 100)
    >>> text.encode(text.decode(text.val)).equal(text.val)
    True
    """
    _arguments.choice("name", name, ("shakespeare", "pydoc"))
    if max_chars is not None:
        max_chars = _arguments.positive_int("max_chars", max_chars, at_least=10)
    characters, source = _pydoc() if name == "pydoc" else _shakespeare()
    if max_chars is not None and max_chars < len(characters):
        characters, source = characters[:max_chars], f"{source}, first {max_chars:,} characters"
    vocabulary = "".join(sorted(set(characters)))
    text = Text(torch.empty(0), torch.empty(0), vocabulary, source)
    ids = text.encode(characters)
    cut = len(ids) * 9 // 10
    return text._replace(train=ids[:cut], val=ids[cut:])


def _pydoc() -> tuple[str, str]:
    try:
        from pydoc_data.topics import topics
    except ModuleNotFoundError:
        raise DataMissing("This Python comes without pydoc_data.topics: use another, or name='shakespeare'.") from None
    return "\n\n".join(topics[key] for key in sorted(topics)), f"help topics of CPython {platform.python_version()}"


def _shakespeare() -> tuple[str, str]:
    path = find(SHAKESPEARE)
    if path is None:
        raise DataMissing(
            f"The plays are not on this machine: set the environment variable RESNORM_DATA to a folder that holds "
            f"{SHAKESPEARE}, 1.1 MB (data/tinyshakespeare/input.txt of github.com/karpathy/char-rnn), or take "
            f"name='pydoc', which comes with Python."
        )
    try:
        characters = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataDamaged(f"{path} is not UTF-8 text ({error}): copy it again.") from None
    if len(characters) < 10:
        raise DataDamaged(f"{path} holds {len(characters)} characters, too few to split: copy it again.")
    return characters, f"Tiny Shakespeare, {SHAKESPEARE}"


def text_batches(
    ids: torch.Tensor, batch_size: int, length: int, generator: torch.Generator, steps: int | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield random windows of a text and the same windows one character later, for ever or for a number of steps.

    Parameters
    ----------
    ids : torch.Tensor
        (n,) integers; windows are cut where it lives.
    batch_size, length : int
    generator : torch.Generator
        Draws where windows begin; every place is equally likely. On the device of ids nothing is copied at a step;
        on the CPU the windows are the same on every device.
    steps : int, optional

    Yields
    ------
    x, y : torch.Tensor
        (batch_size, length) each, with ``y[:, :-1]`` equal to ``x[:, 1:]``.

    Raises
    ------
    ValueError
        If ids is no row of more than ``length`` integers, or another argument is no positive integer.

    Examples
    --------
    >>> x, y = next(text_batches(torch.arange(100), 2, 4, torch.Generator().manual_seed(0)))
    >>> x.shape, bool((y == x + 1).all())
    (torch.Size([2, 4]), True)
    """
    length = _arguments.positive_int("length", length)
    batch_size = _arguments.positive_int("batch_size", batch_size)
    steps = None if steps is None else _arguments.positive_int("steps", steps)
    if ids.ndim != 1 or ids.is_floating_point() or len(ids) <= length:
        raise ValueError(
            f"ids has shape {tuple(ids.shape)} and type {ids.dtype}, but it must be a row of more than length={length} "
            f"integers."
        )
    return _windows(ids.unfold(0, length + 1, 1), batch_size, generator, steps)


def _windows(
    windows: Tensor, batch_size: int, generator: torch.Generator, steps: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    while steps is None or steps > 0:
        start = torch.randint(len(windows), (batch_size,), generator=generator, device=generator.device)
        window = windows[start.to(windows.device)]
        yield window[:, :-1], window[:, 1:]
        steps = None if steps is None else steps - 1
