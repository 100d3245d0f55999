"""Write an empty chapter, with checks and their answers, from templates: ``python -m book._tools.new my_subject``."""

import re
import sys

import jupytext

from book._tools.manifest import ROOT

TEMPLATES = ROOT / "book" / "templates"
# What is written from each template but the notebook's.
BESIDE = {"checks.py.txt": "resnorm_lib/checks", "answers.py.txt": "tests/book/answers"}


def new(name, root=ROOT):
    """Write the chapter ``name``, its checks and their answers, and say what comes next."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        sys.exit(f"NAME is {name!r}, but it must be words in lower case, joined by underscores: NAME=layer_norm")
    path = root / "chapters" / f"{name}.ipynb"
    paths = {path: "chapter.md"} | {root / folder / f"{name}.py": file for file, folder in BESIDE.items()}
    if there := [str(each) for each in paths if each.exists()]:
        sys.exit(f"{there[0]} is there already.")
    title = name.replace("_", " ").capitalize()
    for each, template in paths.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8").replace("TITLE", title)
        text = text.replace("LABEL", name.replace("_", "-")).replace("NAME", name)
        if each is path:
            jupytext.write(jupytext.reads(text, fmt="md:myst"), each)
        else:
            each.write_text(text, encoding="utf-8")
    print(f"Wrote {', '.join(map(str, paths))}.")
    print(f"Add chapters/{name} to _toc.yml and an entry to book/chapters.yml, write, then:")
    print(f"make run CHAPTERS=chapters/{name}.ipynb")


if __name__ == "__main__":
    new("".join(sys.argv[1:]))
