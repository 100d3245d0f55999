"""Render the book strictly and put it in place when it is whole: ``python -m book._tools.build OUT``.

It is rendered in ``OUT/_build/next``, where only what has changed is rendered again, and finished in a copy. Where a
warning or an error stops it, the book that stood in ``OUT/_build/html`` stays, and the warnings are printed last.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from book._tools import colab
from book._tools.finish import finish
from resnorm_lib._pipe import until_stopped

STRICT = ["-n", "-W", "--keep-going"]
TROUBLE = re.compile("WARNING|ERROR|Error")
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def build(source, out, finished=lambda site: None):
    """Render the book in ``source``; return the lines that say what is wrong, none if it now stands in ``out``.

    ``finished`` does to the pages what is to be done before they stand there.
    """
    ready, work, copy = (Path(out) / "_build" / name for name in ("html", "next", "finishing"))
    work.mkdir(parents=True, exist_ok=True)
    tool = Path(sys.executable).with_name("jupyter-book")
    command = [tool, "build", source, "--path-output", work, *STRICT]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except KeyboardInterrupt:
        shutil.rmtree(work, ignore_errors=True)  # it may hold half a page
        raise
    log = COLOUR.sub("", done.stdout)
    (work.with_name("build.log")).write_text(log, encoding="utf-8")
    if done.returncode:
        shutil.rmtree(work)  # or the next build would pass over the pages that it takes for rendered
        return [line for line in log.splitlines() if TROUBLE.search(line)] or log.splitlines()[-20:]
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(work / "_build/html", copy)
    finished(copy)
    shutil.rmtree(ready, ignore_errors=True)
    copy.rename(ready)
    return []


def beside(site):
    """Put the notebooks beside the pages, and make the pages light and safe."""
    colab.write(site / "run")
    finish(site)


def main():
    parser = argparse.ArgumentParser(description="Render the book strictly.")
    parser.add_argument("out", type=Path, nargs="?", default=Path(), help="the book goes into its _build/html")
    out = parser.parse_args().out
    print("Rendering the book: two minutes the first time, then only what has changed ...", flush=True)
    with until_stopped("The last book that was rendered stays."):
        trouble = build(".", out, beside)
    if trouble:
        sys.exit("\n".join([*trouble, f"The book was not rendered; {out / '_build/build.log'} has the whole report."]))


if __name__ == "__main__":
    main()
