"""Run the library's tests with each Python that pyproject.toml promises, with the oldest and the newest packages.

``python -m book._tools.compat`` builds the wheel, makes a throw-away environment for each row of the table, installs
the wheel there, and runs the tests in a folder outside the project. A row whose Python this machine lacks is named.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from book._tools.colab import build_wheel
from book._tools.manifest import ROOT

TOOLS = ("pytest", "pytest-cov", "pytest-xdist", "hypothesis", "jsonschema")
# What depends on the versions of the packages that are asked for; the rest runs against the wheel with the pinned ones.
ROOMS = ("reference", "ops", "norms", "residual", "models", "probes", "data", "parallel", "engine")
FILES = ("test_imports.py", "test_plot.py", "test_types.py")
TESTED = " ".join(f"tests/{part}" for part in ROOMS + FILES)
NOT_TESTED = "tests/ops/test_gpu.py"  # without a GPU it compiles for one, with the pinned Triton
CLASSIFIER = "Programming Language :: Python :: "


class Row(NamedTuple):
    """One environment: a Python, and what pip is asked for beside the wheel."""

    python: str  # 3.11
    packages: tuple[str, ...]

    @property
    def name(self):
        return f"Python {self.python}, {', '.join(self.packages) or 'the newest packages'}"


def table(project):
    """Return the rows for the ``[project]`` of pyproject.toml: the newest packages with each Python that it names,
    and the oldest that it allows with its first Python.
    """
    pythons = [line.removeprefix(CLASSIFIER) for line in project["classifiers"] if line.startswith(CLASSIFIER)]
    first = project["requires-python"].removeprefix(">=")
    if first not in pythons:
        raise ValueError(f"requires-python is >={first}, but no classifier of pyproject.toml names Python {first}.")
    wanted = [*project["dependencies"], *project["optional-dependencies"]["data"]]
    oldest = tuple(re.sub(r">=", "==", requirement) for requirement in wanted)
    return [Row(first, oldest), *(Row(python, ()) for python in pythons)]


def interpreter(python):
    """Return the path of a Python of this version: the running one, or one on the PATH that says so itself.

    A name alone proves nothing: pyenv puts one there for each version that it knows, and it fails where none is chosen.
    """
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    path = shutil.which(f"python{python}")
    ask = [path, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, check=False).stdout if path else ""
    except OSError:  # not for this machine, or no program
        return None
    return path if said.strip() == python else None


def passes(row, wheel):
    """Install the row's packages and the wheel in an environment of their own, and say whether the tests pass there."""
    with tempfile.TemporaryDirectory() as folder:
        python = f"{folder}/bin/python"
        subprocess.run([interpreter(row.python), "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-cache-dir"]
        wanted = [f"{wheel}[data]", *row.packages, *TOOLS]
        if subprocess.run([*pip, *wanted], check=False).returncode:
            return False
        show = "import numpy, torch; print('torch', torch.__version__, 'NumPy', numpy.__version__, flush=True)"
        subprocess.run([python, "-c", show], check=True, cwd=folder)
        tests = [ROOT / ".ci/installed", python, "--ignore", NOT_TESTED]
        return not subprocess.run(tests, env=os.environ | {"TESTS": TESTED}, check=False).returncode


def main():
    parser = argparse.ArgumentParser(prog="compat", description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="the rows of this Python alone, such as 3.12")
    asked = parser.parse_args().python
    rows = table(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for row in (row for row in rows if asked in (None, row.python)):
            print(f"\n== {row.name}", flush=True)
            results[row] = passes(row, wheel) if interpreter(row.python) else None
    words = {True: "passes", False: "FAILS", None: "not tried: this machine has no such Python"}
    print("\n" + "\n".join(f"{words[result]:8}  {row.name}" for row, result in results.items()))
    sys.exit(1 if False in results.values() else 0)


if __name__ == "__main__":
    main()
