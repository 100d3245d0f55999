"""Below the title of each chapter: its notebook for plain Jupyter and Colab, what it needs, and how to run them.

``book/_tools/colab.py`` puts both beside the pages. Where the book has a repository on GitHub, its branch ``gh-pages``
holds what `.github/workflows/publish.yml` published, and Colab opens notebooks from there.
"""

import re

from docutils import nodes
from docutils.parsers.rst import roles

from book._tools.colab import ARCHIVE, WHEEL

LINE = (
    '<p class="run-it">Run it: {colab}<a href="{notebook}" download>the notebook</a> for Jupyter and Colab, with '
    '<a href="{archive}" download>the library and the recorded runs</a> beside it; <a href="{how}">how</a>. The '
    'library alone: <a href="{wheel}" download>its wheel</a>, for <code>pip install {file}</code>.</p>'
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
            wheel=pathto(f"run/{WHEEL}", 1),
            file=WHEEL,
            how=f"{pathto('book/how_to_run')}#on-colab-or-in-any-jupyter",
        )
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{line}", 1)


def wheel(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Link to the wheel, which lies beside the pages when they are finished: ``{wheel}`pip install ...```."""
    up = "../" * inliner.document.settings.env.docname.count("/")
    link = nodes.reference("", "", refuri=f"{up}run/{WHEEL}", internal=True, classes=["wheel"])
    link += nodes.literal("", f"{text} {WHEEL}")
    return [link], []


def setup(app):
    roles.register_local_role("wheel", wheel)
    app.connect("html-page-context", offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
