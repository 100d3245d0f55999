"""One PDF of the whole book. Chromium prints it twice: only the first print says on which page each chapter begins."""

import html
import itertools
from pathlib import Path

from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from book._tools import chromium
from book._tools.printed.pages import flat

COVER = (
    '<header class="cover"><h1>{title}</h1><p>Version {version}. Text: CC BY 4.0; code: MIT.</p><p>{note}</p></header>'
)
# Here and not in print.css, which the EPUB has too: it has no pages.
PAPER = """@page { size: A4; margin: 18mm 18mm 20mm; }
@page { @bottom-center { content: counter(page); font: 9pt "DejaVu Sans", sans-serif; } }"""
NOTE = (
    "Printed from the pages of the book. Code that a page folds away, as that which draws a figure, and the plots that "
    "can be moved are on the pages alone; the solutions stand at the end."
)


def contents(pages, starts):
    """Return the table of contents; ``starts`` has the number of the first page of each chapter, once it is known."""
    lines = ["<nav id='contents'><h1>Contents</h1>"]
    for part, inside in itertools.groupby(pages, key=lambda page: page.part):
        lines += [f"<h2>{html.escape(part)}</h2>" if part else "", "<ol>"]
        for page in inside:
            name, title = flat(page.name), html.escape(page.title)
            number = starts.get(name, "")
            lines.append(f'<li><a href="#{name}">{title}</a><span class="at">{number}</span></li>')
        lines.append("</ol>")
    return "\n".join([*lines, "</nav>"])


def document(pages, starts, title, version):
    """Return the book as one page of HTML."""
    head = '<meta charset="utf-8"/><link rel="stylesheet" href="code.css"/><link rel="stylesheet" href="print.css"/>'
    head += f"<style>{PAPER}</style>"
    cover = COVER.format(title=html.escape(title), version=version, note=NOTE)
    bodies = "\n".join(page.body.decode(formatter="minimal") for page in pages)
    return (
        f'<!DOCTYPE html><html lang="en"><head>{head}<title>{html.escape(title)}</title></head><body>'
        f"{cover}{contents(pages, starts)}{bodies}</body></html>"
    )


def starts_of(pdf):
    """Return the page, from 1, on which each place begins that a link of the PDF leads to."""
    read = PdfReader(pdf)
    places = read.named_destinations.items()
    return {name.lstrip("/"): read.get_destination_page_number(place) + 1 for name, place in places}


def write(pages, folder, out, title, version):
    """Print the book, whose style and pictures lie in ``folder``."""
    source = folder / "book.html"
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        starts = {}
        for _ in range(2):
            source.write_text(document(pages, starts, title, version), encoding="utf-8")
            print_page(browser, source, out)
            starts = starts_of(out)
        browser.close()


def print_page(browser, source, out):
    """Print one page as a PDF with an outline, links and tags for screen readers."""
    page = browser.new_page()
    page.set_default_timeout(0)
    page.goto(Path(source).resolve().as_uri(), timeout=0)
    page.pdf(path=out, prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    page.close()
