"""Tables, figures and sentences; and a sentence for every wrong argument."""

import pickle
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from resnorm_lib.bench.probe import price
from resnorm_lib.models import MLP
from resnorm_lib.probes import NormGain, Point, Report, Stream, Units, mean_square, probe
from resnorm_lib.probes.findings import CHAPTERS
from tests.probes.networks import GPT, Block, Dense, Llama

ROOT = Path(__file__).parents[2]


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def report():
    torch.manual_seed(0)
    return probe(GPT(), torch.randint(30, (4, 7)))


def test_the_table_shows_every_number(report):
    text = report.table()
    lines = text.splitlines()
    assert lines[0] == "Stream h, 6 blocks"
    titles = "depth  module  shortcut  shape  rms  mean  branch/stream  cosine  gradient  grad. corr.  token rank"
    assert lines[1].split() == titles.split()
    assert lines[3].split()[:4] == ["1", "h.0", "identity", "4x7x16"]
    assert f"{report.streams[0].points[1].branch_ratio:.3g}" in lines[3]
    assert text.count("layer_norm") == 7
    assert all(len(line) < 140 and line == line.rstrip() for line in lines)


def test_rows_are_plain_dicts(report):
    rows = report.rows()
    assert [row["depth"] for row in rows] == list(range(7))
    assert set(rows[0]) == {"stream", *Point._fields}
    assert all(type(value) in (int, float, str, tuple, type(None)) for row in rows for value in row.values())


def test_a_report_can_be_stored(report):
    assert pickle.loads(pickle.dumps(report)).rows() == report.rows()
    assert repr(report) == "Report(1 streams of 6 blocks, 7 norms)"


def test_the_figure_has_a_labelled_panel_for_each_statistic(report):
    fig = report.plot()
    shown = [ax for ax in fig.axes if ax.get_visible()]
    assert len(shown) == 6
    assert all(ax.get_xlabel() == r"depth $\ell$ (blocks)" and ax.get_ylabel() for ax in shown)
    assert list(shown[0].lines[0].get_ydata()) == [point.rms for point in report.streams[0].points]
    plt.close(fig)


def test_two_streams_get_a_legend_and_what_was_not_measured_no_panel():
    model = nn.Transformer(8, 2, 2, 2, 16, batch_first=True)
    fig = probe(model, (draw(4, 5, 8), draw(4, 3, 8)), loss=None).plot()
    assert [text.get_text() for text in fig.axes[0].get_legend().get_texts()] == ["decoder.layers", "encoder.layers"]
    assert [ax.get_visible() for ax in fig.axes] == [True] * 4
    plt.close(fig)


def test_nothing_to_draw_is_an_error_and_no_empty_picture():
    report = probe(Dense(), draw(5, 4))
    with pytest.raises(ValueError, match="there is nothing to draw: no residual stream was found"):
        report.plot()
    assert report.table().startswith("ReLUs\n")
    assert probe(nn.Linear(4, 4), draw(5, 4)).table() == "No residual stream, no norm and no ReLU was found."


# --------------------------------------------------------------------------------------------------------- findings


def made(blocks=6, **fields):
    """A report of one stream whose statistics are functions of the depth."""
    plain = {"rms": 1.0, "mean": 0.0, "branch_ratio": 0.3, "cosine": 0.0, "gradient_norm": 1.0}
    points = []
    for depth in range(blocks + 1):
        known = plain | {name: value(depth) for name, value in fields.items()}
        known = dict.fromkeys(Point._fields) | known | {"depth": depth, "module": f"h.{max(depth, 1)}"}
        points.append(Point(**known))
    return Report((Stream("h", tuple(points)),), (), (), (), 1.0, "", (), (), {})


def told(report):
    """The findings without the links at their ends."""
    return [re.sub(r': see ".*" \([\w-]+\)\.$', ".", sentence) for sentence in report.findings()]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Nothing stands out."),
        (
            {"gradient_norm": lambda depth: 1.5**depth},
            "Gradients shrink 1.5x per block on the way back, from block 6 (h.6) to block 1 (h.1).",
        ),
        (
            {"gradient_norm": lambda depth: None if depth == 0 else 0.5**depth},
            "Gradients grow 2x per block on the way back, from block 6 (h.6) to block 2 (h.2).",
        ),
        ({"gradient_norm": lambda depth: 1.05**depth}, "Nothing stands out."),
        (
            {"gradient_correlation": lambda depth: 0.6 * 0.5 ** (6 - depth)},
            "Gradients of different samples lose their common direction on the way back: their mean cosine is 0.6 "
            "at depth 6 and 0.0094 at depth 0.",
        ),
        ({"rms": lambda depth: 2.0**depth}, "The stream grows 2x per block, from rms 1 at depth 0 to 64 at depth 6."),
        (
            {"rms": lambda depth: 0.5**depth},
            "The stream shrinks 2x per block, from rms 1 at depth 0 to 0.016 at depth 6.",
        ),
        (
            {"branch_ratio": lambda depth: (None, 0.0, 0.001, 0.3, 0.4, 0.002, 9)[depth]},
            "The branch adds less than 1% to the stream in blocks 1 to 2, 5.",
        ),
        (
            {"branch_ratio": lambda depth: 11 if depth == 4 else 1},
            "The branch adds more than 10 times what the stream holds in block 4.",
        ),
        (
            {"cosine": lambda depth: -0.6 if depth > 3 else 0},
            "The branch writes against the stream (cosine below -0.5) in blocks 4 to 6.",
        ),
        (
            {"cosine": lambda depth: 0.6 if depth == 1 else 0},
            "The branch writes along the stream (cosine above 0.5) in block 1.",
        ),
        ({"token_rank": lambda depth: 7 - depth}, "The tokens of a sample become one: their rank falls from 7 to 1."),
        ({"rms": lambda depth: float("nan") if depth > 4 else 1}, "The stream is not finite at depth 5 to 6."),
        ({"gradient_norm": lambda depth: float("inf")}, "The gradient is not finite at depth 0 to 6."),
    ],
)
def test_a_sentence_for_each_thing_that_stands_out(fields, sentence):
    assert told(made(**fields)) == [sentence]


def test_a_finding_ends_with_the_chapter_that_explains_it():
    for fields, subject in (
        ({"rms": lambda depth: 2.0**depth}, "stream size"),
        ({"token_rank": lambda d: 7 - d}, "token rank"),
    ):
        label, title = CHAPTERS[subject]
        [sentence] = made(**fields).findings()
        assert sentence.endswith(f': see "{title}" ({label}).')


@pytest.mark.parametrize("field", ["rms", "gradient_norm"])
@pytest.mark.parametrize(
    ("blocks", "factor", "stands_out"), [(20, 1.11, True), (20, 1.09, False), (4, 1.2, True), (4, 1.18, False)]
)
def test_a_trend_is_told_from_1_1_per_block_and_2_in_all(field, blocks, factor, stands_out):
    """1.09^20 is 5.6, but too little per block; 1.18^4 is 1.94, too little in all. 1.2^4 is 2.07."""
    for way in (factor, 1 / factor):
        sentences = made(blocks, **{field: lambda depth, way=way: way**depth}).findings()
        assert (sentences != ["Nothing stands out."]) == stands_out


def test_sentences_about_norms_and_units():
    norms = (
        NormGain("a", "layer_norm", 1.0, 0.02),
        NormGain("b", "layer_norm", 1.0, 30.0),
        NormGain("c", "x", 1.0, None),
    )
    units = Units("act1", "relu", 64, 0.0), Units("act2", "relu", 64, 0.25)
    report = made()
    report.norms, report.units = norms, units
    assert told(report) == [
        "In 1 of 2 norms small changes come out less than 0.1 times as large; the extreme is a, 0.02 times.",
        "In 1 of 2 norms small changes come out more than 10 times as large; the extreme is b, 30 times.",
        "In 1 of 2 ReLUs 10% of the units or more are always zero, most in act2, 25% of 64.",
    ]


def test_each_stream_is_named_where_there_are_two():
    report = made(rms=lambda depth: 2.0**depth)
    report.streams = (report.streams[0], report.streams[0]._replace(name="encoder"))
    assert [sentence.split(":")[0] for sentence in report.findings()] == ["h", "encoder"]


def test_measured_gradients_shrink_as_the_weights_say():
    """Each block multiplies by 1.5 on the way up, and so the gradient on the way down."""
    blocks = [Block(nn.Linear(4, 4, bias=False)) for _ in range(5)]
    for block in blocks:
        nn.init.constant_(block.branch.weight, 0)
        block.branch.weight.data.fill_diagonal_(-0.5)
    report = probe(nn.Sequential(*blocks), draw(3, 4).requires_grad_(), torch.sum)
    assert "Gradients shrink 2x per block on the way back, from block 5 (4) to block 1 (0)." in told(report)


@pytest.mark.parametrize(("label", "title"), sorted(set(CHAPTERS.values())))
def test_every_chapter_that_a_finding_names_exists(label, title):
    texts = [path.read_text() for path in ROOT.glob("chapters/*.ipynb")]
    assert any(f"({label})=" in text and f"# {title}" in text for text in texts)


# ------------------------------------------------------------------------------------------- the batch and the loss

NET = MLP(8, 16, 2, out_features=3)
X, Y = draw(5, 8), torch.tensor([0, 1, 2, 0, 1])


def test_targets_come_from_the_end_of_the_batch():
    cross_entropy = nn.functional.cross_entropy
    expected = cross_entropy(NET(X), Y).item()
    for loss in (cross_entropy, nn.CrossEntropyLoss(), lambda output, target: cross_entropy(output, target)):
        assert probe(NET, (X, Y), loss).loss == pytest.approx(expected)
    assert probe(NET, [X], lambda output, scale=2: scale * output.sum()).loss is not None


def test_targets_come_out_of_a_dict_by_name():
    tokens = torch.randint(30, (2, 5))
    batch = {"input_ids": tokens, "scale": 0.5, "labels": tokens}

    def loss(output, labels):
        return nn.functional.cross_entropy(output[0].flatten(0, 1), labels.flatten())

    assert probe(Llama(), batch, loss).loss > 0


def test_mean_square_takes_what_holds_numbers():
    parts = {"a": torch.ones(2), "b": [torch.tensor([3.0, 3.0], dtype=torch.float16)], "c": torch.tensor(7), "d": None}
    assert mean_square(parts) == 5
    with pytest.raises(ValueError, match=r"output is Tensor without a floating point number: give a loss\."):
        mean_square(torch.tensor([1, 2]))


WRONG = [
    (lambda: probe(torch.relu, X), r"model is <built-in method relu .*>, but it must be an nn.Module\."),
    (lambda: probe(nn.LazyLinear(3), X), "model has lazy layers that have not run yet"),
    (lambda: probe(NET, 3), "batch is int, but it must be a tensor, a tuple or list of arguments, or a dict"),
    (lambda: probe(NET, ()), r"batch holds no tensor for the model\."),
    (lambda: probe(NET, {"scale": 2.0}), r"batch holds no tensor for the model\."),
    (lambda: probe(NET, X, "mse"), "loss is 'mse', but it must be callable, or None for a forward pass alone."),
    (lambda: probe(NET, X, sample_axis=-1), "sample_axis is -1, but it must be at least 0."),
    (lambda: probe(NET, X, sample_axis=1.0), "sample_axis is 1.0, but it must be an integer."),
    (
        lambda: probe(NET, X, nn.functional.cross_entropy),
        r"loss needs target after the output, but batch has 1 part\(s\), and the model needs one at least",
    ),
    (lambda: probe(NET, {"x": X}, nn.functional.cross_entropy), "loss needs target, but batch has only x."),
    (lambda: probe(NET, X, lambda y: y), r"loss returned a tensor of shape \(5, 3\), but it must return one number"),
    (lambda: probe(NET, X, lambda y: 1.0), "loss returned 1.0, but it must return one number in a tensor."),
    (lambda: price(nn.ReLU(), X), "there is no backward pass to compare with"),
    (lambda: price(NET, X, repeats=0), "repeats is 0, but it must be at least 1."),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_arguments_raise_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
