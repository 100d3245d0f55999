"""Real English that is installed already: sentences from the documentation of four libraries."""

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resnorm_lib.data.files import DataMissing

__all__ = ["Docstrings", "load_docstrings", "words_of"]

# For each library its distribution and the modules whose public names are read.
LIBRARIES = {
    "Matplotlib": ("matplotlib", "axes collections lines patches pyplot text ticker"),
    "NumPy": ("numpy", ". fft linalg random"),
    "scikit-learn": ("sklearn", "cluster decomposition ensemble linear_model metrics preprocessing svm"),
    "torch": ("torch", ". nn nn.functional optim"),
}
SHORTEST, LONGEST = 8, 24  # words
MARKUP = (">>>", "::", "--", ".. ")  # of paragraphs that are no prose
NAMES = frozenset(["numpy", "np", "torch", "pytorch", "matplotlib", "mpl", "plt", "pyplot", "sklearn", "scikit"])


class Docstrings(NamedTuple):
    """Sentences and the library that each is from."""

    sentences: tuple  # n texts, sorted
    labels: Tensor  # (n,) int64: which of the libraries
    libraries: tuple  # their names
    source: str  # the versions, to print beside every number that comes from them


@cache
def load_docstrings() -> Docstrings:
    """Return every sentence of 8 to 24 words from the docstrings of Matplotlib, NumPy, scikit-learn and torch.

    A sentence that stands in two of the libraries is left out. Another version of a library has other sentences, so
    compare no numbers between two of them.

    Raises
    ------
    DataMissing
        If scikit-learn is not installed.

    Examples
    --------
    >>> found = load_docstrings()
    >>> len(found.sentences) == len(found.labels) > 5000
    True
    """
    found = {name: _sentences(*place) for name, place in LIBRARIES.items()}
    times = Counter(sentence for sentences in found.values() for sentence in sentences)
    rows = sorted(
        (sentence, label)
        for label, sentences in enumerate(found.values())
        for sentence in sentences
        if times[sentence] == 1
    )
    sentences, labels = zip(*rows)
    return Docstrings(sentences, torch.tensor(labels), tuple(found), ", ".join(map(_version, found)))


def _version(library: str) -> str:
    """Return the name and version, without how the library was built."""
    return f"{library} {version(library.lower()).partition('+')[0]}"


def words_of(sentence: str) -> list[str]:
    """Return the words of a sentence in small letters, without the names of the libraries.

    Examples
    --------
    >>> words_of("Convert a NumPy array to a torch.Tensor.")
    ['convert', 'a', 'array', 'to', 'a', 'tensor']
    """
    return [word for word in re.findall("[a-z]+", sentence.lower()) if word not in NAMES]


def _sentences(package: str, modules: str) -> set[str]:
    """Return the sentences of the public names of some modules, and of the public methods of their classes."""
    try:
        places = [importlib.import_module(f"{package}.{name}" if name != "." else package) for name in modules.split()]
    except ModuleNotFoundError as error:
        raise DataMissing(
            f"{error.name} is not installed, whose docstrings are read: pip install scikit-learn."
        ) from None
    return {sentence for module in places for text in _docstrings(module) for sentence in _prose(text)}


def _docstrings(module: Any) -> Iterator[str]:
    for name in getattr(module, "__all__", None) or dir(module):
        thing = getattr(module, name, None)
        if name.startswith("_") or inspect.ismodule(thing) or not callable(thing):
            continue
        yield inspect.getdoc(thing) or ""
        if inspect.isclass(thing):
            methods = [method for name, method in vars(thing).items() if not name.startswith("_") and callable(method)]
            yield from (inspect.getdoc(method) or "" for method in methods)


def _prose(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        if paragraph.isascii() and not any(mark in paragraph for mark in MARKUP):
            for sentence in re.split(r"(?<=[.])\s+", " ".join(paragraph.split())):
                if sentence[:1].isupper() and sentence.endswith(".") and SHORTEST <= len(words_of(sentence)) <= LONGEST:
                    yield sentence
