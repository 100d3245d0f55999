"""The register of errata as pages: its findings and its counts.

``{errata-register} 1`` lists the findings of article 1 in ``book/errata.yml``, ``{errata-register} shared`` those of
several articles, ``{errata-top}`` those that matter most, ``{errata-of} degradation`` those that a chapter treats (and
``{errata-of} book/tools`` a page), ``{errata-right}`` what the articles get right, ``{errata-counts}`` counts.
``erratum.py`` links to findings.
"""

from collections import Counter
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

REGISTER = Path(__file__).parents[1] / "errata.yml"
SEVERITIES = ("wrong", "misleading", "incomplete")
SHOWN = {
    "computed": "Computed in the notebook",
    "illustrated": "Illustrated in the notebook",
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


def names(finding):
    """Return ``{name: sections}``, its own name first: a finding has a name for each article, sometimes more."""
    return {finding["id"]: finding["sections"], **finding.get("also", {})}


def marks(finding):
    """Return the pairs of :func:`names` in the order of the articles."""
    return sorted(names(finding).items(), key=lambda mark: number(mark[0]))


def articles(finding):
    """Return the numbers of the articles that a finding is about."""
    return sorted({number(name) for name in names(finding)})


def number(name):
    """Return the number of the article that a name begins with."""
    return int(name[1])


class Register(Generated):
    """The findings of one article alone, or those that several share; each name has an address."""

    required_arguments = 1

    def text(self, register):
        which = self.arguments[0]
        shared = [finding for finding in register["findings"] if len(articles(finding)) > 1]
        if which == "shared":
            head = f"{len(shared)} findings are about several articles and stand here once, with a mark for each place."
            return "\n\n".join([head, *map(finding_text, shared)])
        own = [finding for finding in register["findings"] if articles(finding) == [int(which)]]
        more = sum(int(which) in articles(finding) for finding in shared)
        [article] = [entry for entry in register["articles"] if str(entry["number"]) == which]
        head = (
            f"{article['about']} {len(own)} findings of its own, in the order of its sections; {more} more are among "
            f"{{doc}}`shared`. All are shown in {{doc}}`/chapters/errata_article_{which}`."
        )
        return "\n\n".join([head, *map(finding_text, own)])

    def mark(self, container):
        for block in container.findall(nodes.container):
            for name in [name for name in block["classes"] if name.startswith("erratum-")]:
                block["classes"].remove(name)
                block["ids"].append(name)
                label(self.env, name, name)


def label(env, name, id):
    """Let links lead to an id of the page that is being read."""
    std = env.domains["std"]
    std.anonlabels[name] = env.docname, id
    std.labels[name] = env.docname, id, name


def finding_text(finding):
    """Return one finding as MyST text."""
    classes = ["finding", *(f"article-{number}" for number in articles(finding))]
    classes += [f"{key}-{finding[key]}" for key in ("kind", "severity", "root")]
    classes += [f"erratum-{name}" for name in names(finding)]  # the first is its id
    shown = SHOWN[finding["shown"]]
    shown += f": {finding['proof']}" if finding.get("proof") else "."
    badges = " ".join(f"{{bdg-light}}`{finding[key]}`" for key in ("severity", "kind"))
    lines = [
        f"{badges} {', '.join(map(place, marks(finding)))}",
        f"*Claimed:* {finding['claim']}",
        f"*Correct:* {finding['correct']}",
        shown,
    ]
    if finding["chapters"]:
        lines.append("Treated in " + ", ".join(f"{{doc}}`/{docname(place)}`" for place in finding["chapters"]) + ".")
    if finding["sources"]:
        lines.append("Sources: " + ", ".join(f"{{cite:t}}`{key}`" for key in finding["sources"]) + ".")
    return f"::::{{container}} {' '.join(classes)}\n" + "\n\n".join(line.strip() for line in lines) + "\n::::"


def docname(place):
    """Return the page that treats something: a chapter goes by its name alone, a page of ``book/`` with its folder."""
    return place if "/" in place else f"chapters/{place}"


def place(mark):
    """Return a link to the paragraph of a notebook that shows a finding, as ``article 1, 2.2 and 3.2``."""
    name, sections = mark
    return f"{{ref}}`article {number(name)} ({', '.join(map(str, sections))}) <shown-{name}>`"


class Top(Generated):
    """The findings that matter most, a line each."""

    def text(self, register):
        links = [", ".join(f"{{erratum}}`{name}`" for name in entry["findings"]) for entry in register["top"]]
        return "\n".join(f"1. {entry['says']} {link}" for entry, link in zip(register["top"], links))


class Of(Generated):
    """The findings that a chapter treats, or that spring from one confusion, folded, each a link."""

    required_arguments = 1

    def text(self, register):
        return treated(self.arguments[0], register)


def treated(what, register):
    """Return a folded list of the findings that a chapter treats, or that spring from one confusion."""
    own = [finding for finding in register["findings"] if what in (finding["root"], *finding["chapters"])]
    lines = [f"- {{erratum}}`{finding['id']}`: {flat(finding['claim'])}" for finding in own]
    title = f"{len(own)} entries of the register of errata belong here"
    return "\n".join([f":::{{admonition}} {title}", ":class: dropdown erratum", "", *lines, ":::"]) if own else ""


class Right(Generated):
    """What the articles get right, and where the book shows it."""

    def text(self, register):
        rows = [
            f"| {r['article']}: {', '.join(map(str, r['sections']))} | {flat(r['claim'])} | {flat(r['shown'])} |"
            for r in register["right"]
        ]
        return "\n".join(["| article: sections | what is right | where it is shown |", "|---|---|---|", *rows])


class Counts(Generated):
    """How many findings each article has, those that it shares included, by severity; and how many are of each kind."""

    def text(self, register):
        findings = register["findings"]
        rows = [[f"{a['number']}", *by_severity(findings, a["number"])] for a in register["articles"]]
        rows.append(["all", *(sum(f["severity"] == severity for f in findings) for severity in SEVERITIES)])
        head = ["article", *SEVERITIES, "sum"]
        lines = [[*row, sum(row[1:])] for row in rows]
        text = ["| " + " | ".join(map(str, line)) + " |" for line in [head, ["---"] * 5, *lines]]
        kinds = Counter(f["kind"] for f in findings).most_common()
        return "\n".join([*text, "", "By kind: " + ", ".join(f"{kind} {count}" for kind, count in kinds) + "."])


def by_severity(findings, article):
    return [sum(f["severity"] == severity and article in articles(f) for f in findings) for severity in SEVERITIES]


def flat(text):
    """Return text that fits into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


DIRECTIVES = {
    "errata-register": Register,
    "errata-top": Top,
    "errata-of": Of,
    "errata-right": Right,
    "errata-counts": Counts,
}


def add_filter(app, pagename, templatename, context, doctree):
    """Bring the script that filters findings to the pages that have some."""
    if pagename.startswith("book/errata/"):
        app.add_js_file("errata.js", defer="defer")


def setup(app):
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.connect("html-page-context", add_filter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
