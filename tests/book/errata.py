"""What must hold between the register of errata, its notebooks and the chapters: each check returns sentences."""

import itertools
import re
from collections import Counter
from functools import cache

import yaml

from book._tools.cells import code_cells, printed_text, read, shows_errata
from book._tools.myst import directives
from tests.book.notebooks import claim_ids
from tests.book.sources import ROOT, chapters, pages

ROLE = re.compile(r"\{erratum\}`([^`]*)`")
SHOWN = re.compile(r"^shown  (\S+)  ", re.MULTILINE)
ID = re.compile(r"a(?P<article>[1-5])(-[a-z0-9]+)+")
FIELDS = {
    "id": str,
    "article": int,
    "sections": list,
    "claim": str,
    "kind": str,
    "severity": str,
    "correct": str,
    "shown": str,
    "proof": str,
    "sources": list,
    "chapters": list,
    "root": str,
}
OPTIONAL = {"also": dict}  # names of the same finding in other places, with their sections
ALLOWED = {
    "kind": [
        "name",
        "definition",
        "formula",
        "axes",
        "arithmetic",
        "code",
        "diagram",
        "cause",
        "history",
        "attribution",
        "tool",
        "advice",
        "contradiction",
        "heading",
        "omission",
    ],
    "severity": ["wrong", "misleading", "incomplete"],
    "shown": ["computed", "illustrated", "source", "reading"],
    "root": ["which-axes", "what-is-added", "what-is-solved", "where-it-goes", "promise-vs-proof", "other"],
}


@cache
def register(root=ROOT):
    """Return the register as it is in ``book/errata.yml``."""
    return yaml.safe_load((root / "book/errata.yml").read_text(encoding="utf-8"))


def names(finding):
    """Return all names of a finding, its own first."""
    return [finding["id"], *finding.get("also", {})]


def findings_are_complete(root=ROOT):
    """The page, the counts and the links are made from these fields."""
    found = []
    for finding in register(root)["findings"]:
        name = finding.get("id")
        wrong = [key for key, kind in FIELDS.items() if not isinstance(finding.get(key), kind)]
        found += [f"{name}: {key} is {finding.get(key)!r}." for key in wrong]
        found += [f"{name}: {key} is not a field." for key in finding.keys() - FIELDS.keys() - OPTIONAL.keys()]
        if wrong:
            continue
        found += [f"{name}: {key} is {finding[key]!r}." for key in ALLOWED if finding[key] not in ALLOWED[key]]
        found += [f"{name}: {key} is empty." for key in ("claim", "correct", "proof", "sections") if not finding[key]]
        match = ID.fullmatch(name)
        if not match or int(match["article"]) != finding["article"]:
            found.append(f"{name}: the id must be a{finding['article']}- and words.")
        found += [f"{name}: {other} is no name." for other in names(finding)[1:] if not ID.fullmatch(other)]
        if finding["shown"] == "source" and not finding["sources"]:
            found.append(f"{name}: a source settles it, but none is named.")
    return found


def findings_are_distinct(root=ROOT):
    """Two findings of one name have one address."""
    findings = register(root)["findings"]
    counted = Counter(name for finding in findings for name in names(finding))
    same = [text for text, count in Counter((f["article"], f["claim"].strip()) for f in findings).items() if count > 1]
    repeated = [name for name, count in counted.items() if count > 1]
    return [f"{name} is there twice." for name in repeated] + [f"Article {a} claims twice: {t}" for a, t in same]


def twelve_matter_most(root=ROOT):
    """What stands on top of the page is in the register, and is false there."""
    severity = {f["id"]: f["severity"] for f in register(root)["findings"]}
    top = [name for entry in register(root)["top"] for name in entry["findings"]]
    return [f"{name} stands on top and is {severity.get(name)}." for name in top if severity.get(name) != "wrong"]


def sources_are_cited(root=ROOT):
    """A source that the bibliography does not know cannot be looked up."""
    known = set(
        re.findall(r"^@\w+\{([^,\s]+),", (root / "book/references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    )
    return [f"{f['id']} cites {key}." for f in register(root)["findings"] for key in f["sources"] if key not in known]


def every_finding_is_shown(root=ROOT):
    """Each name stands in the notebook of its article; what is computed, and no other, makes a claim."""
    found, mentioned, claimed, illustrated = [], set(), set(), set()
    for path in filter(shows_errata, chapters(root)):
        notebook = read(path)
        article = path.stem.removeprefix("errata_article_")
        mentioned |= {name for name in ROLE.findall(_markdown(notebook)) if name.startswith(f"a{article}-")}
        claimed |= {id.removeprefix("erratum.") for id in claim_ids(notebook)}
        illustrated |= {name for cell, _ in code_cells(notebook) for name in SHOWN.findall(printed_text(cell))}
    for finding in register(root)["findings"]:
        own = set(names(finding))
        found += [f"{name} is not in the notebook of article {name[1]}." for name in sorted(own - mentioned)]
        shown = finding["shown"]
        if (shown == "computed") != bool(own & claimed) or (shown == "illustrated" and not own & illustrated):
            found.append(f"{finding['id']} is shown by {shown}, which its notebook does not bear out.")
    return found


def links_lead_to_findings(root=ROOT):
    """A link to a finding that is not registered."""
    known = {name for finding in register(root)["findings"] for name in names(finding)}
    texts = {path: _markdown(read(path)) for path in chapters(root)}
    texts |= {path: path.read_text(encoding="utf-8") for path in pages(root)}
    return [
        f"{path.relative_to(root)} links to {name}."
        for path, text in texts.items()
        for name in ROLE.findall(text)
        if name not in known
    ]


def boxes_and_register_agree(root=ROOT):
    """Every box links to findings, which name its chapter; and each chapter lists what the register gives to it."""
    treated = {name: finding["chapters"] for finding in register(root)["findings"] for name in names(finding)}
    found, treating = [], {path.relative_to(root).with_suffix("").as_posix() for path in pages(root) if lists(path)}
    for path in itertools.filterfalse(shows_errata, chapters(root)):
        treating.add(path.stem)
        page = directives(_markdown(read(path)))
        for box in (each for each in page if "erratum" in each.options.get("class", "").split()):
            linked = ROLE.findall(box.body)
            if not linked:
                found.append(f"{path.stem}: a box links to no finding: {box.body.strip()[:60]!r}.")
            found += [
                f"{path.stem} treats {name}, which the register does not say."
                for name in linked
                if name in treated and path.stem not in treated[name]
            ]
        listed = [each.argument for each in page if each.name == "errata-of"]
        if listed != [path.stem]:
            found.append(f"{path.stem} lists the findings of {listed}, not its own.")
    return found + [
        f"{name} is treated in {chapter}, which is no chapter."
        for name, places in treated.items()
        for chapter in places
        if chapter not in treating
    ]


def lists(page):
    """Return whether a page of prose lists the findings that it treats."""
    own = f"book/{page.stem}"
    return any(
        each.argument == own for each in directives(page.read_text(encoding="utf-8")) if each.name == "errata-of"
    )


def _markdown(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
