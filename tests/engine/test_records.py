"""A run survives its way to a file and back, and what cannot be written or read is said in one sentence."""

import errno
import json
import math

import jsonschema
import pytest

from resnorm_lib.engine import records as recorded
from resnorm_lib.engine import tables
from resnorm_lib.engine.records import RecordError, Run, Trial, read, write
from tests.engine.toy_experiment import EXPERIMENT


@pytest.fixture
def run():
    return EXPERIMENT.run(seeds=2)


def test_a_run_comes_back_as_it_was(run, tmp_path):
    write(run, tmp_path / "run.json")
    assert read(tmp_path / "run.json") == run


def test_the_file_is_strict_json_that_fits_the_schema(run, tmp_path):
    write(run, tmp_path / "run.json")

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    data = json.loads((tmp_path / "run.json").read_text(), parse_constant=refuse)
    jsonschema.validate(data, recorded.SCHEMA)
    assert any(trial["diverged"] is not None for trial in data["trials"]), "the diverging arm is among them"


def test_mean_and_spread_are_over_seeds(run):
    values = run.values("rate-1.0", "total")
    assert run.mean("rate-1.0", "total") == pytest.approx(sum(values) / 2)
    assert run.spread("rate-1.0", "total") == (min(values), max(values))
    assert run.mean("bad", "total") == math.inf
    with pytest.raises(KeyError, match="arm is 'none'"):
        run.of("none")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_record(code, run, tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write(run, path)
    before = path.read_text()

    def full(self, text, **options):
        raise OSError(code, "No space left on device" if code == errno.ENOSPC else "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    sentence = "the disk is full" if code == errno.ENOSPC else "Permission denied"
    with pytest.raises(RecordError, match=sentence):
        write(run, path)
    monkeypatch.undo()
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 99}', '"run"'])
def test_a_file_that_holds_no_run_is_named(text, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"run\.json holds no recorded run"):
        read(path)


def test_a_run_of_another_version_is_refused(run, tmp_path):
    path = tmp_path / "run.json"
    write(run, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(RecordError, match="its version is 2, not 1"):
        read(path)


def test_the_books_records_are_found_from_a_folder_below(run, tmp_path, monkeypatch):
    write(run, tmp_path / "book/recorded/toy-gpu.json")
    (tmp_path / "chapters").mkdir()
    monkeypatch.chdir(tmp_path / "chapters")
    assert recorded.recorded("toy") == run
    assert recorded.recorded("toy", "cpu") is None
    assert recorded.find("toy-gpu.json").samefile(tmp_path / "book/recorded/toy-gpu.json")


def test_numbers_keep_seven_digits_and_are_null_where_they_are_not_finite():
    assert recorded.finite(1 / 3) == 0.3333333
    assert recorded.finite(math.nan) is None
    assert recorded.finite(-math.inf) is None


def hand_made():
    """Two arms, two seeds, easy numbers."""
    trials = [Trial("rate-0.5", seed, summary={"total": 10.0 + seed, "count": 3}) for seed in (0, 1)]
    trials += [Trial("bad", 0, diverged=49), Trial("bad", 1, summary={"total": None, "count": 3})]
    return Run("toy", "cpu", {"steps": 3}, {"device": "a processor"}, trials)


def test_a_table_shows_mean_range_and_divergence():
    assert tables.summary(EXPERIMENT, hand_made()) == (
        "          total (units)             count\n"
        "rate-0.5  10.500 (10.000 to 11.000)  3 (3 to 3)\n"
        "bad       not finite, 1 diverged     3, 1 diverged"
    ).replace("total (units)             count", "total (units)              count")


def test_three_columns_are_paper_recorded_and_here():
    text = tables.beside_paper(EXPERIMENT, "total", hand_made())
    lines = [line.split("  ") for line in text.splitlines()]
    assert lines[0] == ["total (units)"]
    row = next(line for line in text.splitlines() if line.startswith("rate-0.5"))
    assert [part.strip() for part in row.split("  ") if part.strip()] == [
        "rate-0.5",
        "20",
        "not yet recorded",
        "10.500 (10.000 to 11.000)",
    ]
    there = hand_made()
    there.machine = {"device": "NVIDIA H100 80GB HBM3 (shared)"}
    there.trials = there.trials[:1]
    text = tables.beside_paper(EXPERIMENT, "total", hand_made(), there)
    assert "  recorded, H100  " in text
    assert "not yet recorded" not in text
    with pytest.raises(ValueError, match="metric is 'totle'"):
        tables.beside_paper(EXPERIMENT, "totle", hand_made())


def test_two_runs_are_compared_arm_by_arm():
    second = hand_made()
    second.config = {"steps": 4}
    for trial in second.trials[:2]:
        trial.summary["total"] += 0.5
    text = tables.compare(EXPERIMENT, hand_made(), second)
    assert "+0.500" in text
    assert "settings that differ: steps" in text
    second.experiment = "other"
    with pytest.raises(ValueError, match="do not compare"):
        tables.compare(EXPERIMENT, hand_made(), second)


def test_a_run_stands_beside_the_range_of_the_recorded_seeds():
    text = tables.beside_record(EXPERIMENT, ["total"], hand_made(), EXPERIMENT.run(seeds=2))
    head, *rows = text.splitlines()
    assert "2 recorded seeds" in head
    assert all(" to " in row for row in rows if row.startswith("rate"))


def test_a_run_without_a_record_says_so():
    assert tables.NOT_YET in tables.beside_record(EXPERIMENT, ["total"], hand_made())
