"""Run the chapters as a reader of their notebooks does: ``python -m book._tools.readers PYTHON [CHAPTER ...]``.

In a folder outside the project: an environment of that Python with what the notebooks say that they need, and the
kernel that Jupyter starts; in it each notebook that lies beside the pages, and the archive. What fails is named.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbclient
import nbformat

from book._tools import colab
from book._tools.manifest import ROOT

NEEDED = ("numpy", "matplotlib", "scikit-learn", "tqdm")  # as `how to run` says; PyTorch is that of the requirements
KERNEL = "reader"


def environment(python, folder):
    """Make an environment of a reader, and return what starts a notebook in it."""
    torch = re.search(r"^torch==\S+", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[0]
    inside = folder / "env/bin/python"
    subprocess.run([python, "-m", "venv", folder / "env"], check=True)
    pip = [inside, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, torch, *NEEDED, "ipykernel"], check=True)
    add_kernel(inside, folder)


def add_kernel(python, folder):
    """Write the kernel of a reader's Python, found where ``JUPYTER_PATH`` names the folder."""
    kernel = folder / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": KERNEL}))


def execute(notebook, folder, timeout=900):
    """Run a notebook, in place, by the reader's kernel."""
    place = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=timeout, kernel_name=KERNEL, resources=place).execute()


def runs(path):
    """Run a notebook in its folder; return what stopped it, or an empty sentence."""
    try:
        execute(nbformat.read(path, as_version=4), path.parent)
    except (nbclient.exceptions.CellExecutionError, nbclient.exceptions.CellTimeoutError) as error:
        return str(error).strip().splitlines()[-1]
    return ""


def main(python, *names):
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        environment(python, folder)
        os.environ["JUPYTER_PATH"] = str(folder)
        os.environ.pop("PYTHONPATH", None)
        colab.write(folder / "run")
        for path in sorted((folder / "run").glob("*.ipynb")):
            if not names or path.stem in names:
                start = time.monotonic()
                why = runs(path)
                failed += bool(why)
                print(f"{path.stem:26} {time.monotonic() - start:5.0f} s  {why or 'runs'}", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__.splitlines()[0])
    main(*sys.argv[1:])
