"""Write an empty chapter from the template: ``python -m book._tools.new my_subject``."""

import re
import sys

import jupytext

from book._tools.manifest import ROOT

TEMPLATE = ROOT / "book" / "templates" / "chapter.md"


def new(name):
    """Write the chapter ``name``, and say what comes next."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        sys.exit(f"NAME is {name!r}, but it must be words in lower case, joined by underscores: NAME=layer_norm")
    path = ROOT / "chapters" / f"{name}.ipynb"
    if path.exists():
        sys.exit(f"{path} is there already.")
    title = name.replace("_", " ").capitalize()
    text = TEMPLATE.read_text().replace("TITLE", title).replace("LABEL", name.replace("_", "-")).replace("NAME", name)
    jupytext.write(jupytext.reads(text, fmt="md:myst"), path)
    print(f"Wrote {path}. Add chapters/{name} to _toc.yml and an entry to book/chapters.yml, write, then:")
    print(f"make run CHAPTERS=chapters/{name}.ipynb")


if __name__ == "__main__":
    new("".join(sys.argv[1:]))
