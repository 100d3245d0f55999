"""Below the title of each chapter: its notebook for plain Jupyter and Colab, what it needs, and how to run them.

``book/_tools/colab.py`` puts both beside the pages. Where the book has a repository on GitHub, its branch ``gh-pages``
holds what `.github/workflows/publish.yml` published, and Colab opens notebooks from there.
"""

import re

from book._tools.colab import ARCHIVE

LINE = (
    '<p class="run-it">Run it: {colab}<a href="{notebook}" download>the notebook</a> for Jupyter and Colab, with '
    '<a href="{archive}" download>the library and the recorded runs</a> beside it; <a href="{how}">how</a>.</p>'
)
COLAB = '<a href="https://colab.research.google.com/github/{}/blob/gh-pages/run/{}.ipynb">in Colab</a>, or '


def in_colab(repository, name):
    """Return the link that opens a chapter in Colab; "" where no one has published it."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", repository)
    return COLAB.format(found[1], name) if found else ""


def offer(app, pagename, templatename, context, doctree):
    folder, _, name = pagename.rpartition("/")
    if folder == "chapters" and app.builder.name == "html":
        pathto = context["pathto"]
        line = LINE.format(
            colab=in_colab(app.config.html_theme_options.get("repository_url") or "", name),
            notebook=pathto(f"run/{name}.ipynb", 1),
            archive=pathto(f"run/{ARCHIVE}", 1),
            how=f"{pathto('book/how_to_run')}#on-colab-or-in-any-jupyter",
        )
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{line}", 1)


def setup(app):
    app.connect("html-page-context", offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
