"""The recorded runs of the book are those that a reader makes with today's code; one that is not is named."""

import re
from dataclasses import replace

import pytest

from book._tools import records
from book._tools.cells import code_cells, printed_text
from book._tools.cells import read as read_notebook
from book._tools.manifest import ROOT
from resnorm_lib.engine.documents import write_document
from resnorm_lib.engine.records import read, write
from resnorm_lib.experiments import get
from tests.book import planted

TINY = {"depth": 2, "dim": 8, "tokens": 4, "samples": 1}


@pytest.mark.parametrize("path", records.recorded(), ids=lambda path: path.stem)
def test_a_record_belongs_to_the_code_and_to_a_commit(path):
    found = records.faults(path)
    assert not found, "\n".join(found)


BESIDE = re.compile(r"(?<![\d.])(\d+\.\d+) +\d+\.\d+ \((\d+\.\d+) to (\d+\.\d+)\)")  # of tables.beside_record


def strangers(notebook):
    """Return the rows in which a run of seed 0 lies outside the range of the recorded seeds, of which it is one."""
    return [
        f"{where}: {row}"
        for cell, where in code_cells(notebook)
        if "recorded seeds" in printed_text(cell)
        for row in printed_text(cell).splitlines()
        for here, low, high in BESIDE.findall(row)
        if not float(low) <= float(here) <= float(high)
    ]


@pytest.mark.parametrize("name", sorted({path.stem.rsplit("-", 1)[0] for path in records.recorded()}))
def test_a_chapter_and_its_record_agree_where_they_show_the_same_network(name):
    found = strangers(read_notebook(ROOT / "chapters" / f"{name}.ipynb"))
    assert not found, "\n".join(found)


def test_a_chapter_that_disagrees_with_its_record_is_named():
    head = "      training error (%)  3 recorded seeds\n"
    for row, count in (("none  1.00  2.00 (1.00 to 3.00)", 0), ("none  4.00  2.00 (1.00 to 3.00)", 1)):
        assert len(strangers(planted.notebook([planted.code("x", planted.stream(head + row))]))) == count


@pytest.fixture
def honest(tmp_path, monkeypatch):
    """The record of a small experiment that has no fault."""
    small = get("rank_collapse")
    small = replace(small, presets=small.presets | {"cpu": small.config("cpu", **TINY)})
    monkeypatch.setattr(records, "get", lambda name: small)
    path = tmp_path / "rank_collapse-cpu.json"
    run = small.run(small.config("cpu"), 3, preset="cpu", out=tmp_path)
    run.machine["commit"] = "1234567"
    write(run, path)
    assert records.faults(path) == []
    assert not records.has_aged(run)
    return path


FAULTS = {
    "1234567-dirty, which no reader can check out": lambda run: run.machine.update(commit="1234567-dirty"),
    "has 2 of 3 seeds": lambda run: run.trials.__delitem__(slice(len(run.trials) // 3)),
    "was made with other settings": lambda run: run.config.update(depth=3),
    "belongs to other code of its experiment": lambda run: run.code.update(experiment="0"),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_record_that_a_reader_cannot_make_is_named_with_the_command_that_makes_it(sentence, honest):
    run = read(honest)
    FAULTS[sentence](run)
    write(run, honest)
    [problem] = records.faults(honest)
    assert "rank_collapse-cpu.json " in problem
    assert sentence in problem
    assert "python -m resnorm_lib.experiments run rank_collapse --preset cpu --seeds" in problem


@pytest.mark.parametrize(("setting", "count"), [("num_heads", 0), ("dim", 1)])
def test_a_setting_that_is_newer_than_a_record_was_at_its_default(setting, count, honest):
    """The preset has the default of one of the two, and 8 in place of 64 for the other."""
    run = read(honest)
    del run.config[setting]
    write(run, honest)
    assert len(records.faults(honest)) == count


def test_a_change_of_the_library_is_said_but_is_no_fault(honest):
    run = read(honest)
    run.code["library"] = "0"
    write(run, honest)
    assert records.faults(honest) == []
    assert records.has_aged(run)


@pytest.mark.parametrize("path", records.benchmarks(), ids=lambda path: path.stem)
def test_a_record_of_the_benchmark_belongs_to_its_code(path):
    sentence, is_fault = records.old_benchmark(path) or ("", False)
    assert not is_fault, sentence


def test_every_experiment_has_its_record_and_every_record_is_one_s():
    assert records.missing() == []
    assert records.strangers() == []


def test_a_record_that_is_missing_or_belongs_to_nothing_is_named(tmp_path):
    for path in records.FOLDER.glob("*.json"):
        if path.name != "trends_tried-cpu.json":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "nobody-rates.json").touch()
    (tmp_path / "kernels-cpu.json").touch()
    assert records.missing(tmp_path) == ["trends_tried-cpu.json"]
    assert records.strangers(tmp_path) == ["kernels-cpu.json", "nobody-rates.json"]


COMMAND = "python -m resnorm_lib.bench ratios --out bench.json"
OLD = f"bench.json belongs to other code of the benchmark. Record it anew: {COMMAND}"


@pytest.mark.parametrize(
    ("part", "driver", "told"),
    [
        (None, None, None),
        ("experiment", None, (OLD, True)),
        ("experiment", "580.159", (OLD, False)),  # of a GPU
        ("library", None, ("bench.json: the library has changed since.", False)),
    ],
)
def test_a_record_of_the_benchmark_that_other_code_made_is_named_with_its_command(part, driver, told, tmp_path):
    code = records.of_experiment("resnorm_lib.bench.ratios") | ({part: "0"} if part else {})
    write_document({"code": code, "machine": {"command": COMMAND, "driver": driver}}, tmp_path / "bench.json")
    [path] = records.benchmarks(tmp_path)
    assert records.old_benchmark(path) == told


def test_make_stale_fails_for_each_kind_of_fault(monkeypatch, capsys):
    monkeypatch.setattr(records, "recorded", lambda folder=None: [])
    monkeypatch.setattr(records, "missing", lambda: ["my_subject-cpu.json"])
    monkeypatch.setattr(records, "strangers", lambda: ["nobody-rates.json"])
    monkeypatch.setattr(records, "benchmarks", lambda: [records.FOLDER / "bench.json"])
    monkeypatch.setattr(records, "old_benchmark", lambda path: (OLD, True))
    with pytest.raises(SystemExit, match="True"):
        records.main()
    assert capsys.readouterr().out.splitlines() == [
        OLD, "my_subject-cpu.json is missing.", "nobody-rates.json belongs to nothing."
    ]  # fmt: skip
