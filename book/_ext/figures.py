"""Figures keep their place while a page loads, load when they come near the screen, and open in full when touched."""

import functools
import re
from pathlib import Path

from PIL import Image

IMAGE = re.compile(r'<img (?![^>]*loading=)([^>]*src="([^"]*_images/([^"]+))"[^>]*>)')


@functools.cache
def size(path):
    """Return width and height of a picture in pixels."""
    with Image.open(path) as image:
        return image.size


def place(app, pagename, templatename, context, doctree):
    """Write width and height of each PNG on a page into its tag, and make it a link to the picture alone."""
    sources = {name: path for path, name in app.builder.images.items() if name.endswith(".png")}

    def placed(match):
        rest, address, name = match.groups()
        if name not in sources:
            return match[0]
        width, height = size(Path(app.srcdir) / sources[name])
        return f'<a class="full" href="{address}"><img loading="lazy" width="{width}" height="{height}" {rest}</a>'

    if "body" in context and app.builder.name == "html":
        context["body"] = IMAGE.sub(placed, context["body"])


def setup(app):
    app.connect("html-page-context", place)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
