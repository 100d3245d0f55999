"""Try every claim under ten seeds and under the machine's own arithmetic: ``python -m book._tools.seeds``.

``[--stale] [chapters/NAME.ipynb ...]`` may follow. ``book/recorded/seeds.json`` is written anew after every chapter.
With ``--stale`` only those chapters run whose code has changed since.
"""

import argparse
import ast
import json
import math
import re
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat

from book._tools import store
from book._tools.cells import chapters, code_cells, printed_text, read
from book._tools.manifest import ROOT
from book._tools.store import JOBS, errors, execute, named
from resnorm_lib.claims import lines, range_of
from resnorm_lib.engine.documents import write_document
from resnorm_lib.engine.fingerprint import of_sources

REPORT = ROOT / "book" / "recorded" / "seeds.json"
SEEDS = range(10)
NATIVE = "native"  # the eleventh run: seed 0, this machine's instructions and threads
# Threads that wait for each other sleep: spinning, two of them take hours where other programs share the processor.
OWN = {"RESNORM_ARITHMETIC": "native", "OMP_WAIT_POLICY": "PASSIVE"}
RANGE = re.compile(r"^(holds  (\S+)  .* [<>]= \S+)(?:  \(\d+ seeds: [^)]*\))?", re.MULTILINE)
STATES = ("claim", "check", "agree", "counts", "differ", "illustrate", "raises")  # functions: name, then statement
REACH = 10  # widths of the range over seeds


def claims(notebook):
    """Return ``{id: measured}`` for the claims and checks that held, and ``{id: None}`` for those that did not."""
    found = {line.id: line.measured for line in claim_lines(notebook)}
    return found | {text.split(": ")[2]: None for text in errors(notebook) if text.startswith("ClaimError: ")}


def claim_lines(notebook):
    """Return the lines of claims and checks that a notebook shows."""
    return [line for cell, _ in code_cells(notebook) for line in lines(printed_text(cell))]


def fingerprint(notebook):
    """Return a digest of the code of a notebook: comments, spacing, stubs and the words of its claims do not count."""
    tags = ((cell.source, cell.metadata.get("tags", [])) for cell, _ in code_cells(notebook))
    code = ast.parse("\n".join(source for source, tags in tags if "stub" not in tags))
    return of_sources([ast.unparse(WithoutStatements().visit(code))])


class WithoutStatements(ast.NodeTransformer):
    """Empties the statements of claims and checks, errata's too: another sentence measures the same."""

    def visit_Call(self, node):
        self.generic_visit(node)
        if ast.unparse(node.func).removeprefix("errata.") in STATES and len(node.args) > 1:
            node.args[1] = ast.Constant("")
        return node


def show_ranges(path):
    """Bring the ranges over the seeds that the stored lines of claims show up to date with the report."""
    notebook = nbformat.read(path, as_version=4)
    for cell, _ in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = RANGE.sub(lambda match: match[1] + range_of(match[2]), output.text)
    store.write(notebook, path)


def load():
    """Return the report, empty where none was written."""
    return json.loads(REPORT.read_text()) if REPORT.exists() else {"seeds": list(SEEDS), "chapters": {}}


def stale(report=None):
    """Return the names of the chapters whose code is not that of the report."""
    known = (report or load())["chapters"]
    return [path.stem for path in chapters() if known.get(path.stem, {}).get("fingerprint") != fingerprint(read(path))]


def reach(line, values):
    r"""Return how far the bound of a claim lies from its range over the seeds, in widths of the range.

    .. math:: \frac{\text{distance from the bound to the nearest value}}{\text{largest} - \text{smallest value}}

    in the values or in their logarithms, whichever is smaller: a ratio that goes over decades is judged by decades.
    """

    def widths(scale):
        try:
            known = [scale(value) for value in values]
            gaps = [] if line.at_least is None else [min(known) - scale(line.at_least)]
            gaps += [] if line.at_most is None else [scale(line.at_most) - max(known)]
        except ValueError:  # the logarithm of what is not positive
            return math.inf
        width = max(known) - min(known)
        return math.inf if width == 0 else max(0, min(gaps)) / width

    return min(widths(float), widths(math.log))


def out_of_reach(name, notebook, report=None):
    """Return the ids of claims whose bound lies more than ``REACH`` widths from what ten seeds gave."""
    known = (report or load())["chapters"].get(name, {"claims": {}})["claims"]
    return [
        line.id
        for line in claim_lines(notebook)
        if line.word == "holds" and None not in known.get(line.id, [None]) and reach(line, known[line.id]) > REACH
    ]


def run(path, seed):
    """Return the claims of one run of a chapter."""
    settings = OWN if seed == NATIVE else {"RESNORM_SEED": str(seed)}
    return claims(execute(path, timeout=3600, **settings))


def entry(path, runs):
    """Return what the report holds of a chapter."""
    names = list(dict.fromkeys(name for seed in SEEDS for name in runs[seed]))
    return {
        "fingerprint": fingerprint(nbformat.read(path, as_version=4)),
        "claims": {name: [runs[seed].get(name) for seed in SEEDS] for name in names},
        "native": {name: runs[NATIVE].get(name) for name in names},
    }


def try_all(paths):
    """Run each chapter eleven times, write the report after each chapter, and return what did not hold."""
    runs, failed = defaultdict(dict), []
    with ProcessPoolExecutor(JOBS) as pool:
        jobs = {pool.submit(run, path, seed): (path, seed) for path in paths for seed in (*SEEDS, NATIVE)}
        for job in as_completed(jobs):
            path, seed = jobs[job]
            runs[path][seed] = job.result()
            if len(runs[path]) == len(SEEDS) + 1:
                found = entry(path, runs.pop(path))
                write({path.stem: found})
                failed += list(say(path.stem, found))
    return failed


def say(name, found):
    """Print how often each claim of a chapter held; yield those that did not always."""
    print(f"{name}: {len(found['claims'])} claims and checks", flush=True)
    for id, values in found["claims"].items():
        held, native = sum(value is not None for value in values), found["native"][id]
        if held < len(SEEDS) or native is None:
            print(f"  {id}: holds for {held} of {len(SEEDS)} seeds{', not natively' if native is None else ''}")
            yield id


def write(fresh):
    """Put fresh results into the report; chapters that were not run keep theirs, chapters that are gone lose them."""
    names = {path.stem for path in chapters()}
    kept = {name: result for name, result in (load()["chapters"] | fresh).items() if name in names}
    write_document({"seeds": list(SEEDS), "chapters": dict(sorted(kept.items()))}, REPORT, indent=1, allow_nan=True)


def main():
    parser = argparse.ArgumentParser(description="Try every claim under ten seeds and natively.")
    parser.add_argument("--stale", action="store_true", help="only chapters whose code has changed")
    parser.add_argument("chapters", nargs="*", metavar="chapters/NAME.ipynb")
    arguments = parser.parse_args()
    wanted = set(stale()) if arguments.stale else None
    paths = [path for path in named(arguments.chapters) if wanted is None or Path(path).stem in wanted]
    failed = try_all(paths)
    for path in chapters():
        show_ranges(path)
    if failed:
        sys.exit(f"Not always true: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
