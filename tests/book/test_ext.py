"""What the book's directives write: the register of errata, the tables of recorded runs, the kernels' benchmark."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from sphinx.application import Sphinx

from book._ext import citations, errata, recorded
from resnorm_lib.engine.experiment import Experiment, Metric, Paper
from resnorm_lib.engine.records import Run, Trial


def finding(name, article=1, severity="wrong", **facts):
    plain = {"id": name, "article": article, "severity": severity, "kind": "formula", "sections": ["2", "4"]}
    plain |= {"claim": "One thing.", "correct": "Another | thing.", "shown": "reading", "sources": [], "chapters": []}
    return plain | {"root": "axes"} | facts


SHARED = finding("a1-both", severity="incomplete", also={"a2-both": ["3"]})
REGISTER = {
    "top": [{"says": "It is wrong.", "findings": ["a1-mean", "a2-mean"]}],
    "articles": [{"number": number, "about": f"Article {number}."} for number in (1, 2)],
    "findings": [finding("a1-mean", chapters=["degradation"]), finding("a1-axis", severity="misleading"),
                 finding("a2-mean", 2, kind="code", root="order")],
    "right": [{"article": 1, "sections": ["3"], "claim": "a |\n b", "shown": "there"}],
}  # fmt: skip


def written(directive, *arguments):
    return directive.text(SimpleNamespace(arguments=arguments), REGISTER)


def with_shared(directive, *arguments):
    return directive.text(
        SimpleNamespace(arguments=arguments), REGISTER | {"findings": [*REGISTER["findings"], SHARED]}
    )


def test_a_register_lists_the_findings_of_its_article_alone():
    text = with_shared(errata.Register, "1")
    assert text.startswith(
        "Article 1. 2 findings of its own, in the order of its sections; 1 more are among {doc}`shared`."
    )
    assert [name in text for name in ("a1-mean", "a1-axis", "a2-mean", "a1-both")] == [True, True, False, False]


def test_what_several_articles_share_stands_once_with_a_mark_for_each_place():
    text = with_shared(errata.Register, "shared")
    assert text.startswith("1 findings are about several articles")
    assert (
        "finding article-1 article-2 kind-formula severity-incomplete root-axes erratum-a1-both erratum-a2-both" in text
    )
    assert "{ref}`article 1 (2, 4) <shown-a1-both>`, {ref}`article 2 (3) <shown-a2-both>`" in text


def test_what_matters_most_links_to_its_findings():
    assert written(errata.Top) == "1. It is wrong. {erratum}`a1-mean`, {erratum}`a2-mean`"


def test_a_finding_says_where_it_is_treated_how_it_is_shown_and_by_which_source():
    text = errata.finding_text(finding("a1-mean", shown="source", proof="Page 3.", sources=["he2016"]))
    assert "severity-wrong root-axes erratum-a1-mean" in text
    assert "{bdg-light}`wrong` {bdg-light}`formula` {ref}`article 1 (2, 4) <shown-a1-mean>`" in text
    assert "Settled by the source: Page 3." in text
    assert "Treated" not in text
    assert "Sources: {cite:t}`he2016`." in text
    text = errata.finding_text(REGISTER["findings"][0])
    assert "Shown by the article's own text." in text
    assert "Treated in {doc}`/chapters/degradation`." in text
    assert "Sources" not in text


@pytest.mark.parametrize(
    ("subject", "names"), [("degradation", ["a1-mean"]), ("order", ["a2-mean"]), ("axes", ["a1-mean", "a1-axis"])]
)
def test_a_chapter_or_a_confusion_lists_its_own_findings(subject, names):
    lines = [line for line in written(errata.Of, subject).splitlines() if line.startswith("- ")]
    assert lines == [f"- {{erratum}}`{name}`: One thing." for name in names]


def test_a_chapter_without_findings_has_no_box():
    assert written(errata.Of, "elsewhere") == ""


def test_what_is_right_stays_in_its_cell():
    assert written(errata.Right).splitlines()[-1] == r"| 1: 3 | a \| b | there |"


def test_counts_add_up_by_article_and_severity():
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in written(errata.Counts).splitlines()[2:5]]
    assert rows == [["1", "1", "1", "0", "2"], ["2", "1", "0", "0", "1"], ["all", "2", "1", "0", "3"]]
    assert written(errata.Counts).endswith("By kind: formula 2, code 1.")


@pytest.mark.filterwarnings("ignore")  # of Sphinx and its parsers
def test_a_link_to_a_finding_leads_to_its_address_and_an_unknown_one_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(errata, "load", lambda: REGISTER | {"findings": [finding("a1-mean")]})
    (tmp_path / "index.md").write_text(
        "# Errata\n\n```{errata-register} 1\n```\n\n{erratum}`a1-mean` {erratum}`a1-gone`\n"
    )
    (tmp_path / "names.md").write_text("# Names\n\n```{errata-names}\n```\n")
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "errata_article_1.md").write_text(
        "# Shown\n\n{erratum}`a1-mean` once, {erratum}`a1-mean` twice\n"
    )
    told = tmp_path / "told"
    with told.open("w") as warnings:
        app = Sphinx(
            tmp_path, None, tmp_path / "out", tmp_path / "doctrees", "html", status=None, warning=warnings,
            confoverrides={"extensions": ["myst_parser", "sphinx_design", "book._ext.errata", "book._ext.erratum"],
                           "source_suffix": {".md": "markdown"},  # Sphinx keeps one default for all its builds
                           "myst_enable_extensions": ["colon_fence"]},
        )  # fmt: skip
        app.build()
    page = (tmp_path / "out" / "index.html").read_text()
    assert 'id="erratum-a1-mean"' in page
    assert page.count('href="#erratum-a1-mean"') == 1
    assert 'href="chapters/errata_article_1.html#shown-a1-mean"' in page
    shown = (tmp_path / "out" / "chapters" / "errata_article_1.html").read_text()
    assert shown.count('id="shown-a1-mean"') == 1
    assert shown.count('href="../index.html#erratum-a1-mean"') == 2
    names = (tmp_path / "out" / "names.html").read_text()
    assert '<li id="erratum-a1-mean">' in names
    assert 'href="index.html#erratum-a1-mean"' in names
    assert "erratum-a1-gone" in told.read_text()


def test_two_works_of_the_same_authors_and_year_get_letters_in_the_order_of_their_titles():
    def entry(title, year, *names):
        authors = [SimpleNamespace(last_names=[name]) for name in names]
        return SimpleNamespace(fields={"title": title, "year": year}, persons={"author": authors})

    alike = [entry("Identity", "2016", "He", "Zhang", "Ren"), entry("Deep", "2016", "He", "Zhang", "Sun")]
    others = [entry("Rectifiers", "2015", "He", "Zhang", "Ren"), entry("Two", "2016", "He", "Zhang")]
    entries = dict(enumerate([*alike, *others]))
    domain = SimpleNamespace(bibdata=SimpleNamespace(data=SimpleNamespace(entries=entries)))
    app = SimpleNamespace(env=SimpleNamespace(get_domain=lambda name: domain))
    for _ in range(2):  # a second build finds the letters of the first
        citations.letters(app)
        assert [entry.fields["year"] for entry in entries.values()] == ["2016b", "2016a", "2015", "2016"]


def run_of(*values, **facts):
    machine = dict.fromkeys(("device", "driver", "torch", "cuda", "python", "system", "commit", "date", "command"))
    machine |= {"device": "a processor", "date": "2026-01-02T03:04:05+00:00", "commit": "abc", "command": "type this"}
    trials = [Trial("deep", seed, summary={"error": value}, seconds=2) for seed, value in enumerate(values)]
    return Run("x", "cpu", {"lr": 0.1}, machine | facts, trials)


@dataclass(frozen=True)
class Small:
    lr: float = 0.1


EXPERIMENT = Experiment(
    *("x", "?", {}, dict, print),
    metrics={"error": Metric("error", "%", 1), "loss": Metric("loss")},
    paper={("deep", "error"): Paper("7.5", "he2016"), ("wide", "error"): Paper("6", "he2016")},
)


def test_a_run_at_several_learning_rates_has_a_column_for_each():
    trials = [Trial(f"deep at {rate:g}", 0, summary={"loss": 10 * rate}) for rate in (0.1, 0.2)]
    run = Run("x", "rates", {"learning_rates": [0.1, 0.2]}, {}, trials)
    lines = recorded.by_rate(EXPERIMENT, run).splitlines()
    assert lines == ["| arm |  | 0.1 | 0.2 |", "| --- | --- | --- | --- |", "| deep | loss | 1.00 | 2.00 |"]


def test_a_run_that_was_cut_short_names_the_arms_that_it_lacks():
    whole = replace(EXPERIMENT, presets={"cpu": Small()}, arms=lambda config: {"deep": 1, "wide": 2, "flat": 3})
    assert recorded.partial(whole, run_of(1.0)) == ["Partial: it was cut short before wide, flat."]
    assert recorded.partial(replace(whole, arms=lambda config: {"deep": 1}), run_of(1.0)) == []


def test_a_table_of_a_run_has_a_row_an_arm_and_the_papers_number_beside_the_metric():
    lines = recorded.table(EXPERIMENT, run_of(1.0, 2.0)).splitlines()
    assert lines[0] == "| arm | error (%) | paper | loss |"
    assert lines[2] == "| deep | 1.5 {range}`(1.0 to 2.0)` | 7.5 {cite:p}`he2016` | - |"
    assert len(lines) == 3


def test_a_run_without_an_arm_of_the_paper_has_no_column_for_it():
    others = replace(EXPERIMENT, paper={("wide", name): known for (_, name), known in EXPERIMENT.paper.items()})
    assert recorded.table(others, run_of(1.0)).splitlines()[0] == "| arm | error (%) | loss |"


def test_a_run_says_machine_day_commit_command_and_settings(monkeypatch):
    for aged in (True, False):
        monkeypatch.setattr(recorded, "has_aged", lambda run, aged=aged: aged)
        text = recorded.run_text(EXPERIMENT, run_of(1.0, 2.0), "Here")
        assert text.startswith("**Here:** a processor, 2026-01-02;")
        assert "commit abc; 2 trials, 4 s together." in text
        assert "`type this`" in text
        assert "`lr=0.1`" in text
        assert ("The library has changed since." in text) == aged


def row(op, version, direction, share):
    return {"op": op, "shape": [8, 4], "version": version, "direction": direction, "share_of_peak": share,
            "share_of_copy": 0.5}  # fmt: skip


def test_an_operation_is_named_once_and_a_pass_that_was_not_timed_is_a_dash():
    rows = [
        row("norm", "ours", "forward", 0.9),
        row("norm", "ours", "backward", None),
        row("norm", "torch", "forward", 0.4),
    ]
    assert list(recorded.operation_cells(rows)) == [
        ["`norm`, 8 x 4", "ours", "90 %", "50 %"],
        ["", "torch", "40 %", "-"],
    ]


def tried(rows, warps, share, default=False):
    launch = {"rows": rows, "num_warps": warps, "num_stages": "1", "per_sm": "1"}
    return {"op": "ln", "dir": "bwd", "n": "64", "default": str(default), "share": share} | launch


def test_a_sweep_says_what_each_choice_costs():
    """The library's own was timed twice; a launch that did not run has no share."""
    rows = [tried("1", "4", "0.4", True), tried("1", "4", "0.8"), tried("2", "4", "0.9"), tried("2", "16", "0.5")]
    text = recorded.sweep_text([*rows, tried("4", "4", "")])
    assert "4 were tried" in text
    assert "| LayerNorm | bwd | 64 | 80 | 90 | 1: 80, 2: 90 | 4: 90, 16: 50 | - | - |" in text


def test_the_recorded_benchmark_becomes_text():
    record = json.loads((recorded.FOLDER / "fast_on_a_gpu-cpu.json").read_text())
    text = recorded.kernels_text(record, "On a processor")
    assert record["machine"]["device"] in text
    assert f"`{record['machine']['command']}`" in text
    assert all(f"| `{row['op']}`, " in text for row in record["rows"])
    assert all(f"| {step['way']} | " in text for step in record["steps"])
