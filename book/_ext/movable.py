"""Movable plots: their script goes to the pages that have one, and looks for the places there."""


def add_script(app, pagename, templatename, context, doctree):
    if doctree and any(doctree.findall(is_place)):
        app.add_js_file("movable/start.js", loading_method="defer")


def is_place(node):
    return "movable" in getattr(node, "attributes", {}).get("classes", ())


def setup(app):
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
