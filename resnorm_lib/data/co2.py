"""The carbon dioxide of the air over Mauna Loa, 526 months from March 1958 to December 2001.

Keeling and Whorf (2004), Carbon Dioxide Information Analysis Center; public domain. The monthly means of the weekly
values that statsmodels ships; five months without a value are interpolated. They lie beside this file, 4 kB.
"""

import hashlib
from importlib.resources import files

import torch
from torch import Tensor

from resnorm_lib.data.files import DataDamaged

__all__ = ["load_co2"]

SHA256 = "07aea81fba72b788c612d4e1b215d21737fd670aefddaba20223f0404ddcbaed"


def load_co2() -> Tensor:
    """Return the months (526,) in parts per million, float32; the first is March 1958.

    Raises
    ------
    DataDamaged
        If the file beside this module has changed.

    Examples
    --------
    >>> series = load_co2()
    >>> len(series), round(series[0].item(), 1), round(series[-1].item(), 1)
    (526, 316.1, 371.0)
    """
    text = files(__package__).joinpath("co2.txt").read_bytes().replace(b"\r\n", b"\n")
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise DataDamaged("resnorm_lib/data/co2.txt has changed: install the library again.")
    return torch.tensor([float(value) for value in text.split()])
