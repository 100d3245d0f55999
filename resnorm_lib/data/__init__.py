"""Real data for the chapters: what is installed with the requirements first, larger sets from RESNORM_DATA.

=============================  ===================================================  =====================
loader                         what it reads                                        needs
=============================  ===================================================  =====================
:func:`load_digits`            1,797 handwritten digits, 8 x 8                      scikit-learn
:func:`load_text` ("pydoc")    the help on Python's topics                          CPython itself
:func:`load_spirals`           1,797 points of ten spirals in 64 dimensions         nothing
:func:`load_words`             spoken words, synthesised                            nothing
:func:`load_co2`               carbon dioxide over Mauna Loa, 526 months            nothing
:func:`load_docstrings`        6,000 sentences from the docs of four libraries      those libraries
:func:`translation_pairs`      numbers in words, English and German                 nothing
:func:`numerals`               numbers in German words and in digits                nothing
:func:`passages`               one sentence, and a question that it answers         nothing
:func:`load_mnist`             70,000 handwritten digits, 28 x 28                   RESNORM_DATA
:func:`load_fashion_mnist`     70,000 pictures of clothes, 28 x 28                  RESNORM_DATA
:func:`load_cifar10`           60,000 colour photographs, 32 x 32                   RESNORM_DATA, Pillow
:func:`load_text`              1.1 million characters of Shakespeare's plays        RESNORM_DATA
=============================  ===================================================  =====================

:func:`batches`, :class:`ImageBatches` and :func:`text_batches` cut data into batches.
"""

from resnorm_lib.data.batches import batches
from resnorm_lib.data.cifar10 import load_cifar10
from resnorm_lib.data.co2 import load_co2
from resnorm_lib.data.digits import Split, load_digits
from resnorm_lib.data.docstrings import Docstrings, load_docstrings
from resnorm_lib.data.files import DataDamaged, DataMissing
from resnorm_lib.data.image_batches import ImageBatches
from resnorm_lib.data.images import Images
from resnorm_lib.data.mnist import load_fashion_mnist, load_mnist
from resnorm_lib.data.numerals import Numerals, numerals
from resnorm_lib.data.passages import Passages, passages
from resnorm_lib.data.sound import Sound
from resnorm_lib.data.spirals import load_spirals
from resnorm_lib.data.text import Text, load_text, text_batches
from resnorm_lib.data.translation import Pairs, number_in_words, translation_pairs
from resnorm_lib.data.words import load_words

__all__ = [
    "DataDamaged",
    "DataMissing",
    "Docstrings",
    "ImageBatches",
    "Images",
    "Numerals",
    "Pairs",
    "Passages",
    "Sound",
    "Split",
    "Text",
    "batches",
    "load_cifar10",
    "load_co2",
    "load_digits",
    "load_docstrings",
    "load_fashion_mnist",
    "load_mnist",
    "load_spirals",
    "load_text",
    "load_words",
    "number_in_words",
    "numerals",
    "passages",
    "text_batches",
    "translation_pairs",
]
