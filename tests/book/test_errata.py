"""The register of errata, its notebooks and the chapters agree; a planted disagreement is named."""

import copy

import nbformat
import pytest
import yaml

from tests.book import errata, planted

CHECKS = [
    errata.findings_are_complete,
    errata.findings_are_distinct,
    errata.twelve_matter_most,
    errata.sources_are_cited,
    errata.every_finding_is_shown,
    errata.links_lead_to_findings,
    errata.boxes_and_register_agree,
]
FINDING = {
    "id": "a1-demo",
    "article": 1,
    "sections": ["2.1"],
    "claim": "It adds the wrong thing.",
    "kind": "formula",
    "severity": "wrong",
    "correct": "It adds $x$.",
    "shown": "computed",
    "proof": "The two sums differ.",
    "sources": ["he2016deep"],
    "chapters": ["demo"],
    "root": "what-is-added",
}
BOX = (
    ":::{admonition} A common mistake\n:class: dropdown erratum\nArticle 1 adds wrong things: {erratum}`a1-demo`.\n:::"
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_book_has_no_fault(check):
    found = check()
    assert not found, "\n".join(found)


def test_there_are_well_over_two_hundred_findings():
    assert len(errata.register()["findings"]) > 220


class Project:
    """A book of one chapter, one errata notebook and one finding."""

    def __init__(self, root):
        self.root, self.finding, self.box, self.list = root, copy.deepcopy(FINDING), BOX, "```{errata-of} demo\n```"
        self.shown = "{erratum}`a1-demo`: the sums differ."
        self.claim = "holds  erratum.a1-demo  they differ  1 >= 0.001"
        self.more, self.top = [], ["a1-demo"]

    def write(self):
        (self.root / "book").mkdir(exist_ok=True)
        (self.root / "chapters").mkdir(exist_ok=True)
        top = [{"says": "It adds the wrong thing.", "findings": self.top}]
        register = {"top": top, "findings": [self.finding, *self.more], "right": []}
        (self.root / "book/errata.yml").write_text(yaml.safe_dump(register))
        (self.root / "book/references.bib").write_text("@inproceedings{he2016deep,\n}\n")
        chapter = planted.notebook([planted.markdown(self.box), planted.markdown(self.list)])
        shown = planted.notebook([planted.markdown(self.shown), planted.code("differ()", planted.stream(self.claim))])
        for name, notebook in (("demo", chapter), ("errata_article_1", shown)):
            (self.root / f"chapters/{name}.ipynb").write_text(nbformat.writes(notebook))
        errata.register.cache_clear()
        return [problem for check in CHECKS for problem in check(self.root)]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_the_honest_book_has_no_fault(project):
    assert project.write() == []


FAULTS = {
    "a1-demo: kind is 'opinion'.": lambda p: p.finding.update(kind="opinion"),
    "a1-demo: severity is None.": lambda p: p.finding.update(severity=None),
    "a1-demo: note is not a field.": lambda p: p.finding.update(note="?"),
    "a1-demo: correct is empty.": lambda p: p.finding.update(correct=""),
    "a1-demo: the id must be a2- and words.": lambda p: p.finding.update(article=2),
    "a1-demo cites nobody.": lambda p: p.finding.update(sources=["nobody"]),
    "a1-demo is shown by source, which its notebook does not bear out.": lambda p: p.finding.update(shown="source"),
    "which its notebook does not bear out": lambda p: setattr(p, "claim", "nothing"),
    "a1-demo is shown by illustrated, which its notebook does not bear out.": lambda p: p.finding.update(
        shown="illustrated"
    ),
    "a1-other is not in the notebook of article 1.": lambda p: p.finding.update(also={"a1-other": ["3"]}),
    "a1-demo: other is no name.": lambda p: p.finding.update(also={"other": ["3"]}),
    "a1-demo stands on top and is misleading.": lambda p: p.finding.update(severity="misleading"),
    "a1-gone stands on top and is None.": lambda p: p.top.append("a1-gone"),
    "a1-demo is not in the notebook of article 1.": lambda p: setattr(p, "shown", "No link."),
    "chapters/demo.ipynb links to a1-gone.": lambda p: setattr(p, "box", p.box + "\n\n{erratum}`a1-gone`"),
    "a box links to no finding: 'Article 1": lambda p: setattr(p, "box", p.box.replace("{erratum}`a1-demo`", "so")),
    "demo treats a1-demo, which the register does not say.": lambda p: p.finding.update(chapters=[]),
    "demo lists the findings of [], not its own.": lambda p: setattr(p, "list", "Nothing."),
    "a1-demo is treated in gone, which is no chapter.": lambda p: p.finding.update(chapters=["demo", "gone"]),
    "a1-demo is there twice.": lambda p: p.more.append(FINDING | {"claim": "Another."}),
    "Article 1 claims twice: It adds the wrong thing.": lambda p: p.more.append(FINDING | {"id": "a1-more"}),
}


def test_a_page_treats_a_finding_if_it_lists_it(project):
    project.finding["chapters"].append("book/tools")
    assert project.write() == ["a1-demo is treated in book/tools, which is no chapter."]
    (project.root / "book/tools.md").write_text("# Tools\n\n```{errata-of} book/tools\n```\n")
    assert project.write() == []


def test_every_finding_is_treated_somewhere():
    """Where a reader learns what is right, beside the notebook that shows what is wrong."""
    left = {finding["id"] for finding in errata.register()["findings"] if not finding["chapters"]}
    assert not left, "give it its chapter"


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_planted_fault_is_named(sentence, project):
    FAULTS[sentence](project)
    assert [problem for problem in project.write() if sentence in problem]
