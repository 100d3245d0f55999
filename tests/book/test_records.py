"""The recorded runs of the book are those that a reader makes with today's code; one that is not is named."""

from dataclasses import replace

import pytest

from book._tools import records
from resnorm_lib.engine.documents import write_document
from resnorm_lib.engine.records import read, write
from resnorm_lib.experiments import get

TINY = {"depth": 2, "dim": 8, "tokens": 4, "samples": 1}


@pytest.mark.parametrize("path", records.recorded(), ids=lambda path: path.stem)
def test_a_record_belongs_to_the_code_and_to_a_commit(path):
    found = records.faults(path)
    assert not found, "\n".join(found)


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


def test_a_change_of_the_library_is_said_but_is_no_fault(honest):
    run = read(honest)
    run.code["library"] = "0"
    write(run, honest)
    assert records.faults(honest) == []
    assert records.has_aged(run)


def test_a_record_of_the_benchmark_that_other_code_made_is_named_with_the_command_that_made_it(tmp_path):
    today = records.of_experiment("resnorm_lib.bench.ratios")
    record = {"code": today, "machine": {"command": "python -m resnorm_lib.bench ratios --out bench.json"}}
    expected = {
        "experiment": "bench.json belongs to other code of the benchmark. "
        "Record it anew: python -m resnorm_lib.bench ratios --out bench.json",
        "library": "bench.json: the library has changed since.",
    }
    write_document(record, tmp_path / "bench.json")
    assert records.old_benchmarks(tmp_path) == []
    for part, sentence in expected.items():
        write_document(record | {"code": today | {part: "0"}}, tmp_path / "bench.json")
        assert records.old_benchmarks(tmp_path) == [sentence]
