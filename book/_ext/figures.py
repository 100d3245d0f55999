"""Figures keep their place while a page loads, and load when they come near the screen."""

import functools
import re
from pathlib import Path

from PIL import Image

IMAGE = re.compile(r'<img (?![^>]*loading=)(?=[^>]*src="[^"]*_images/([^"]+)")')


@functools.cache
def size(path):
    """Return width and height of a picture in pixels."""
    with Image.open(path) as image:
        return image.size


def give_sizes(app, pagename, templatename, context, doctree):
    """Write width and height of each PNG on a page into its tag."""
    sources = {name: path for path, name in app.builder.images.items() if name.endswith(".png")}

    def sized(match):
        if match[1] not in sources:
            return match[0]
        width, height = size(Path(app.srcdir) / sources[match[1]])
        return f'<img loading="lazy" width="{width}" height="{height}" '

    if "body" in context:
        context["body"] = IMAGE.sub(sized, context["body"])


def setup(app):
    app.connect("html-page-context", give_sizes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
