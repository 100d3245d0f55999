"""The register of errata as pages: its findings, its counts, and links to each finding from anywhere.

``{errata-register} 1`` lists the findings of article 1 in ``book/errata.yml``, ``{errata-of} degradation`` those that a
chapter treats, ``{errata-right}`` what the articles get right, ``{errata-counts}`` counts; ``{erratum}`a1-name``` links
to one finding.
"""

from collections import Counter
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import roles
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

REGISTER = Path(__file__).parents[1] / "errata.yml"
SEVERITIES = ("wrong", "misleading", "incomplete")
SHOWN = {
    "computed": "Computed in the notebook",
    "source": "Settled by the source",
    "reading": "Shown by the article's own text",
}


def load(path=REGISTER):
    """Return the register: ``articles``, ``findings``, ``right``."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class Generated(SphinxDirective):
    """A directive that writes MyST text from the register and lets the page parse it."""

    def run(self):
        self.env.note_dependency(str(REGISTER))
        container = nodes.container()
        self.state.nested_parse(StringList(self.text(load()).splitlines(), str(REGISTER)), 0, container)
        self.mark(container)
        return container.children

    def mark(self, container):
        """Do what the text cannot say."""


class Register(Generated):
    """The findings of one article, each with an address of its own."""

    required_arguments = 1

    def text(self, register):
        [article] = [entry for entry in register["articles"] if str(entry["number"]) == self.arguments[0]]
        own = [finding for finding in register["findings"] if finding["article"] == article["number"]]
        notebook = f"{{doc}}`../chapters/errata_article_{article['number']}`"
        head = f"{article['about']} {len(own)} findings, in the order of its sections, and shown in {notebook}."
        return "\n\n".join([head, *map(finding_text, own)])

    def mark(self, container):
        std = self.env.domains["std"]
        for block in container.findall(nodes.container):
            for name in [name for name in block["classes"] if name.startswith("erratum-")]:
                block["classes"].remove(name)
                block["ids"].append(name)
                std.anonlabels[name] = self.env.docname, name
                std.labels[name] = self.env.docname, name, name


def finding_text(finding):
    """Return one finding as MyST text."""
    name, article = finding["id"], finding["article"]
    classes = f"finding article-{article} kind-{finding['kind']} severity-{finding['severity']} erratum-{name}"
    sections = ", ".join(map(str, finding["sections"]))
    shown = SHOWN[finding["shown"]]
    shown += f": {finding['proof']}" if finding.get("proof") else "."
    places = [f"{{doc}}`../chapters/{chapter}`" for chapter in finding["chapters"]]
    badges = " ".join(f"{{bdg-light}}`{finding[key]}`" for key in ("kind", "severity"))
    lines = [
        f"**{{erratum}}`{name}`** {badges} section {sections}",
        f"*The article:* {finding['claim']}",
        f"*Correct:* {finding['correct']}",
        f"*{shown}*" if not finding.get("proof") else shown,
        "Treated in " + ", ".join(places) + "." if places else "No chapter treats it yet.",
    ]
    if finding["sources"]:
        lines.append("Sources: " + ", ".join(f"{{cite:t}}`{key}`" for key in finding["sources"]) + ".")
    return f"::::{{container}} {classes}\n" + "\n\n".join(line.strip() for line in lines) + "\n::::"


class Of(Generated):
    """The findings that a chapter treats, or that spring from one confusion, folded, each a link."""

    required_arguments = 1

    def text(self, register):
        what = self.arguments[0]
        own = [finding for finding in register["findings"] if what in (finding["root"], *finding["chapters"])]
        lines = [f"- {{erratum}}`{finding['id']}`: {flat(finding['claim'])}" for finding in own]
        title = f"{len(own)} entries of the register of errata belong here"
        return "\n".join([f":::{{admonition}} {title}", ":class: dropdown erratum", "", *lines, ":::"]) if own else ""


class Right(Generated):
    """What the articles get right, and where the book shows it."""

    def text(self, register):
        rows = [
            f"| {r['article']} | {', '.join(map(str, r['sections']))} | {flat(r['claim'])} | {flat(r['shown'])} |"
            for r in register["right"]
        ]
        return "\n".join(["| article | section | what is right | where it is shown |", "|---|---|---|---|", *rows])


class Counts(Generated):
    """How many findings each article has, by severity, and of each kind."""

    def text(self, register):
        findings = register["findings"]
        table = Counter((f["article"], f["severity"]) for f in findings)
        rows = [[f"article {a['number']}", *(table[a["number"], s] for s in SEVERITIES)] for a in register["articles"]]
        rows.append(["all", *(sum(row[i] for row in rows) for i in (1, 2, 3))])
        head = ["", *SEVERITIES, "together"]
        lines = [[*row, sum(row[1:])] for row in rows]
        text = ["| " + " | ".join(map(str, line)) + " |" for line in [head, ["---"] * 5, *lines]]
        kinds = Counter(f["kind"] for f in findings).most_common()
        return "\n".join([*text, "", "By kind: " + ", ".join(f"{kind} {count}" for kind, count in kinds) + "."])


def flat(text):
    """Return text that fits into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def erratum(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Link to a finding by its id."""
    link = addnodes.pending_xref(
        rawtext, refdomain="std", reftype="ref", reftarget=f"erratum-{text}", refexplicit=True, refwarn=True
    )
    link += nodes.literal(text, text)
    link["refdoc"] = inliner.document.settings.env.docname
    return [link], []


DIRECTIVES = {
    "errata-register": Register,
    "errata-of": Of,
    "errata-right": Right,
    "errata-counts": Counts,
}


def setup(app):
    roles.register_local_role("erratum", erratum)
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.add_js_file("errata.js", defer="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
