"""Language: what the arms are, what the tasks are made of, the tables of counts, and all presets at toy size."""

from dataclasses import replace

import pytest
import torch

from resnorm_lib.data.docstrings import load_docstrings
from resnorm_lib.data.numerals import digits_of
from resnorm_lib.experiments import get
from resnorm_lib.experiments.language import NETWORKS, TASKS, build, make_task, mistakes, token_loss
from resnorm_lib.experiments.language.readers import Translator, best_spans
from resnorm_lib.experiments.language.tables import table_losses
from resnorm_lib.experiments.language.token_batch_norm import TokenBatchNorm, tell
from resnorm_lib.norms import BatchNorm

EXPERIMENT = get("language")
TOY = {"width": 4, "depth": 1, "num_heads": 1, "steps": 2, "batch_size": 4, "sentences": 20, "numbers": 20}
TOY |= {"passages": 20, "largest": 9999}
CONFIG = EXPERIMENT.config("cpu", **TOY)


def test_every_network_meets_every_task():
    arms = EXPERIMENT.arms(CONFIG)
    assert len(arms) == len(TASKS) * len(NETWORKS)
    assert arms["translate: no shortcut"] == ("translate", "plain", "layer")
    assert set(EXPERIMENT.arms(EXPERIMENT.config("deep"))) == {f"translate: {name}" for name in NETWORKS}


@pytest.mark.parametrize("name", ["classify", "translate", "answer"])
def test_no_row_of_the_test_is_among_those_to_learn_from(name):
    task = make_task(name, CONFIG, 0)
    train, test = ({tuple(row) for row in x.tolist()} for x in (task.x, task.x_test))
    if name == "classify":  # two sentences may differ in rare words alone
        assert len(train & test) < 10
    else:
        assert not train & test
    assert len(task.x_test) == len(task.y_test) == 1000


def test_windows_of_the_text_are_the_same_one_character_later():
    task = make_task("write", CONFIG, 0)
    assert torch.equal(task.x_test[:, 1:], task.y_test[:, :-1])
    assert torch.equal(task.x[1:9], task.y[:8])
    assert task.words == len(set("\n".join(load_docstrings().sentences)))


def test_the_best_span_is_short_and_does_not_end_before_it_begins():
    logits = torch.randn(50, 2, 9, generator=torch.Generator().manual_seed(0))
    first, last = best_spans(logits, longest=3).T
    assert ((first <= last) & (last <= first + 2)).all()
    by_hand = [
        max((b[i] + e[j], (i, j)) for i in range(9) for j in range(i, min(i + 3, 9)))[1] for b, e in logits.tolist()
    ]
    assert list(zip(first.tolist(), last.tolist())) == by_hand


def test_padding_costs_the_translator_nothing():
    logits, target = torch.zeros(2, 3, 13), torch.tensor([[5, 2, 0], [4, 4, 2]])
    changed = logits.clone()
    changed[0, 2, 7] = 9.0
    assert token_loss(changed, target) == token_loss(logits, target)


def test_a_translator_writes_what_it_writes_when_all_digits_are_given():
    task = make_task("translate", CONFIG, 0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build("translate", task, CONFIG, "pre_norm", "layer").eval()
    assert isinstance(model, Translator)
    source = task.x_test[:5, : model.source_length]
    written = model.translate(source, 4)
    best = model(torch.cat((source, written[:, :-1]), 1)).argmax(-1)
    for row, again in zip(written[:, 1:].tolist(), best.tolist()):
        length = row.index(2) + 1 if 2 in row else len(row)
        assert row[:length] == again[:length]
        assert not any(row[length:])


def test_the_right_digits_are_no_mistake():
    task = make_task("translate", CONFIG, 0)

    class Perfect(torch.nn.Module):
        source_length = task.words

        def translate(self, source, digits):
            return torch.cat((torch.ones(len(source), 1, dtype=torch.long), task.y_test), 1)

    assert mistakes("translate", Perfect(), task.x_test, task.y_test) == 0
    assert digits_of(task.y_test)[0].isdigit()


def test_a_table_of_no_character_has_the_entropy_of_the_characters():
    text = torch.tensor([0, 0, 0, 1] * 5000)
    loss = table_losses(text, text[:400].view(1, -1), text[1:401].view(1, -1), words=2, longest=1)[0]
    entropy = -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log()).item()
    assert abs(loss - entropy) < 1e-3


def test_a_context_that_was_never_seen_is_left_to_the_shorter_table():
    text = torch.tensor([0, 1] * 100)
    x, y = torch.tensor([[2, 2]]), torch.tensor([[2, 1]])
    unigram, bigram = table_losses(text, x, y, words=3, longest=2)
    assert unigram == pytest.approx(bigram)


def test_a_table_longer_than_the_windows_is_refused():
    with pytest.raises(ValueError, match="longest is 3"):
        table_losses(torch.arange(9), torch.zeros(1, 2).long(), torch.zeros(1, 2).long(), 9, 3)


def tokens(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_batch_normalization_of_tokens_without_padding_is_that_of_the_library():
    x, ours, known = 3 * tokens(4, 5, 6) + 1, TokenBatchNorm(6), BatchNorm(6)
    for training in (True, False):
        ours.train(training)
        known.train(training)
        torch.testing.assert_close(ours(x).flatten(0, 1), known(x.flatten(0, 1)))
    torch.testing.assert_close(ours.running_var, known.running_var)


def test_padding_counts_in_no_statistics_of_the_batch():
    x, norm = tokens(4, 5, 6), TokenBatchNorm(6)
    real = torch.arange(5) < torch.tensor([5, 3, 2, 4])[:, None]
    tell(norm, real)
    other = torch.where(real[..., None], x, 100 * tokens(4, 5, 6, seed=1))
    assert torch.equal(norm(x)[real], norm(other)[real])
    torch.testing.assert_close(norm(x)[real], BatchNorm(6)(x[real]))


@pytest.mark.parametrize("name", TASKS)
def test_batch_normalization_hears_of_the_padding_of_every_task(name):
    task = make_task(name, CONFIG, 0)
    model = build(name, task, CONFIG, "pre_norm", "batch")
    model(task.x[:4])
    heard = [norm.real for norm in model.modules() if isinstance(norm, TokenBatchNorm)]
    assert len(heard) == (3 + 4 if name == "translate" else 3)
    assert all((real is None) == (name == "write") for real in heard)


@pytest.mark.parametrize(("norm", "sees"), [("layer", False), ("batch", True)])
def test_a_writer_sees_the_future_only_while_the_batch_is_normalized(norm, sees):
    task = make_task("write", CONFIG, 0)
    model = build("write", task, CONFIG, "pre_norm", norm)
    x = task.x[:8]
    later = x.clone()
    later[:, -1] = (later[:, -1] + 1) % task.words
    for training in (True, False):
        model.train(training)
        assert torch.equal(model(x)[:, :-1], model(later)[:, :-1]) == (not (sees and training))


@pytest.mark.parametrize("preset", EXPERIMENT.presets)
def test_a_run_measures_what_its_table_shows(preset):
    config = EXPERIMENT.config(preset, **TOY)
    config = replace(config, learning_rates=config.learning_rates[:1])
    arms = [f"{task}: {name}" for task in config.tasks for name in ("Pre-LN", "BatchNorm")]
    run = EXPERIMENT.run(config, 1, arms=arms, device="cpu")
    assert len(run.trials) == len(arms)
    for trial in run.trials:
        unit = "nats" if trial.arm.startswith("write") else "wrong"
        both = {"running_nats", "batch_nats"} if "BatchNorm" in trial.arm else set()
        assert set(trial.summary) == {f"val_{unit}", f"test_{unit}"} | both
