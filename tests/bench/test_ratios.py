"""The report of `make bench`, and the textbook networks that it compares ours with."""

import json
import subprocess
from datetime import date

import pytest
import torch
import torch.nn.functional as F

from resnorm_lib.bench import ratios as bench
from tests.residual.tools import disturb, draw

NUMBERS = ("ratio", "lower_quartile", "upper_quartile", "ours_ms", "theirs_ms")


@pytest.fixture(scope="module")
def report():
    return json.loads(bench.REPORT.read_text())


@pytest.fixture(scope="module")
def pairs():
    torch.manual_seed(0)
    return [pair for pairs in bench.PAIRS for pair in pairs()]


def test_the_report_says_where_and_how_it_was_measured(report):
    assert report.keys() == bench.environment().keys() | {"pairs"}
    assert report["command"] == "make bench"
    assert report["threads"] == 1
    assert date.fromisoformat(report["date"])
    assert report["machine"]["processor"]
    assert report["machine"]["cores"] >= 1
    assert report["versions"].keys() == bench.environment()["versions"].keys()


def test_the_report_lists_every_pair_with_its_goal(report, pairs):
    listed = [(row["group"], row["name"], row["goal"], row["turns"]) for row in report["pairs"]]
    wanted = [(pair.group, pair.name, bench.GOALS[pair.group], pair.turns) for pair in pairs]
    assert listed == wanted, "the report is old: run make bench"


def test_every_reported_ratio_meets_its_goal(report):
    for row in report["pairs"]:
        assert row.keys() == {"group", "name", "goal", "turns", *NUMBERS}
        assert all(row[number] > 0 for number in NUMBERS)
        assert row["lower_quartile"] <= row["ratio"] <= row["upper_quartile"]
        assert row["ratio"] <= row["goal"], row["name"]


def test_both_of_a_pair_take_the_same_number_of_calls():
    calls = []
    row = bench.measure(bench.Pair("norm", "two", lambda: calls.append("a"), lambda: calls.append("b"), turns=3))
    assert calls.count("a") == calls.count("b") - 1  # theirs has one more: how long it takes sets the repeats
    assert row["turns"] == 3


def test_a_missed_goal_is_reported_and_is_no_success(monkeypatch, tmp_path, capsys):
    slow = bench.Pair("norm", "slow", lambda: sum(range(200_000)), lambda: sum(range(100_000)), turns=3)
    monkeypatch.setattr(bench, "PAIRS", [lambda: [slow]])
    monkeypatch.setattr(bench, "REPORT", tmp_path / "recorded" / "bench.json")
    with pytest.raises(SystemExit, match="A ratio is above its goal"):
        bench.main()
    assert capsys.readouterr().out.endswith("1.05  missed\n")
    (row,) = json.loads(bench.REPORT.read_text())["pairs"]
    assert row["ratio"] > 1.5


def test_time_of_other_processes_counts_once_they_have_ended():
    code = "sum(range(3_000_000))"
    before = bench.processor_time()
    subprocess.run([bench.sys.executable, "-c", code], check=True)
    assert bench.processor_time() - before > 0.01


@pytest.mark.parametrize(
    ("twins", "x", "target"),
    [
        (bench.resnets, draw(4, 3, 32, 32), torch.arange(4)),
        (bench.decoders, torch.arange(24).reshape(2, 12), torch.arange(24)),
    ],
    ids=["resnet", "decoder"],
)
@pytest.mark.parametrize("train", [True, False])
def test_ours_and_the_textbook_network_agree_in_outputs_and_gradients(twins, x, target, train):
    ours, plain = (model.double().train(train) for model in twins())
    bench.copy_state(disturb(ours), plain)
    outputs = [model(x) for model in (ours, plain)]
    for output in outputs:
        F.cross_entropy(output.flatten(0, -2), target).backward()
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)
    for one, other in zip(ours.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
