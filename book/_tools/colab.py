"""Chapters as notebooks that plain Jupyter and Colab show well, and what they need: ``make colab``.

``python -m book._tools.colab FOLDER`` writes them: each chapter in plain Markdown, its outputs left for the reader to
make, its solutions folded. Beside them lies an archive of the library's wheel and the recorded runs, which the first
cell of each unpacks and installs.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
import yaml

import resnorm_lib
from book._tools.manifest import ROOT
from book._tools.names import Names
from book._tools.plain import folded, plain

WHEEL = f"resnorm_lib-{resnorm_lib.__version__}-py3-none-any.whl"
ARCHIVE = "resnorm-book.zip"  # the wheel, and book/recorded
PACKAGED = ["resnorm_lib", "pyproject.toml", "README.md", "LICENSE"]
HEAD = "A copy of a chapter of *Residual connections and normalization*, for Jupyter and Colab. {} "
HEAD += "Text: CC BY 4.0; code: MIT."
SET_UP = """# @title Set-up: install the book's library if it is missing; torch and numpy stay as they are
import importlib.util
import urllib.request
import warnings
import zipfile
from pathlib import Path

warnings.filterwarnings("ignore", "IProgress not found")  # bars are plain where ipywidgets is missing
archive, address = Path("{archive}"), "{address}"
if importlib.util.find_spec("resnorm_lib") is None or not Path("book/recorded").exists():
    if address and not archive.exists():
        urllib.request.urlretrieve(address + archive.name, archive)
    if not archive.exists():
        raise FileNotFoundError(f"Put {{archive}}, which lies beside this notebook in the book, into {{Path.cwd()}}.")
    zipfile.ZipFile(archive).extractall()
    %pip install --quiet --no-deps {wheel}
    importlib.invalidate_caches()"""


def convert(notebook, name, address=""):
    """Return a chapter as a notebook in plain Markdown; ``address`` is where the book is published, if it is."""
    names, cells = Names(name), []
    for cell in notebook.cells:
        cells += [code(cell)] if cell.cell_type == "code" else prose(cell, names)
        if caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
            called = names.called(cell.metadata["mystnb"]["figure"]["name"])
            cells.append(nbformat.v4.new_markdown_cell(f"*{called}.* {plain(caption, names)}"))
    page = f"{address}chapters/{name}.html"
    where = f"The [page of the chapter]({page}) has its outputs." if address else "Its page has the outputs."
    beside = f"{address}run/" if address else ""
    set_up = SET_UP.format(archive=ARCHIVE, wheel=WHEEL, address=beside)
    head = [nbformat.v4.new_markdown_cell(HEAD.format(where)), nbformat.v4.new_code_cell(set_up, metadata=hidden())]
    made = [*head, *cells]
    for number, cell in enumerate(made):
        cell["id"] = f"cell-{number}"
    return nbformat.v4.new_notebook(cells=made, metadata=notebook.metadata)


def prose(cell, names):
    """Return a cell of prose in plain Markdown, folded if it belongs to a solution; none if nothing is left of it."""
    text = plain(cell.source, names)
    if "solution" in cell.metadata.get("tags", []) and not text.startswith(("<details>", "**Solution")) and text:
        text = folded("Solution, continued", text)
    return [nbformat.v4.new_markdown_cell(text)] if text else []


def code(cell):
    """Return a cell of code without outputs, closed where the page closes it."""
    tags = set(cell.metadata.get("tags", []))
    source = f"# @title Solution\n{cell.source}" if "solution" in tags else cell.source
    closed = tags & {"solution", "hide-input", "hide-cell"}
    return nbformat.v4.new_code_cell(source, metadata=hidden() if closed else {})


def hidden():
    """Return what closes a cell in JupyterLab, and in Colab."""
    return {"jupyter": {"source_hidden": True}, "cellView": "form"}


def build_wheel(folder):
    """Build the wheel from a copy, so that the project stays as it is."""
    for name in PACKAGED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, folder, folder], check=True)
    return folder / WHEEL


def archive(folder):
    """Write the wheel, and the wheel and the recorded runs as one file."""
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(folder / ARCHIVE, "w", zipfile.ZIP_DEFLATED) as packed:
        wheel = shutil.copy(build_wheel(Path(work)), folder / WHEEL)
        packed.write(wheel, WHEEL)
        for path in sorted((ROOT / "book/recorded").iterdir()):
            packed.write(path, path.relative_to(ROOT))


def write(folder):
    """Write the archive and all chapters."""
    folder.mkdir(parents=True, exist_ok=True)
    archive(folder)
    address = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["html"]["baseurl"]
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        notebook = convert(nbformat.read(path, as_version=4), path.stem, address)
        nbformat.validate(notebook)
        text = json.dumps(notebook, ensure_ascii=False, separators=(",", ":"))  # nbformat indents, a sixth more to load
        (folder / path.name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write chapters as notebooks for plain Jupyter and Colab.")
    parser.add_argument("folder", type=Path, help="where they go")
    write(parser.parse_args().folder)
