"""The whole book as an EPUB 3: a file for each page, formulas as MathML, figures as they were stored."""

import html
import itertools
import re
import shutil
import subprocess
import uuid
import zipfile
from datetime import UTC, datetime

from book._tools.printed.pages import flat

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">
<head><title>{title}</title><link rel="stylesheet" href="code.css"/><link rel="stylesheet" href="print.css"/></head>
<body>{body}</body></html>"""
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">urn:uuid:{identifier}</dc:identifier>
<dc:title>{title}</dc:title><dc:language>en</dc:language><dc:creator>{author}</dc:creator>
<dc:rights>Text: CC BY 4.0; code: MIT</dc:rights><meta property="dcterms:modified">{modified}</meta></metadata>
<manifest>{manifest}</manifest><spine>{spine}</spine></package>"""
KINDS = {".png": "image/png", ".svg": "image/svg+xml", ".css": "text/css", ".woff2": "font/woff2"}
# The reader of HTML writes all names of SVG in small letters; XML tells them apart.
CAPITALS = re.compile(r"\b(viewbox|preserveaspectratio|clippath|clippathunits|textlength|gradientunits)\b")
CAPITAL = {
    name.lower(): name
    for name in ["viewBox", "preserveAspectRatio", "clipPath", "clipPathUnits", "textLength", "gradientUnits"]
}
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


def xhtml(page):
    """Return a page as XML, its links leading from file to file."""
    for link in page.body.select("a[data-page]"):
        link["href"] = f"{flat(link['data-page'])}.xhtml{link['href']}"
    body = SVG.sub(as_xml, page.body.decode(formatter="minimal"))
    return PAGE.format(title=html.escape(page.title), body=body)


def as_xml(drawing):
    text = CAPITALS.sub(lambda name: CAPITAL[name[0]], drawing[0])
    # HTML allows both, and EPUB does not.
    text = re.sub(r'^(<svg[^>]*) role="group"', r"\1", text).replace('<style class="nohighlight">', "<style>")
    return (
        text
        if "xmlns=" in text.partition(">")[0]
        else text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    )


def navigation(pages, title):
    """Return the table of contents as EPUB wants it."""
    parts = []
    for part, inside in itertools.groupby(pages, key=lambda page: page.part):
        items = "".join(f'<li><a href="{flat(page.name)}.xhtml">{html.escape(page.title)}</a></li>' for page in inside)
        parts.append(f"<li><span>{html.escape(part)}</span><ol>{items}</ol></li>" if part else items)
    body = f'<nav epub:type="toc"><h1>{html.escape(title)}</h1><ol>{"".join(parts)}</ol></nav>'
    return PAGE.format(title="Contents", body=body)


def package(pages, resources, title, author):
    """Return the list of all files, and the order of the pages."""
    items = ['<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>']
    for page in pages:
        has = [name for name in ("math:mathml", "svg:svg") if page.body.find(name.split(":")[0])]
        properties = " ".join(name.split(":")[1] for name in has)
        stated = f' properties="{properties}"' if properties else ""
        name = flat(page.name)
        items.append(f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"{stated}/>')
    for number, path in enumerate(resources):
        items.append(f'<item id="r{number}" href="{path.name}" media-type="{KINDS[path.suffix]}"/>')
    return PACKAGE.format(
        identifier=uuid.uuid5(uuid.NAMESPACE_URL, title),
        title=html.escape(title),
        author=html.escape(author),
        modified=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        manifest="".join(items),
        spine="".join(f'<itemref idref="{flat(page.name)}"/>' for page in pages),
    )


def write(pages, folder, out, title, author):
    """Write the book, whose style and pictures lie in ``folder``."""
    resources = sorted(path for path in folder.iterdir() if path.suffix in KINDS)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr("META-INF/container.xml", CONTAINER)
        book.writestr("book.opf", package(pages, resources, title, author))
        book.writestr("nav.xhtml", navigation(pages, title))
        for path in resources:
            book.write(path, path.name)
        for page in pages:
            book.writestr(f"{flat(page.name)}.xhtml", xhtml(page))


def judged(path):
    """Return what epubcheck says is wrong with an EPUB, a line each; None where epubcheck is not installed."""
    tool = shutil.which("epubcheck")
    if tool is None:
        return None
    # On Debian it is the archive itself, which only a machine with jarwrapper can start by its name.
    command = ["java", "-jar", tool] if zipfile.is_zipfile(tool) else [tool]
    done = subprocess.run([*command, "--quiet", path], capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("ERROR", "FATAL"))]
    return lines or (done.stderr.splitlines()[-1:] if done.returncode else [])
