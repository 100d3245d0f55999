"""Run chapters in fresh kernels and store their outputs: ``python -m book._tools.store chapters/NAME.ipynb ...``."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from book._tools.cells import chapters, code_cells
from resnorm_lib.engine.documents import write_whole
from resnorm_lib.runtime import STORED

JOBS = 2  # chapters that run at a time, each on one thread


def named(paths):
    """Return the paths of the chapters that a command names, or of all."""
    found = [Path(path) for path in paths] or chapters()
    if missing := [str(path) for path in found if not path.is_file()]:
        sys.exit(f"There is no notebook {missing[0]}.")
    return found


def execute(path, timeout=600, **settings):
    """Run the notebook in a fresh kernel and return it; cells that raise keep their error as output.

    A cell that takes longer than ``timeout`` seconds is an error; the settings are variables of the kernel.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=timeout, allow_errors=True, record_timing=False, kernel_name="python3", coalesce_streams=True
    )
    client.execute(cwd=str(Path(path).parent), env=os.environ | STORED | settings)
    return notebook


def errors(notebook):
    """Return the last line of each error that a cell of the notebook raised."""
    outputs = [output for cell, _ in code_cells(notebook) for output in cell.outputs]
    return [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]


def store(path):
    """Run the notebook and write it back with its outputs; return why it was left as it is, if a cell raised."""
    notebook = execute(path)
    if failed := errors(notebook):
        return f"{path} was left as it was, because a cell raised {failed[0]}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    write(notebook, path)
    return None


def write(notebook, path):
    """Write a notebook in the layout of Jupyter's own."""
    write_whole(nbformat.writes(notebook).rstrip("\n") + "\n", path)


def main():
    paths, failed = named(sys.argv[1:]), []
    with ProcessPoolExecutor(JOBS) as pool:
        for path, why in zip(paths, pool.map(store, paths)):
            failed += [why] if why else []
            print(why or f"stored {path}", flush=True)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
