"""The book as a PDF and as an EPUB: ``python -m book._tools.printed PAGES OUT``.

PAGES is the folder in which `make book` has rendered the pages, before it makes them light for browsers.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

import resnorm_lib
from book._tools import chromium
from book._tools.manifest import ROOT, listed
from book._tools.printed import epub, pages, pdf

NAME = "residual-connections-and-normalization"
FONT = '@font-face { font-family: "STIX Two Math"; src: url("formulas.woff2") format("woff2"); }\n'


def gather(site, book, folder):
    """Put the pictures that the pages show, the font of formulas and the style of a print into a folder."""
    for name in {image["src"] for page in book for image in page.body.select("img[src]")}:
        shutil.copy(next(path for place in ("_images", "_static") if (path := site / place / name).exists()), folder)
    shutil.copy(site / "_static/formulas.woff2", folder)
    style = (site / "_static/pygments.css").read_text(encoding="utf-8")
    light = [line for line in style.splitlines() if 'data-theme="light"' in line and ".highlight ." in line]
    colours = re.sub(r'html\[data-theme="light"\] ', "", "\n".join(light))
    (folder / "code.css").write_text(FONT + colours, encoding="utf-8")
    shutil.copy(Path(__file__).with_name("print.css"), folder)


def main(site, out):
    if not chromium.executable():
        sys.exit("make print needs a Chromium or Chrome: make browser installs one on Debian and Ubuntu.")
    site, out = Path(site), Path(out)
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    book = pages.read(site, listed())
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gather(site, book, folder)
        print("Printing the book, twice: a few minutes ...", flush=True)
        pdf.write(book, folder, out / f"{NAME}.pdf", config["title"], resnorm_lib.__version__)
        epub.write(book, folder, out / f"{NAME}.epub", config["title"], config["author"])
    print(f"Wrote {out / NAME}.pdf and .epub")
    faults = epub.judged(out / f"{NAME}.epub")
    if faults:
        sys.exit("\n".join(["epubcheck finds faults:", *faults]))
    print(
        "epubcheck is not installed, so that nobody has judged the EPUB." if faults is None else "epubcheck: no fault"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
