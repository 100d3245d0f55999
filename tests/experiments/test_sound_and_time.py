"""Sound and time: what the arms are, what the tasks are made of, and all presets at toy size."""

import pytest
import torch

from resnorm_lib.data import load_co2
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments import get
from resnorm_lib.experiments.sound_and_time import NETWORKS, forecast
from resnorm_lib.experiments.sound_and_time.tasks import SoundNet, co2_windows, make_words
from resnorm_lib.models import ReversibleInstanceNorm

EXPERIMENT = get("sound_and_time")
TOY = {"depth": 1, "width": 4, "train_words": 60, "epochs": 1, "series_depth": 1, "series_width": 4, "series_steps": 2}


def test_every_network_meets_both_tasks_with_and_without_a_norm_on_the_data():
    arms = EXPERIMENT.arms(EXPERIMENT.config("cpu"))
    assert len(arms) == 4 * len(NETWORKS)
    assert arms["words, mean off: plain"] == ("words", "plain", "none", True)
    assert arms["series: residual LN"] == ("series", "pre_norm", "layer", False)


def test_no_test_window_holds_a_month_that_training_has_seen_as_a_target():
    data = co2_windows()
    assert data.x_train.shape[1:] == (36,)
    assert data.y_test.shape[1:] == (12,)
    assert data.y_test.mean() > data.y_train.max()
    months = load_co2()
    position = {tuple(window.tolist()): i for i, window in enumerate(months.unfold(0, 12, 1))}
    last_seen, first_chosen, last_chosen, first_new = (
        position[tuple(part.tolist())] for part in (data.y_train[-1], data.y_val[0], data.y_val[-1], data.y_test[0])
    )
    assert first_chosen == last_seen + 13
    assert first_new == last_chosen + 13


def test_no_word_is_in_two_of_training_validation_and_test():
    words = make_words(None, 30)
    rows = torch.cat([words.x_train, words.x_val, words.x_test]).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows) == 30 + 300 + 300
    assert len(words.y_val) == 300


def test_the_other_microphone_changes_the_test_words_alone():
    words = make_words(None, 20)
    same = make_words(None, 20, slope=0.0)
    assert torch.equal(words.x_test, same.x_test)
    assert (words.x_other - words.x_test).abs().mean() > 0.3
    assert (same.x_other - same.x_test).abs().mean() < 0.01


@pytest.mark.parametrize(("scheme", "norm"), NETWORKS.values(), ids=NETWORKS)
def test_a_network_for_words_takes_recordings_of_any_length(scheme, norm):
    model = SoundNet(20, 8, 6, 2, scheme, norm)
    assert model(torch.zeros(3, 20, 31)).shape == (3, 8)
    assert model(torch.zeros(3, 20, 50)).shape == (3, 8)


@pytest.mark.parametrize("preset", EXPERIMENT.presets)
def test_a_run_measures_what_its_table_shows(preset):
    rates = {"learning_rates": (0.01,)} if preset == "rates" else {}
    arms = ["words, mean off: residual BN", "series, RevIN: residual LN"]
    run = EXPERIMENT.run(EXPERIMENT.config(preset, **TOY, **rates), 1, arms=arms, device="cpu")
    assert set(run.trials[0].summary) == {"error", "other_error", "val_error"}
    assert set(run.trials[1].summary) == {"mae", "val_mae"}
    assert 0 <= run.trials[0].summary["error"] <= 100


def test_the_norm_on_the_series_is_the_reversible_one():
    log = TrialLog("arm", 0, torch.device("cpu"))
    config = EXPERIMENT.config("cpu", **TOY)
    assert isinstance(forecast(config, "plain", "none", True, log), ReversibleInstanceNorm)
