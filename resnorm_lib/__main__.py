"""``python -m resnorm_lib``: say what is installed and how the chapters would run, or in one sentence what is wrong."""

import importlib.util
import sys
from importlib.metadata import version

from resnorm_lib import __version__
from resnorm_lib._pipe import until_the_reader_leaves

NEEDED = ("torch", "numpy", "matplotlib", "tqdm")


def main() -> None:
    if sys.argv[1:]:
        sys.exit(f"python -m resnorm_lib takes no arguments, but was given {' '.join(sys.argv[1:])!r}.")
    for package in NEEDED:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            sys.exit(f"{package} is missing: install it with  {sys.executable} -m pip install {package}")
    from resnorm_lib import runtime

    try:
        settings = runtime.check()
    except runtime.SettingError as error:
        sys.exit(str(error))
    for name, value in {"resnorm_lib": __version__, **settings}.items():
        print(f"{name:13} {value}")
    for package in NEEDED:
        print(f"{package:13} {version(package)}")
    if not importlib.util.find_spec("sklearn"):
        print("scikit-learn  missing: the chapters take their digits from it")


if __name__ == "__main__":
    with until_the_reader_leaves():
        main()
