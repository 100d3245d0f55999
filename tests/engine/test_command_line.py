"""``python -m resnorm_lib.experiments``, as a reader starts it: one process, its text, its exit status."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import jsonschema
import pytest

from resnorm_lib.engine.records import SCHEMA, read
from resnorm_lib.experiments import EXPERIMENTS

TINY = ("rank_collapse", "--set", "depth=2", "--set", "dim=8", "--set", "tokens=4", "--set", "samples=1")
SLOW = ("degradation", "--set", "depths=[30]", "--set", "epochs=1")


def start(*arguments, **settings):
    command = [sys.executable, "-m", "resnorm_lib.experiments", *map(str, arguments)]
    env = {key: value for key, value in os.environ.items() if key != "RESNORM_DATA"} | settings
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def call(*arguments, **settings):
    """Return exit status, what was printed, and what was said on stderr."""
    process = start(*arguments, **settings)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def one_sentence(status, err):
    assert status == 1
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    return lines[0]


def plain(run):
    return [asdict(trial) | {"seconds": 0, "peak_memory": 0} for trial in run.trials]


def test_list_names_every_experiment_and_its_question():
    status, out, _ = call("list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(EXPERIMENTS)
    assert all(line.endswith("?") for line in out.splitlines())


def test_describe_shows_both_presets():
    status, out, _ = call("describe", "rank_collapse")
    assert status == 0
    assert "attention alone" in out
    assert ["depth", "32", "128"] in [line.split() for line in out.splitlines()]


def test_run_prints_a_table_with_mean_and_range_and_writes_a_valid_record(tmp_path):
    status, out, err = call("run", *TINY, "--seeds", 2, "--out", tmp_path)
    assert (status, err) == (0, "")
    row = next(line for line in out.splitlines() if line.startswith("shortcut, LN, scaled "))
    assert " to " in row
    record = json.loads((tmp_path / "rank_collapse-cpu.json").read_text())
    jsonschema.validate(record, SCHEMA)
    assert record["config"]["depth"] == 2
    assert {trial["seed"] for trial in record["trials"]} == {0, 1}
    command = record["machine"]["command"]
    assert command.startswith("python")
    assert "-m resnorm_lib.experiments run rank_collapse --set depth=2" in command
    assert str(tmp_path) not in json.dumps(record), "a record names no folder of its machine"
    assert record["machine"]["torch"]
    assert record["trials"][0]["seconds"] > 0
    assert record["trials"][0]["peak_memory"] > 1e6


def test_the_schema_refuses_a_record_that_lacks_its_machine(tmp_path):
    status, out, _ = call("schema")
    assert (status, json.loads(out)) == (0, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1, "experiment": "x", "preset": "cpu", "config": {}, "trials": []}, SCHEMA)


def test_compare_shows_two_runs_and_the_settings_that_differ(tmp_path):
    for folder, depth in (("a", 2), ("b", 3)):
        arguments = ("rank_collapse", "--set", f"depth={depth}", *TINY[3:])
        assert call("run", *arguments, "--out", tmp_path / folder)[0] == 0
    files = [tmp_path / folder / "rank_collapse-cpu.json" for folder in "ab"]
    status, out, _ = call("compare", *files)
    assert status == 0
    assert "settings that differ: depth" in out
    assert "difference" in out
    assert one_sentence(*call("compare", files[0], tmp_path / "gone.json")[::2]).startswith("There is no recorded run")


def test_a_preset_is_named_in_the_record(tmp_path):
    status, _, _ = call("run", *TINY, "--preset", "gpu", "--set", "heads=2", "--out", tmp_path, RESNORM_DEVICE="cpu")
    assert status == 0
    assert read(tmp_path / "rank_collapse-gpu.json").preset == "gpu"


MISTAKES = {
    "experiment is 'degradatoin'": ("run", "degradatoin"),
    "setting is 'dpeth'": ("run", "rank_collapse", "--set", "dpeth=3"),
    "depth is 'deep'": ("run", "rank_collapse", "--set", "depth=deep"),
    "--set got 'depth'": ("run", "rank_collapse", "--set", "depth"),
    "seeds is 0": ("run", "rank_collapse", "--seeds", "0"),
    "preset is 'gpus'": ("run", "rank_collapse", "--preset", "gpus"),
    "arm is 'shortcuts'": ("run", "rank_collapse", "--arms", "shortcuts"),
    "the duration is '9 hours'": ("suite", "--budget", "9 hours"),
    "CIFAR-10 is not on this machine": ("run", "degradation", "--set", "data=cifar10"),
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_a_mistake_gets_one_sentence(sentence):
    status, _, err = call(*MISTAKES[sentence])
    assert sentence in one_sentence(status, err)


def test_a_folder_that_cannot_be_written_gets_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, _, err = call("run", *TINY, "--out", tmp_path / "file")
    assert "could not be written" in one_sentence(status, err)


def test_a_missing_data_folder_gets_one_sentence():
    status, _, err = call("run", "degradation", "--set", "data=cifar10", RESNORM_DATA="nowhere")
    assert "'nowhere'" in one_sentence(status, err)


def test_ctrl_c_keeps_what_has_finished_and_resume_goes_on(tmp_path):
    record = tmp_path / "stopped" / "degradation-cpu.json"
    process = start("run", *SLOW, "--seeds", 4, "--out", record.parent)
    deadline = time.monotonic() + 60
    while not record.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "--resume goes on" in err
    finished = len(read(record).trials)
    assert 0 < finished < 8
    assert call("run", *SLOW, "--seeds", 4, "--out", record.parent, "--resume")[0] == 0
    assert call("run", *SLOW, "--seeds", 4, "--out", tmp_path / "whole")[0] == 0
    assert plain(read(record)) == plain(read(tmp_path / "whole" / "degradation-cpu.json"))


def test_a_suite_stays_within_its_budget_and_says_what_it_left_out():
    start_time = time.monotonic()
    status, out, _ = call("suite", "--preset", "cpu", "--budget", "1s")
    assert status == 0
    assert "no time left" in out
    assert time.monotonic() - start_time < 60


def test_two_processes_share_the_trials_and_gather_them(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    rest = ["-m", "resnorm_lib.experiments", "run", *TINY, "--seeds", "2", "--out", str(tmp_path / "two")]
    done = subprocess.run([*launcher, *rest], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Does attention make") == 1, "one process prints the table"
    assert call("run", *TINY, "--seeds", 2, "--out", tmp_path / "one")[0] == 0
    two, one = (read(tmp_path / folder / "rank_collapse-cpu.json") for folder in ("two", "one"))
    key = lambda trial: (trial["seed"], trial["arm"])  # noqa: E731
    assert sorted(plain(two), key=key) == sorted(plain(one), key=key)
