"""The engine: arms under seeds, records that survive an interruption, limits, divergence, settings by name."""

import json
import math
from dataclasses import asdict

import pytest

from resnorm_lib.engine import experiment as engine
from resnorm_lib.engine.config import parse_settings, with_settings
from resnorm_lib.engine.records import RecordError, read
from resnorm_lib.experiments import EXPERIMENTS, get
from tests.engine.toy_experiment import EXPERIMENT, Config


def plain(trials):
    """What two runs must share: all but the time and the memory that they took."""
    return [asdict(trial) | {"seconds": 0, "peak_memory": 0, "phases": {}} for trial in trials]


def test_every_arm_is_tried_under_every_seed_one_seed_after_the_other():
    run = EXPERIMENT.run(seeds=2)
    assert [(trial.arm, trial.seed) for trial in run.trials] == [
        (arm, seed) for seed in (0, 1) for arm in ("rate-0.5", "rate-1.0", "bad")
    ]


def test_a_trial_depends_on_its_seed_alone():
    alone = EXPERIMENT.run(seeds=2, arms=["rate-1.0"])
    assert plain(alone.trials) == plain(EXPERIMENT.run(seeds=2).of("rate-1.0"))
    first, second = alone.values("rate-1.0", "total")
    assert first != second


def test_resnorm_seed_shifts_all_seeds(monkeypatch):
    before = EXPERIMENT.run(arms=["rate-1.0"])
    monkeypatch.setenv("RESNORM_SEED", "3")
    after = EXPERIMENT.run(arms=["rate-1.0"])
    assert (before.seeds, after.seeds) == ([0], [3000])
    assert before.values("rate-1.0", "total") != after.values("rate-1.0", "total")


def test_metrics_are_noted_by_step_and_the_summary_is_the_last():
    [trial] = EXPERIMENT.run(arms=["rate-1.0"]).trials
    steps, values = trial.curve("loss")
    assert steps == list(range(1, 61))
    assert values[-1] == trial.summary["total"]
    assert trial.curve("half")[1][-1] == pytest.approx(values[-1] / 2)
    with pytest.raises(KeyError):
        trial.curve("unknown")


def test_a_trial_that_diverges_says_where_and_the_others_go_on():
    run = EXPERIMENT.run()
    [bad] = run.of("bad")
    assert bad.diverged == 49  # the loss is looked at every 50 steps
    assert bad.metrics["loss"]["value"] == [None] * 50
    assert math.isnan(bad.curve("loss")[1][0])
    assert bad.summary == {}
    assert all(trial.diverged is None for trial in run.trials if trial.arm != "bad")


def test_the_record_is_there_after_every_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_INTERRUPTED_AT", "rate-1.0:1")
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(seeds=2, out=tmp_path)
    assert [(trial.arm, trial.seed) for trial in read(tmp_path / "toy-cpu.json").trials] == [
        ("rate-0.5", 0),
        ("rate-1.0", 0),
        ("bad", 0),
        ("rate-0.5", 1),
    ]


def test_an_interrupted_run_that_is_resumed_equals_one_that_was_not(tmp_path, monkeypatch):
    whole = EXPERIMENT.run(seeds=2)
    monkeypatch.setenv("TOY_INTERRUPTED_AT", "rate-1.0:1")
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(seeds=2, out=tmp_path)
    monkeypatch.delenv("TOY_INTERRUPTED_AT")
    EXPERIMENT.run(seeds=2, out=tmp_path, resume=True)
    assert plain(read(tmp_path / "toy-cpu.json").trials) == plain(whole.trials)


def test_a_trial_that_crashes_is_named_and_what_was_finished_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_CRASHES_AT", "rate-1.0:0")
    with pytest.raises(engine.TrialError, match=r"toy, arm rate-1\.0, seed 0: RuntimeError: the toy was told to crash"):
        EXPERIMENT.run(out=tmp_path)
    assert read(tmp_path / "toy-cpu.json").arms == ["rate-0.5"]


def test_resuming_with_other_settings_is_refused(tmp_path):
    EXPERIMENT.run(out=tmp_path, arms=["rate-0.5"])
    with pytest.raises(RecordError, match="another steps"):
        EXPERIMENT.run(EXPERIMENT.config("cpu", steps=61), out=tmp_path, resume=True)


def test_trials_of_other_code_are_done_anew(tmp_path, monkeypatch):
    EXPERIMENT.run(out=tmp_path, arms=["rate-0.5"])
    monkeypatch.setattr(engine.fingerprint, "of_experiment", lambda name: {"experiment": "other", "library": "same"})
    run = EXPERIMENT.run(out=tmp_path, arms=["rate-1.0"], resume=True)
    assert run.arms == ["rate-1.0"]


def test_without_resume_the_record_is_made_anew(tmp_path):
    EXPERIMENT.run(out=tmp_path, seeds=2)
    EXPERIMENT.run(out=tmp_path, arms=["rate-0.5"])
    assert len(read(tmp_path / "toy-cpu.json").trials) == 1


def test_no_trial_begins_that_is_expected_to_end_beyond_the_limit(monkeypatch):
    clock = iter(range(0, 10_000, 10))  # each look at the clock is 10 seconds later
    monkeypatch.setattr(engine.time, "monotonic", lambda: next(clock))
    run = EXPERIMENT.run(seeds=3, limit=100)
    # a trial takes 10 seconds by this clock, and there are three looks at it for each
    assert 0 < len(run.trials) < 9


@pytest.mark.parametrize("count", [1, 2])
def test_the_bar_moves_by_parts_of_a_trial_and_never_back(count):
    seen = []

    class Bar:
        n = 0.0

        def update(self, by):
            assert by >= 0
            self.n += by
            seen.append(self.n)

    bar = Bar()
    for _ in range(count):
        on_step = engine._within(bar)
        for step in range(1, 8):
            on_step(step, 7)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(count)
    assert any(0 < value < 1 for value in seen)


def test_settings_are_changed_by_name_and_keep_their_kind():
    config = with_settings(Config(), steps=5, rates=[1, 2], scale=3, fast=True)
    assert config == Config(steps=5, rates=(1.0, 2.0), scale=3.0, fast=True)
    assert Config() == Config(), "the old one is as it was"


WRONG = {
    "setting is 'stepps', but it must be one of .* Did you mean 'steps'": {"stepps": 3},
    "steps is 'many', but it must be of the kind of 60": {"steps": "many"},
    "steps is 2.5, but": {"steps": 2.5},
    "steps is True, but": {"steps": True},
    "scale is True, but": {"scale": True},
    "fast is 1, but": {"fast": 1},
    "rates is 0.5, but it must be a list": {"rates": 0.5},
    "rates is \\[\\], but it must be a list": {"rates": []},
    "rates\\[1\\] is 'x', but": {"rates": [1.0, "x"]},
    "name is 3, but": {"name": 3},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_setting_is_named(sentence):
    with pytest.raises(ValueError, match=sentence):
        with_settings(Config(), **WRONG[sentence])


def test_a_setting_without_an_equals_sign_is_named():
    with pytest.raises(ValueError, match=r"'steps'.*name=value"):
        parse_settings(["steps"])


def test_unknown_names_are_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"preset is 'gpus'.*Did you mean 'gpu'"):
        EXPERIMENT.config("gpus")
    with pytest.raises(ValueError, match=r"arm is 'rate-1'.*Did you mean"):
        EXPERIMENT.run(arms=["rate-1"])
    with pytest.raises(ValueError, match="seeds is 0"):
        EXPERIMENT.run(seeds=0)
    with pytest.raises(ValueError, match=r"experiment is 'degradatoin'.*Did you mean 'degradation'"):
        get("degradatoin")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_what_the_engine_and_the_tables_need(name):
    experiment = get(name)
    assert experiment.name == name
    assert experiment.question.endswith("?")
    assert {"cpu", "gpu"} <= set(experiment.presets)
    for preset in experiment.presets:
        assert json.dumps(asdict(experiment.config(preset)))
        chosen = experiment.arms(experiment.config(preset))
        assert len(chosen) >= 2
    for arm, metric in experiment.paper:
        assert metric in experiment.metrics, (arm, metric)
