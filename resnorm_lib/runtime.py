"""Where and how a chapter runs: device, preset, seed, data folder, progress bars, arithmetic.

Six environment variables decide, and nothing else does:

- ``RESNORM_PRESET``, ``cpu`` (default) or ``gpu``: the size of the experiments.
- ``RESNORM_DEVICE``, ``cpu``, ``cuda`` or ``mps``: where tensors live; by default what the preset asks for.
- ``RESNORM_SEED``, an integer, default 0: shifts every seed of the book.
- ``RESNORM_DATA``, a folder: data that is too large to come with the book.
- ``RESNORM_PROGRESS``, ``1`` (default) or ``0``: progress bars on the screen.
- ``RESNORM_ARITHMETIC``, ``same`` (default) or ``native``: the arithmetic of the stored outputs, or this machine's own.

Importing this module imports no torch and changes nothing: :func:`start` does both.
"""

import getpass
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

if TYPE_CHECKING:  # torch is imported by :func:`start`, after the arithmetic is fixed
    import torch

__all__ = [
    "SettingError",
    "check",
    "data_folder",
    "device",
    "find",
    "fix_arithmetic",
    "generator",
    "preset",
    "progress",
    "seed",
    "seeded",
    "start",
]

PRESETS = ("cpu", "gpu")
DEVICES = ("cpu", "cuda", "mps")
# One arithmetic for every x86-64 machine. Without these the instruction set decides the last digits of a product, and
# training carries them into the first. PyTorch and its libraries read them once, when they are imported.
ARITHMETIC = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OMP_NUM_THREADS": "1",
}
# What else holds where outputs are stored and compared.
STORED = {"RESNORM_PROGRESS": "0", "RESNORM_PRESET": "cpu", "RESNORM_DEVICE": "cpu", "RESNORM_SEED": "0"}
SHIFT = 1000  # between the seeds of two values of RESNORM_SEED: more than a chapter uses

Item = TypeVar("Item")


class SettingError(ValueError):
    """One of the six variables has a value that cannot be used; the message says which and why."""


class Settings(TypedDict):
    """What :func:`check` returns."""

    preset: str
    device: "torch.device"
    seed: int  # the shift
    data: Path | None
    progress: bool


def _one_of(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(name) or default
    if value not in allowed:
        raise SettingError(f"{name} is {value!r}, but it must be one of {', '.join(allowed)}.")
    return value


def preset() -> str:
    """Return "cpu" or "gpu", the size of the experiments.

    Raises
    ------
    SettingError
        If RESNORM_PRESET is neither.
    """
    return _one_of("RESNORM_PRESET", "cpu", PRESETS)


def device(size: str | None = None) -> "torch.device":
    """Return the :class:`torch.device` that RESNORM_DEVICE names, or that the preset asks for.

    Parameters
    ----------
    size : str, optional
        A preset; by default that of RESNORM_PRESET.

    Raises
    ------
    SettingError
        If the name is unknown, or this machine has no such device.
    """
    import torch

    named = os.environ.get("RESNORM_DEVICE")
    name = _one_of("RESNORM_DEVICE", "cuda" if (size or preset()) == "gpu" else "cpu", DEVICES)
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present[name]:
        asks = f"The device {name!r} is asked for" if named else f"The preset 'gpu' asks for the device {name!r}"
        other = "." if named else ": take the preset 'cpu', or set RESNORM_DEVICE=cpu and wait for hours."
        raise SettingError(f"{asks}, but PyTorch finds none on this machine{other}")
    return torch.device(name)


def fix_arithmetic() -> bool:
    """Ask PyTorch and its libraries for the arithmetic under which the outputs of the book were stored.

    It takes effect if torch is not yet imported; variables that are set already stay as they are.

    Returns
    -------
    bool
        Whether this process computes with that arithmetic.

    Raises
    ------
    SettingError
        If RESNORM_ARITHMETIC is neither ``same`` nor ``native``.
    """
    if not native() and "torch" not in sys.modules and platform.machine() in ("x86_64", "AMD64"):
        for name, value in ARITHMETIC.items():
            os.environ.setdefault(name, value)
        _keep_compiled_code_apart()
    return all(os.environ.get(name) == value for name, value in ARITHMETIC.items())


def _keep_compiled_code_apart() -> None:
    """Give what torch.compile makes for these instructions a folder of its own, in the one that it would use.

    Its cache does not ask for which instructions a piece of code was written. Code for vectors of 16 numbers, compiled
    for vectors of 8, computes wrong numbers without a word; the other way round it writes past the end of a tensor.
    """
    instructions = ARITHMETIC["ATEN_CPU_CAPABILITY"]
    own = Path(tempfile.gettempdir(), f"torchinductor_{getattr(os, 'getuid', getpass.getuser)()}")
    folder = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or own)
    if folder.name != instructions:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / instructions)


def native() -> bool:
    """Return whether RESNORM_ARITHMETIC asks for the machine's own instructions and number of threads.

    Raises
    ------
    SettingError
        If it is neither ``same`` nor ``native``.
    """
    return _one_of("RESNORM_ARITHMETIC", "same", ("same", "native")) == "native"


def start(threads: int = 1) -> "torch.device":
    """Prepare a chapter: fix the arithmetic and the number of threads, check all settings, and say where it runs.

    The order in which threads add up changes the last digits of a sum. One thread gives the same digits on a laptop
    and on a server, and is the fastest for networks as small as those of the "cpu" preset. Call it before torch is
    imported (see :func:`fix_arithmetic`); otherwise, and on other processors, it says that digits may differ.

    Returns
    -------
    torch.device

    Raises
    ------
    SettingError
        If one of the six variables has a value that cannot be used.
    """
    fixed = fix_arithmetic()
    import torch

    settings = check()
    if not native():
        torch.set_num_threads(threads)
    print(f"preset {settings['preset']}, device {settings['device']}, seed {settings['seed']}")
    if not fixed:
        print("arithmetic of this machine: digits may differ from those stored with the book")
    return settings["device"]


def check() -> Settings:
    """Return all settings by name; raise at the first that cannot be used.

    Returns
    -------
    dict
        preset (str), device (torch.device), seed (int, the shift), data (Path or None), progress (bool).

    Raises
    ------
    SettingError
        If one of the six variables has a value that cannot be used.
    """
    return {
        "preset": preset(),
        "device": device(),
        "seed": seed() // SHIFT,
        "data": data_folder(),
        "progress": shows_progress(),
    }


def seed(base: int = 0) -> int:
    """Return ``base`` shifted by RESNORM_SEED, by 1000 for each step, so that shifted runs share no seed.

    Raises
    ------
    SettingError
        If RESNORM_SEED is no integer from 0 on.
    """
    text = os.environ.get("RESNORM_SEED") or "0"
    if not text.isascii() or not text.isdigit():
        raise SettingError(f"RESNORM_SEED is {text!r}, but it must be an integer, 0 or larger.")
    return base + SHIFT * int(text)


def generator(base: int = 0, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """Return a torch generator of its own, seeded with :func:`seed`.

    Examples
    --------
    >>> import torch
    >>> bool(torch.equal(torch.rand(3, generator=generator(7)), torch.rand(3, generator=generator(7))))
    True
    """
    import torch

    return torch.Generator(device).manual_seed(seed(base))


@contextmanager
def seeded(base: int = 0) -> Iterator[None]:
    """Seed what has no generator argument, such as the weights of a new layer; the global state is put back.

    Examples
    --------
    >>> import torch
    >>> with seeded(3):
    ...     first = torch.nn.Linear(2, 2)
    >>> with seeded(3):
    ...     second = torch.nn.Linear(2, 2)
    >>> bool(torch.equal(first.weight, second.weight))
    True
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed(base))
        yield


def data_folder() -> Path | None:
    """Return the folder that RESNORM_DATA names, or ``None`` when it is not set.

    Raises
    ------
    SettingError
        If it names no folder.
    """
    text = os.environ.get("RESNORM_DATA")
    if not text:
        return None
    folder = Path(text)
    if not folder.is_dir():
        raise SettingError(f"RESNORM_DATA is {text!r}, but there is no such folder.")
    return folder


def progress(iterable: Iterable[Item], description: str = "", total: int | None = None) -> Iterable[Item]:
    """Iterate with a progress bar that vanishes when done; RESNORM_PROGRESS=0 leaves it out.

    Raises
    ------
    SettingError
        If RESNORM_PROGRESS is neither 0 nor 1.
    """
    if not shows_progress():
        return iterable
    from tqdm.auto import tqdm

    return tqdm(iterable, desc=description, total=total, leave=False)


def shows_progress() -> bool:
    return _one_of("RESNORM_PROGRESS", "1", ("0", "1")) == "1"


def find(name: str, folder: str | Path | None = None) -> Path | None:
    """Return the path of a file that was recorded with the book, or ``None`` where there is none.

    Parameters
    ----------
    name : str
    folder : path, optional
        By default ``book/recorded`` in the working folder or in one above it.
    """
    folders = [Path(folder)] if folder else [p / "book" / "recorded" for p in (Path.cwd(), *Path.cwd().parents)]
    return next((place / name for place in folders if (place / name).exists()), None)
