"""Mend what the tools write and a screen reader stumbles over."""

import re

TOGGLE = "<summary>"
NAMED_TOGGLE = '<summary aria-label="Pages of this part">'


MENDS = (
    # The list around entries of the bibliography asks for this role; ARIA has withdrawn the other.
    (r'role="doc-biblioentry"', 'role="listitem"'),
    # The keyboard reaches a table that scrolls beside its first column.
    (r'class="pst-scrollable-table-container"', r'\g<0> tabindex="0"'),
    # Frames of exercises, solutions and algorithms: every one of a page has the same id.
    (r' id="(exercise|solution|proof)-content"', ""),
    # What unfolds a cell is called what it says: its label would be another name.
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    # The corner of a table that says nothing is no heading.
    (r'<th class="head">(<p></p>)?</th>', "<td></td>"),
)


def mend(app, pagename, templatename, context, doctree):
    """Mend the body of a page."""
    for fault, right in MENDS if "body" in context else ():
        context["body"] = re.sub(fault, right, context["body"])


def name_toggles(app, pagename, templatename, context, doctree):
    """Give the arrows that unfold the navigation a name."""
    generate = context["generate_toctree_html"]

    def named(*arguments, **options):
        return str(generate(*arguments, **options)).replace(TOGGLE, NAMED_TOGGLE)

    context["generate_toctree_html"] = named


def flatten_module_list(app, pagename, templatename, context, doctree):
    """Make one list of all modules: Sphinx puts that of a package's modules between two items, where none may be."""
    if pagename == "_modules/index":
        before, body = context["body"].split("<ul>", 1)
        context["body"] = before + "<ul>\n" + "\n".join(re.findall("<li>.*?</li>", body)) + "\n</ul>\n"


def setup(app):
    app.connect("html-page-context", flatten_module_list)
    app.connect("html-page-context", mend)
    # after the theme, which brings the function
    app.connect("html-page-context", name_toggles, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
