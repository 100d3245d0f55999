"""What a book needs where it is published: pages for a wrong and for the bare address, and a list for search engines.

``html: baseurl`` in ``_config.yml`` is the address that it is published at; `make address` sets it. Without one there
is no list, as its entries must be whole addresses.
"""

from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.sax.saxutils import escape

import jinja2

from book._ext import front, head

TEMPLATES = Path(__file__).parents[1] / "_templates"
PICTURE = "_static/front.png"  # for previews of links


def sitemap(addresses):
    """Return a list of pages as search engines read it."""
    entries = "\n".join(f"<url><loc>{escape(address)}</loc></url>" for address in addresses)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}\n</urlset>\n'


def page(template, app):
    """Return a page that stands outside the book."""
    base = app.config.html_baseurl
    description = head.first_paragraph(app.env.get_doctree(app.config.root_doc))
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    return templates.get_template(template).render(
        title=app.config.html_title or app.config.project,
        description=head.shortened(description),
        base=base,
        picture=urljoin(base, PICTURE),
        folder=urlsplit(base).path or "/",
        start=app.builder.get_target_uri(app.config.root_doc),
    )


def write(app, exception):
    if exception or app.builder.format != "html" or app.builder.name == "epub":
        return
    out = Path(app.outdir)
    (out / ".nojekyll").touch()  # GitHub's own page maker would leave out the folders that begin with _
    (out / "404.html").write_text(page("404.html", app), encoding="utf-8")
    if app.config.root_doc != "index":
        (out / "index.html").write_text(page("start.html", app), encoding="utf-8")
    if base := app.config.html_baseurl:
        addresses = [urljoin(base, app.builder.get_target_uri(name)) for name in sorted(app.env.found_docs)]
        (out / "sitemap.xml").write_text(sitemap(addresses), encoding="utf-8")
        front.save_picture(out / PICTURE)


def preview(app, pagename, templatename, context, doctree):
    """Say where the picture is that stands beside a link to the book."""
    if app.config.html_baseurl:
        context["picture"] = urljoin(app.config.html_baseurl, PICTURE)


def setup(app):
    app.connect("html-page-context", preview)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
