"""``python -m resnorm_lib.experiments``: what it prints, its exit status, and what it leaves behind."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace

import jsonschema
import pytest
import torch

from resnorm_lib import experiments
from resnorm_lib.data import DataMissing
from resnorm_lib.engine import command_line, experiment
from resnorm_lib.engine.distributed import Worker
from resnorm_lib.engine.records import SCHEMA, read
from resnorm_lib.experiments import EXPERIMENTS
from tests.engine import toy_experiment

TINY = ("rank_collapse", "--set", "depth=2", "--set", "dim=8", "--set", "tokens=4", "--set", "samples=1")
SLOW = ("degradation", "--set", "depths=[30]", "--set", "epochs=1")


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("RESNORM_DATA", raising=False)


def call(*words, package=experiments):
    """Return exit status, what was printed, and what was said on stderr."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            command_line.main(package, list(map(str, words)))
        except SystemExit as stop:  # the interpreter prints a text and exits with 1
            status = 1 if isinstance(stop.code, str) else stop.code
            print(stop.code if isinstance(stop.code, str) else "", file=err)
    return status, out.getvalue(), err.getvalue()


@contextmanager
def started(*command):
    """A process in a group of its own; whatever is left of the group at the end is killed.

    It listens to Ctrl+C, which a shell makes all that it starts in the background ignore, these tests as well.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    options["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen([sys.executable, "-m", *map(str, command)], **options) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def one_sentence(status, err):
    assert status == 1
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    return lines[0]


def plain(run):
    return [asdict(trial) | {"seconds": 0, "peak_memory": 0, "phases": {}} for trial in run.trials]


def test_list_names_every_experiment_and_its_question():
    status, out, _ = call("list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(EXPERIMENTS)
    assert all(line.endswith("?") for line in out.splitlines())


def test_without_a_word_the_experiments_are_listed():
    assert call() == call("list")


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
    start = "python -m resnorm_lib.experiments run rank_collapse --preset cpu --seeds 2 --set depth=2 --set dim=8"
    assert command.startswith(start)
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


def test_a_preset_is_named_in_the_record(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNORM_DEVICE", "cpu")
    status, _, _ = call("run", *TINY, "--preset", "gpu", "--set", "num_heads=2", "--out", tmp_path)
    assert status == 0
    assert read(tmp_path / "rank_collapse-gpu.json").preset == "gpu"


def test_the_preset_gpu_asks_for_a_gpu_and_says_in_one_sentence_that_there_is_none(monkeypatch):
    monkeypatch.delenv("RESNORM_DEVICE", raising=False)
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: asked.append(True) and False)
    status, _, err = call("run", *TINY, "--preset", "gpu", "--set", "num_heads=2")
    assert asked
    assert one_sentence(status, err).startswith("The preset 'gpu' asks for the device 'cuda', but PyTorch finds none")
    monkeypatch.setenv("RESNORM_DEVICE", "cpu")
    assert call("run", *TINY, "--preset", "gpu", "--set", "num_heads=2")[0] == 0


MISTAKES = {
    "TASK is 'descrbe', but it must be one of": ("descrbe", "rank_collapse"),
    "Did you mean 'describe'?": ("descrbe",),
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
    assert "must be a folder that can be written" in one_sentence(status, err)


def test_the_folder_is_tried_before_the_first_trial(tmp_path):
    (tmp_path / "file").write_text("in the way")
    toys = Toys()
    status, _, err = call("run", "dear", "--out", tmp_path / "file", package=toys)
    assert "--out is" in one_sentence(status, err)
    assert toys.now == 0
    assert call("run", "dear", "--out", tmp_path / "new", package=toys)[0] == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["dear-cpu.json"]


def test_a_missing_data_folder_gets_one_sentence(monkeypatch):
    monkeypatch.setenv("RESNORM_DATA", "nowhere")
    status, _, err = call("run", "degradation", "--set", "data=cifar10")
    assert "'nowhere'" in one_sentence(status, err)


def test_ctrl_c_keeps_what_has_finished_and_resume_goes_on(tmp_path):
    record = tmp_path / "stopped" / "degradation-cpu.json"
    run = ("run", *SLOW, "--seeds", 3, "--out")
    with started("resnorm_lib.experiments", *run, record.parent) as process:
        deadline = time.monotonic() + 60
        while not record.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "--resume goes on" in err
    finished = len(read(record).trials)
    assert 0 < finished < 6
    assert call(*run, record.parent, "--resume")[0] == 0
    assert call(*run, tmp_path / "whole")[0] == 0
    assert plain(read(record)) == plain(read(tmp_path / "whole" / "degradation-cpu.json"))


class Toys:
    """A package of three experiments on a clock that a trial moves by ``cost`` seconds."""

    EXPERIMENTS = ("cheap", "dear", "last")
    cost = {"cheap": 1, "dear": 30, "last": 10}  # noqa: RUF012
    now = 0.0

    def get(self, name):
        def trial(config, arm, log):
            self.now += self.cost[name]
            log.summary(total=1.0, count=1.0)

        order = self.EXPERIMENTS.index(name)
        return replace(toy_experiment.EXPERIMENT, name=name, trial=trial, order=order)


def suite_of_toys(monkeypatch, tmp_path, budget, *words):
    """Return how many trials of each experiment are in the records after a suite."""
    toys = Toys()
    for module in (command_line, experiment):
        monkeypatch.setattr(module.time, "monotonic", lambda: toys.now)
    assert call("suite", "--seeds", 2, "--budget", budget, "--out", tmp_path, *words, package=toys)[0] == 0
    records = {name: tmp_path / f"{name}-cpu.json" for name in toys.EXPERIMENTS}
    return {name: len(read(path).trials) for name, path in records.items() if path.exists()}


def test_a_suite_shares_its_budget_and_what_one_leaves_over_the_others_get(monkeypatch, tmp_path):
    # 126 s: "cheap" needs 6 of its 42; "dear" does two trials in its 60, and leaves "last" all of its six
    assert suite_of_toys(monkeypatch, tmp_path, "126s") == {"cheap": 6, "dear": 2, "last": 6}


def test_suites_that_are_resumed_come_to_an_end(monkeypatch, tmp_path):
    for _ in range(3):
        done = suite_of_toys(monkeypatch, tmp_path, "126s", "--resume")
    assert done == {"cheap": 6, "dear": 6, "last": 6}


def test_a_suite_says_what_it_left_out(monkeypatch):
    toys = Toys()
    monkeypatch.setattr(command_line.time, "monotonic", lambda: toys.now)
    monkeypatch.setattr(experiment.time, "monotonic", lambda: toys.now)
    assert "last: no time left" in call("suite", "--budget", "20s", package=toys)[1]


def test_an_experiment_without_its_data_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    said = one_sentence(*call("run", "degradation", "--set", "depths=[2]", "--set", "epochs=1")[::2])
    assert "pip install scikit-learn" in said


class WithoutData(Toys):
    """The first experiment lacks its data."""

    def get(self, name):
        experiment = super().get(name)
        if name != self.EXPERIMENTS[0]:
            return experiment

        def run(*arguments, **options):
            raise DataMissing("There is no data.")

        return SimpleNamespace(name=name, order=-1, presets=experiment.presets, config=experiment.config, run=run)


def test_a_suite_goes_on_where_one_experiment_lacks_its_data(monkeypatch):
    toys = WithoutData()
    monkeypatch.setattr(command_line.time, "monotonic", lambda: toys.now)
    monkeypatch.setattr(experiment.time, "monotonic", lambda: toys.now)
    status, out, err = call("suite", "--budget", "126s", package=toys)
    first, *others = toys.EXPERIMENTS
    assert f"{first}: There is no data." in out
    assert one_sentence(status, err) == f"Not run to the end: {first}."
    assert all(f"{other}: " in out for other in others)


def test_a_reader_that_has_seen_enough_is_no_error():
    with started("resnorm_lib.experiments", "list") as process:
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == ""


def test_the_library_needs_no_module_that_windows_lacks():
    code = f"""
import importlib, pkgutil, sys
sys.modules |= dict.fromkeys(("resource", "fcntl", "termios", "pwd", "grp"))
import resnorm_lib
for module in pkgutil.walk_packages(resnorm_lib.__path__, "resnorm_lib."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from resnorm_lib.engine import command_line
command_line.main(resnorm_lib.experiments, {["run", *TINY]!r})
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Does attention make" in result.stdout


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_the_shares_of_all_processes_are_disjoint_and_together_all(world):
    items = list(range(20))
    shares = [Worker(rank, world).share(items) for rank in range(world)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_two_processes_gather_what_one_alone_finds(tmp_path):
    run = ("run", *TINY, "--seeds", "2", "--out")
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "resnorm_lib.experiments")
    with started(*launcher, *run, tmp_path / "two") as process:
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert out.count("Does attention make") == 1, "one process prints the table"
    assert call(*run, tmp_path / "one")[0] == 0
    two, one = (read(tmp_path / folder / "rank_collapse-cpu.json") for folder in ("two", "one"))
    key = lambda trial: (trial["seed"], trial["arm"])  # noqa: E731
    assert sorted(plain(two), key=key) == sorted(plain(one), key=key)
