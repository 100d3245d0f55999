"""Below the title of each chapter: its notebook for plain Jupyter and Colab, what it needs, and how to run them.

``book/_tools/colab.py`` puts both beside the pages.
"""

from book._tools.colab import ARCHIVE

LINE = (
    '<p class="run-it">Run it: <a href="{notebook}" download>the notebook</a> for Jupyter and Colab, with '
    '<a href="{archive}" download>the library and the recorded runs</a> beside it; <a href="{how}">how</a>.</p>'
)


def offer(app, pagename, templatename, context, doctree):
    folder, _, name = pagename.rpartition("/")
    if folder == "chapters" and app.builder.name == "html":
        pathto = context["pathto"]
        line = LINE.format(
            notebook=pathto(f"run/{name}.ipynb", 1),
            archive=pathto(f"run/{ARCHIVE}", 1),
            how=f"{pathto('book/how_to_run')}#on-colab-or-in-any-jupyter",
        )
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{line}", 1)


def setup(app):
    app.connect("html-page-context", offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
