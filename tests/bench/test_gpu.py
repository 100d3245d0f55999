"""What a GPU does within a budget: how the time is dealt out, that a step that fails stops no other, what is called."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnorm_lib._processes import finished
from resnorm_lib.bench import __main__ as bench
from resnorm_lib.bench import gpu
from resnorm_lib.engine import command_line

ROOT = Path(__file__).parents[2]
NAMES = [step.name for step in gpu.STEPS]


class Machine:
    """A clock, and commands that take what they are given, or less."""

    def __init__(self, takes=None, fails=()):
        self.now, self.takes, self.fails, self.calls = 0.0, takes or {}, fails, {}

    def __call__(self, words, timeout):
        name = next(name for name in NAMES if name in " ".join(words))
        self.calls[name] = words, timeout
        wanted = self.takes.get(name, timeout)
        self.now += min(wanted, timeout)
        if wanted > timeout:
            raise subprocess.TimeoutExpired(words, timeout)
        return subprocess.CompletedProcess(words, int(name in self.fails))

    def run(self, budget):
        return gpu.run(budget, start=self, clock=lambda: self.now)


@pytest.mark.parametrize("minutes", [1, 4, 7, 12, 30, 60])
def test_all_steps_together_stay_within_the_budget(minutes):
    machine = Machine()
    machine.run(60 * minutes)
    assert machine.now <= 60 * minutes
    assert list(machine.calls) == [name for name in NAMES if name in machine.calls]


def test_twelve_minutes_are_enough_for_every_step():
    machine = Machine()
    assert machine.run(720) == []
    seconds = {name: timeout for name, (_, timeout) in machine.calls.items()}
    assert seconds["tests"] >= 100
    assert seconds["operations"] - gpu.GRACE >= 150
    assert seconds["launches"] - gpu.GRACE >= 60
    assert seconds["suite"] >= 300


def test_with_little_time_the_first_steps_run():
    machine = Machine()
    missed = machine.run(120)
    assert list(machine.calls) == ["tests", "host", "suite"]
    assert missed == ["operations (not begun: 90 s are left)", "launches (not begun: 70 s are left)"]


def test_what_a_step_does_not_need_the_next_ones_get():
    short, long = Machine({"tests": 5}), Machine()
    short.run(720), long.run(720)
    assert short.calls["operations"][1] > long.calls["operations"][1]


def test_a_step_that_fails_or_hangs_stops_no_other():
    machine = Machine({"operations": 1e6}, fails=["tests"])
    missed = machine.run(720)
    assert list(machine.calls) == NAMES
    assert [text.split()[0] for text in missed] == ["tests", "operations"]
    assert "status 1" in missed[0]
    assert "stopped after" in missed[1]


def test_what_is_called_is_understood():
    """By the command lines of the benchmark and of the experiments; both watch a budget below the time they have."""
    machine = Machine()
    machine.run(720)
    for name, parser in (
        ("operations", bench.parser()),
        ("host", bench.parser()),
        ("launches", bench.parser()),
        ("suite", command_line.parser()),
    ):
        words, timeout = machine.calls[name]
        options = parser.parse_args(words[3:])
        assert options.out.startswith("book/recorded")
        if name != "host":
            assert float(str(options.budget).rstrip("s")) == pytest.approx(timeout - gpu.GRACE, abs=1)
    paths = [word for word in machine.calls["tests"][0] if word.startswith("tests/")]
    assert "tests/ops" in paths
    assert all((ROOT / path).exists() for path in paths)


def test_the_command_line_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(gpu, "STEPS", ())
    monkeypatch.setenv("RESNORM_PRESET", "cpu")
    monkeypatch.setattr(gpu, "run", lambda seconds: ["suite (status 1)"] if seconds == 120 else [])
    gpu.main(["--budget", "1h"])
    with pytest.raises(SystemExit, match=r"Not done to the end: suite \(status 1\)\."):
        gpu.main(["--budget", "2m"])


def test_a_process_that_hangs_is_stopped():
    hang = gpu.Step("hang", 0.2, 0, 0.2, lambda seconds: ["-c", "import time; time.sleep(60)"])
    assert gpu.run(5, [hang]) == ["hang (stopped after 0 s)"]


def test_a_step_that_is_stopped_leaves_nothing_behind(tmp_path):
    """What its processes would go on to do would disturb the times of the next."""
    begins, child = tmp_path / "begins", tmp_path / "child"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, {str(child)!r}]).wait())"
    child.write_text(f"import time; open({str(begins)!r}, 'w').write(str(__import__('os').getpid())); time.sleep(60)")
    for seconds in (2, 10, 40):  # until there is something to stop
        with pytest.raises(subprocess.TimeoutExpired):
            finished([sys.executable, "-c", code], seconds)
        if begins.exists() and begins.read_text():
            break
    state, end = Path(f"/proc/{begins.read_text()}/stat"), time.monotonic() + 20
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end, "the process goes on"
        time.sleep(0.1)
    assert finished([sys.executable, "-c", "raise SystemExit(3)"], 60).returncode == 3
