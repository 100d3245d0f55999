"""Mend what the tools write and a screen reader stumbles over."""

import re

TOGGLE = "<summary>"
NAMED_TOGGLE = '<summary aria-label="Pages of this part">'


def name_bibliography_items(app, pagename, templatename, context, doctree):
    """Give entries of the bibliography the role that the list around them asks for; ARIA has withdrawn the other."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def reach_wide_tables(app, pagename, templatename, context, doctree):
    """Let the keyboard reach a table that scrolls beside its first column."""
    if "body" in context:
        frame = 'class="pst-scrollable-table-container"'
        context["body"] = context["body"].replace(frame, f'{frame} tabindex="0"')


def drop_repeated_ids(app, pagename, templatename, context, doctree):
    """Take the id from the frames of exercises, solutions and algorithms: every one of a page has the same."""
    if "body" in context:
        context["body"] = re.sub(r' id="(exercise|solution|proof)-content"', "", context["body"])


def unname_folds(app, pagename, templatename, context, doctree):
    """Let what unfolds a cell be called what it says: its label would be another name."""
    if "body" in context:
        context["body"] = context["body"].replace('<summary aria-label="Toggle hidden content">', "<summary>")


def leave_empty_heads(app, pagename, templatename, context, doctree):
    """Let the corner of a table that says nothing be no heading."""
    if "body" in context:
        context["body"] = re.sub(r'<th class="head">(<p></p>)?</th>', "<td></td>", context["body"])


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
    app.connect("html-page-context", name_bibliography_items)
    app.connect("html-page-context", drop_repeated_ids)
    app.connect("html-page-context", reach_wide_tables)
    app.connect("html-page-context", unname_folds)
    app.connect("html-page-context", leave_empty_heads)
    # after the theme, which brings the function
    app.connect("html-page-context", name_toggles, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
