"""Start chapters, run them to store their outputs, and try their claims under ten seeds.

python -m book._tools.runs store chapters/NAME.ipynb ...
python -m book._tools.runs seeds [chapters/NAME.ipynb ...]
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from tests.book.cells import code_cells, printed_text
from tests.book.sources import ROOT, chapters
from tests.environment import ENVIRONMENT

CHAPTERS = ROOT / "chapters"
TEMPLATE = ROOT / "book" / "templates" / "chapter.md"
REPORT = ROOT / "book" / "recorded" / "seeds.json"
SEEDS = range(10)

HOLDS = re.compile(r"^holds  (?P<id>\S+)  .*  (?:(\S+) <= )?(?P<measured>\S+) [<>]= \S+(?:  \[\S+\])?$", re.MULTILINE)
FAILS = re.compile(r"does not hold: (?P<id>\S+): ")


def execute(path, **settings):
    """Run the notebook in a fresh kernel and return it; cells that raise keep their error as output."""
    notebook = nbformat.read(path, as_version=4)
    env = os.environ | ENVIRONMENT | settings
    client = NotebookClient(
        notebook, timeout=600, allow_errors=True, record_timing=False, kernel_name="python3", coalesce_streams=True
    )
    client.execute(cwd=str(Path(path).parent), env=env)
    return notebook


def errors(notebook):
    """Return the last line of each error that a cell of the notebook raised."""
    outputs = [output for cell, _ in code_cells(notebook) for output in cell.outputs]
    return [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]


def store(path):
    """Run the notebook and write it back with its outputs, unless a cell raised."""
    notebook = execute(path)
    if failed := errors(notebook):
        raise SystemExit(f"{path} was left as it is, because a cell raised {failed[0]}")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    temporary = Path(path).with_suffix(".part")
    nbformat.write(notebook, temporary)
    temporary.replace(path)


def claims(notebook):
    """Return ``{id: measured}`` for the claims that held, and ``{id: None}`` for those that did not."""
    text = "\n".join(printed_text(cell) for cell, _ in code_cells(notebook))
    found = {match["id"]: float(match["measured"]) for match in HOLDS.finditer(text)}
    return found | {match["id"]: None for match in FAILS.finditer("\n".join(errors(notebook)))}


def try_seeds(paths):
    """Run each chapter under every seed; print how often each claim held, and update the report."""
    report = {}
    for path in map(Path, paths):
        runs = [claims(execute(path, RESNORM_SEED=str(seed))) for seed in SEEDS]
        report[path.stem] = {name: [run.get(name) for run in runs] for run in runs for name in run}
        for name, measured in report[path.stem].items():
            print(f"{sum(m is not None for m in measured):2} of {len(SEEDS)}  {name}")
    write_report(report)
    return all(m is not None for chapter in report.values() for measured in chapter.values() for m in measured)


def write_report(fresh):
    """Put fresh results into the report; chapters that were not run keep theirs, chapters that are gone lose them."""
    old = json.loads(REPORT.read_text())["claims"] if REPORT.exists() else {}
    kept = {name: result for name, result in (old | fresh).items() if (CHAPTERS / f"{name}.ipynb").exists()}
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"seeds": list(SEEDS), "claims": dict(sorted(kept.items()))}, indent=1) + "\n")


def new(name):
    """Write an empty chapter from the template."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        sys.exit(f"NAME is {name!r}, but it must be words in lower case, joined by underscores: NAME=layer_norm")
    path = CHAPTERS / f"{name}.ipynb"
    if path.exists():
        sys.exit(f"{path} is there already.")
    title = name.replace("_", " ").capitalize()
    text = TEMPLATE.read_text().replace("TITLE", title).replace("LABEL", name.replace("_", "-"))
    jupytext.write(jupytext.reads(text, fmt="md:myst"), path)
    print(f"Wrote {path}. Add chapters/{name} to _toc.yml, write, then: make run CHAPTERS=chapters/{name}.ipynb")


def main():
    parser = argparse.ArgumentParser(description="Start and run chapters.")
    parser.add_argument("task", choices=("store", "seeds", "new"))
    parser.add_argument("chapters", nargs="*")
    arguments = parser.parse_args()
    if arguments.task == "new":
        return new("".join(arguments.chapters))
    paths = [Path(chapter) for chapter in arguments.chapters] or chapters()
    if missing := [str(path) for path in paths if not path.is_file()]:
        sys.exit(f"There is no notebook {missing[0]}.")
    if arguments.task == "seeds":
        return None if try_seeds(paths) else sys.exit("Not every claim holds for every seed.")
    for path in paths:
        store(path)
        print(f"stored {path}")


if __name__ == "__main__":
    main()
