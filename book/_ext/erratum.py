"""Links to the findings of the register of errata, from anywhere.

``{erratum}`a1-name``` links to one finding; the first such link in the notebook of its article is where the finding is
shown, and the register links back to it. ``{errata-names}`` lists all names.
"""

from docutils import nodes
from docutils.parsers.rst import roles
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from book._ext import errata


class Names(SphinxDirective):
    """All names in columns, each a link; a name has here the address that its finding had when all were on one page."""

    def run(self):
        self.env.note_dependency(str(errata.REGISTER))
        every = sorted(name for finding in errata.load()["findings"] for name in errata.names(finding))
        made = []
        for article in sorted({errata.number(name) for name in every}):
            own = [name for name in every if errata.number(name) == article]
            made.append(nodes.paragraph("", "", nodes.strong("", f"Article {article}")))
            made.append(nodes.bullet_list("", *map(self.item, own), classes=["errata-names"]))
        return made

    def item(self, name):
        return nodes.list_item("", nodes.paragraph("", "", link_to(name, self.env)), ids=[f"erratum-{name}"])


def link_to(name, env):
    """Return a link to the finding of that name."""
    link = addnodes.pending_xref(
        name, refdomain="std", reftype="ref", reftarget=f"erratum-{name}", refexplicit=True, refwarn=True
    )
    link += nodes.literal(name, name)
    link["refdoc"] = env.docname
    return link


def erratum(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Link to a finding by its name."""
    document = inliner.document
    env = document.settings.env
    link = link_to(text, env)
    shown = f"shown-{text}"
    if not env.docname.endswith(f"/errata_article_{text[1:2]}") or shown in document.ids:
        return [link], []
    target = document.ids[shown] = nodes.target("", "", ids=[shown])
    errata.label(env, shown, shown)
    return [target, link], []


def setup(app):
    roles.register_local_role("erratum", erratum)
    app.add_directive("errata-names", Names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
