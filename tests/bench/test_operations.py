"""The benchmark: its floors against the table they come from, its clock, its record, and a run on a CPU."""

import contextlib
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from resnorm_lib.bench import __main__ as command
from resnorm_lib.bench import memory, operations, plot, record, steps, versions
from resnorm_lib.bench.cases import OPS, Case, default_cases, parse_shape
from resnorm_lib.bench.floors import FLOORS, ON_CHIP, group_norm, layer_norm
from resnorm_lib.bench.schema import SCHEMA
from resnorm_lib.bench.timing import Clock
from resnorm_lib.bench.torch_versions import Absent
from resnorm_lib.models import DecoderLM
from resnorm_lib.norms import LayerNorm
from resnorm_lib.ops import kernels
from tests.ops.cases import gpu

CPU = torch.device("cpu")

# Microseconds at 3.35 TB/s, bfloat16, 132 partial sums: forward and backward of rms_norm, backward of layer_norm, both
# of add_rms_norm. They were worked out before the functions were written, some from rounded sums, some with parameters
# of four bytes: so a unit of the third digit is granted. The small terms are held to exact numbers below.
TABLE = {
    (4096, 4096): (20.0, 31.4, 32.7, 40.1, 41.4),
    (8192, 4096): (40.1, 61.4, 62.7, 80.1, 81.4),
    (32768, 4096): (160, 242, 243, 321, 322),
    (8192, 8192): (80.1, 123, 125, 160, 163),
    (65536, 768): (60.2, 90.5, 90.8, 120, 121),
    (4096, 16384): (80.2, 125, 131, 160, 166),
    (2048, 65536): (160, 261, 282, 321, 341),
}


@pytest.mark.parametrize("shape", TABLE, ids=str)
def test_floors_are_those_of_the_table(shape):
    rms, layer, add = (FLOORS[name](*shape, 2, 2, 132) for name in ("rms_norm", "layer_norm", "add_rms_norm"))
    ours = (rms.forward, rms.backward, layer.backward, add.forward, add.backward)
    for size, expected in zip(ours, TABLE[shape], strict=True):
        unit = 0.1 if expected < 100 else 1
        assert abs(1e6 * size / 3.35e12 - expected) < unit


def test_floors_to_the_byte():
    """10 rows of 3 numbers: A = 60 bytes, parameters of 4, five partial sums."""
    assert FLOORS["rms_norm"](10, 3, 2, 4, 5) == (2 * 60 + 12 + 40, 3 * 60 + 12 + 40 + 8 * 5 * 3 + 12, 120)
    assert FLOORS["layer_norm"](10, 3, 2, 4, 5) == (2 * 60 + 24 + 80, 3 * 60 + 12 + 80 + 16 * 5 * 3 + 24, 240)
    assert FLOORS["add_rms_norm"](10, 3, 2, 4, 5) == (4 * 60 + 12 + 40, 4 * 60 + 12 + 40 + 120 + 12, 120)
    assert FLOORS["dyt"](10, 3, 2, 4, 5) == (2 * 60 + 24, 3 * 60 + 12 + 240 + 24, 240)
    # 2 samples, 4 channels, 5 positions, 2 groups: A = 80 bytes, 4 groups with two statistics each, 8 channel sums.
    assert group_norm(2, 4, 5, 2, 2, 4) == (2 * 80 + 32 + 32, 3 * 80 + 48 + 32 + 16 * 8, 128)


def test_a_floor_counts_each_tensor_once():
    m, n = 1000, 64
    a = m * n * 2
    tensors = {"rms_norm": (2, 3), "layer_norm": (2, 3), "add_rms_norm": (4, 4), "add_layer_norm": (4, 4),
               "add_rms_norm_post": (4, 3), "dyt": (2, 3), "derf": (2, 3),
               "scaled_add": (3, 2)}  # fmt: skip
    for name, (forward, backward) in tensors.items():
        floor = FLOORS[name](m, n, 2, 0, 0)
        small = 16 * m  # statistics
        assert forward * a <= floor.forward <= forward * a + small, name
        assert backward * a <= floor.backward <= backward * a + small, name
    wide = FLOORS["add_rms_norm_fp32"](m, n, 2, 0, 0)
    assert wide.forward - 4 * m == m * n * (2 + 4 + 4 + 2)  # x, r, s, y
    assert wide.backward - 4 * m == m * n * (2 + 4 + 4 + 2 + 4)  # dy, ds, s, dx, dr
    assert {*tensors, "add_rms_norm_fp32", "group_norm", "group_norm_last"} == set(OPS)


def test_partial_sums_are_counted_and_said():
    floor = layer_norm(2048, 65536, 2, 2, 132)
    assert floor.partial == 132 * 65536 * 4 * 2 * 2  # dw and db, written and read
    assert 0.13 < floor.partial / floor.backward < 0.15


def test_groups_that_fit_on_no_cluster_are_read_twice():
    fits, spills = (group_norm(1, 1, size, 1, 2, 2).forward for size in (ON_CHIP // 2, ON_CHIP))
    assert round(fits / ON_CHIP) == 2
    assert round(spills / (2 * ON_CHIP)) == 3


@pytest.fixture(autouse=True, scope="module")
def _few_runs_and_memory_is_returned():
    """The benchmark tells its process to keep all memory: not this one. Its times do not matter: few are taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "keep_memory", lambda: True)
        patch.setattr(operations, "gc", SimpleNamespace(collect=lambda: None))  # a second each among thousands of tests
        patch.setattr(command, "Clock", lambda device, **longer: clock() if device == CPU else Clock(device, **longer))
        yield


# -- the clock -------------------------------------------------------------------------------------------------------


def clock(**options):
    return Clock(CPU, **{"runs": 9, "seconds": 0.05, "cold_bytes": 2**20} | options)


def test_the_clock_finds_a_time_that_is_known():
    measured = clock().time(lambda: time.sleep(0.02))
    assert 0.02 <= measured["lower_quartile_s"] <= measured["median_s"] <= measured["upper_quartile_s"]
    assert measured["median_s"] < 0.04  # a sleep that lasts twice as long is no longer the clock's


def test_the_clock_calls_as_often_as_it_says():
    calls = []
    measured = clock(runs=7, seconds=100).time(lambda: calls.append(1), warm_up=2)
    assert len(calls) == 7 + 2
    assert measured["runs"] == 7


def test_five_calls_are_timed_however_long_they_take():
    assert clock(seconds=0).time(lambda: time.sleep(0.001))["runs"] == 5


def test_a_copy_takes_the_time_of_its_bytes():
    """Against a clock of its own around a loop; a median of many, so that what else runs does not decide."""
    source, target = torch.ones(2**22), torch.empty(2**22)
    ours = clock(runs=25, seconds=2, cold_bytes=2**26).time(lambda: target.copy_(source))["lower_quartile_s"]
    loops = []
    for _ in range(25):
        start = time.perf_counter()
        target.copy_(source)
        loops.append(time.perf_counter() - start)
    assert min(loops) / 2 <= ours <= 4 * sorted(loops)[18]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux is asked")
def test_memory_that_is_kept_is_handed_out_again():
    """Page faults are counted by the system: a copy of 28 MiB touches 7,168 new pages, or none. In a fresh process."""
    program = """
import resource, torch
from resnorm_lib.bench.memory import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    x.clone()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
x = torch.ones(7 * 2**20)
x.clone()
print(faults(), keep_memory())
x.clone()
print(faults())
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    fresh, told, kept = result.stdout.split()
    if told == "False":
        pytest.skip("the C library is not glibc")
    assert int(kept) < 100
    assert int(fresh) > 10 * int(kept)


def test_the_cache_is_emptied_before_each_call():
    events = []
    watched = clock(runs=5, seconds=100)

    class Cold:
        def max(self):
            events.append("cold")

    watched.cold = Cold()
    watched.time(lambda: events.append("call"), warm_up=1)
    assert events == ["call"] + ["cold", "call"] * 5


# -- cases -----------------------------------------------------------------------------------------------------------


def test_the_most_valuable_cases_come_first():
    cases = default_cases()
    assert {case.dtype for case in cases[: len(cases) // 3]} == {"bfloat16"}
    assert {case.op for case in cases[:4]} == {"rms_norm", "layer_norm", "add_rms_norm", "add_layer_norm"}
    assert cases[0].shape == (16384, 4096)
    assert len(set(cases)) == len(cases)
    assert (
        set(OPS) == {case.op for case in default_cases(quick=True)} == {case.op for case in default_cases(is_cpu=True)}
    )


@pytest.mark.parametrize("text", ["4096", "4096x", "0x4", "axb", "4x-1", "4.5x2"])
def test_a_wrong_shape_is_named(text):
    with pytest.raises(ValueError, match="a shape is"):
        parse_shape(text)


@pytest.mark.parametrize("op", OPS)
def test_every_version_of_an_operation_computes_the_same(op):
    """In float32, so that what differs is the formula; the first rows against float64."""
    case = Case(op, (3, 6, 5, 2) if op.startswith("group") else (5, 48), "float32")
    inputs = case.inputs(CPU)
    for version in ("ours", "ours, separate", "torch", "chain"):
        try:
            function = versions.VERSIONS[version](case)
        except Absent:
            continue
        outputs = operations.as_tuple(function(*inputs))
        error = operations.relative_error(case, inputs, outputs)
        assert error < 48 * 2.0**-24, version
        assert all(y.shape == case.shape for y in outputs)


def test_chains_and_separate_kernels_are_timed_where_there_are_such():
    def ops_of(version):
        for op in OPS:
            with contextlib.suppress(Absent):
                versions.VERSIONS[version](Case(op, (5, 48), "float32"))
                yield op

    assert set(ops_of("chain")) == {"rms_norm", "layer_norm", "add_rms_norm", "add_layer_norm"}
    assert set(ops_of("ours, separate")) == {"add_rms_norm", "add_layer_norm"}


# -- training steps --------------------------------------------------------------------------------------------------

SMALL = steps.Size(vocab_size=11, dim=16, depth=2, heads=2, context=8, batch=3, dtype=torch.float32)


def test_a_network_of_chains_computes_what_the_network_of_norms_does():
    model = DecoderLM(11, 16, depth=2, num_heads=2, context_length=8)
    tokens = torch.arange(16).reshape(2, 8) % 11
    wanted = model(tokens)
    chains = steps.with_chains(model)
    assert not [module for module in chains.modules() if isinstance(module, LayerNorm)]
    assert sum(isinstance(module, steps.Chain) for module in chains.modules()) == 5  # two a layer, and the last one
    torch.testing.assert_close(chains(tokens), wanted)


@pytest.mark.parametrize("way", ["none", "chain", "torch", "ours"])
def test_a_step_trains_and_leaves_the_switch_as_it_was(way, monkeypatch):
    built = []
    monkeypatch.setattr(steps, "DecoderLM", lambda *a, **k: built.append(DecoderLM(*a, **k)) or built[0])
    step = steps.build(way, SMALL, CPU)
    before = [p.detach().clone() for p in built[0].parameters()]
    with kernels("off"):
        step()
        assert kernels.mode() == "off"
    assert any((p != q).any() for p, q in zip(built[0].parameters(), before))


def test_ways_take_turns_and_are_compared_within_a_turn(monkeypatch):
    """Every turn is twice as slow as the one before: medians of times mean nothing then, ratios do."""
    monkeypatch.setattr(steps, "build", lambda way, size, device: way)
    asked = []

    class Known:
        device = CPU

        def once(self, way):
            asked.append(way)
            return {"none": 1.0, "torch": 1.25}[way] * 2.0 ** (len(asked) // 2)

    found = steps.time_steps(Known(), SMALL, ("none", "torch"), turns=4)
    assert asked == ["none", "torch"] * 6
    assert found["none"]["ratio"] == 1
    assert (
        found["torch"]["lower_ratio"] == found["torch"]["upper_ratio"] == pytest.approx(2.5)
    )  # by then it is twice as slow
    assert found["torch"]["runs"] == 4


def test_a_way_that_fails_leaves_the_others_in_the_race(monkeypatch, capsys):
    def build(way, size, device):
        return time.sleep if way == "torch" else lambda: None  # which wants to know how long

    monkeypatch.setattr(steps, "build", build)
    assert list(steps.time_steps(clock(), SMALL, ("none", "torch", "ours"), turns=4)) == ["none", "ours"]
    assert "torch is left out. TypeError:" in capsys.readouterr().err


def test_an_unknown_way_is_named():
    with pytest.raises(ValueError, match="way is 'magic', but it must be one of none, chain, torch, ours"):
        steps.build("magic", SMALL, CPU)


# -- the record ------------------------------------------------------------------------------------------------------


def validate(document):
    """By the tool for JSON Schema that comes with nbval; a machine with a GPU may not have it."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "record.json"
    words = ["operations", "--device", "cpu", "--quick", "--out", str(path), "--shapes", "16x32,2x8x4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(steps.SIZES, "cpu", SMALL)
        assert command.main([*words, "--versions", "ours", "torch", "quack"]) == 0
    return path


def test_a_record_keeps_its_schema(finished):
    document = json.loads(finished.read_text())
    validate(document)
    assert document["status"] == "complete"
    assert {(row["op"], row["version"], row["direction"]) for row in document["rows"]} == {
        (op, version, direction) for op in OPS for version in ("ours", "torch") for direction in ("forward", "backward")
    }
    assert [step["way"] for step in document["steps"]] == ["none", "torch"]  # on a CPU ours is torch's
    assert {row["op"] for row in document["absent"]} == set(OPS)
    assert all("quack" in row["reason"] for row in document["absent"])


def test_the_schema_notices_what_is_missing_or_unknown(finished):
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(finished.read_text())
    for spoil in (lambda d: d["rows"][0].pop("median_s"), lambda d: d.update(extra=1), lambda d: d.pop("machine")):
        spoilt = json.loads(json.dumps(document))
        spoil(spoilt)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoilt, SCHEMA)


def test_shares_are_bytes_by_time(finished):
    document = json.loads(finished.read_text())
    for row in document["rows"]:
        assert row["bytes_per_s"] == pytest.approx(row["floor_bytes"] / row["median_s"])
        copy = document["machine"]["copy_bytes_per_s"]
        assert row["share_of_copy"] == pytest.approx(row["bytes_per_s"] / copy)
        assert row["share_of_peak"] is None


def test_the_schema_is_printed(capsys):
    assert command.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_the_plot_shows_every_operation_and_the_ceiling(finished, tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    fig = plot.draw(finished, tmp_path / "roofline.png")
    labels = {line.get_label() for line in fig.axes[0].get_lines()}
    plt.close(fig)
    assert labels == {*OPS, "measured copy"}
    assert (tmp_path / "roofline.png").stat().st_size > 10_000


def test_a_plot_of_nothing_is_refused(finished, tmp_path):
    pytest.importorskip("matplotlib")
    document = json.loads(finished.read_text())
    document["rows"] = [row for row in document["rows"] if row["version"] == "torch"]
    (tmp_path / "empty.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.draw(tmp_path / "empty.json", tmp_path / "roofline.png")


WORDS = [
    "operations",
    "--device",
    "cpu",
    "--no-steps",
    "--shapes",
    "4x8",
    "--ops",
    "rms_norm",
    "scaled_add",
    "dyt",
    "--versions",
    "torch",
]


def test_what_is_finished_stays_after_an_interrupt(tmp_path, monkeypatch):
    def interrupted(case, *arguments, **options):
        if case.op == "scaled_add":
            raise KeyboardInterrupt
        return measure(case, *arguments, **options)

    measure = operations.measure
    monkeypatch.setattr(operations, "measure", interrupted)
    path = tmp_path / "record.json"
    assert command.main([*WORDS, "--out", str(path)]) == 130
    document = json.loads(path.read_text())
    validate(document)
    assert document["status"] == "interrupted"
    assert {row["op"] for row in document["rows"]} == {"rms_norm", "dyt"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_version_that_fails_ends_nothing(tmp_path, monkeypatch):
    def broken(case):
        raise ZeroDivisionError("a kernel\nof lines")

    monkeypatch.setitem(versions.VERSIONS, "torch", broken)
    path = tmp_path / "record.json"
    assert command.main([*WORDS, "ours", "--out", str(path)]) == 0
    document = json.loads(path.read_text())
    validate(document)
    assert {row["reason"] for row in document["absent"]} == {"ZeroDivisionError: a kernel"}
    assert {row["version"] for row in document["rows"]} == {"ours"}


def test_a_capture_that_fails_leaves_all_else_measured(tmp_path, monkeypatch):
    """A stand-in for a GPU: after its first capture, which fails, torch's own generator raises, as it does there."""

    class Failing(Clock):
        is_cuda = True

        def graph(self, make):
            make()()
            monkeypatch.setattr(torch, "randn_like", lambda x: pytest.fail("drawn from a generator that cannot"))
            return {"reason": "operation not permitted when stream is capturing"}

        def time(self, call, warm_up=3):
            return clock().time(call, warm_up)

        def host(self, call, calls=20):
            return 1e-6

    watched = Failing(CPU, cold_bytes=64)
    document = record.Record(tmp_path / "record.json", CPU, clock(), "a test")
    case = Case("rms_norm", (4, 8), "float32")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    operations.measure(case, watched, document, ["torch", "chain"])
    rows = document.document["rows"]
    assert [(row["version"], row["direction"]) for row in rows] == [
        (version, direction) for version in ("torch", "chain") for direction in ("forward", "backward")
    ]
    assert all(row["graph"] == {"reason": "operation not permitted when stream is capturing"} for row in rows)


def test_every_row_is_on_disk_as_soon_as_it_is_measured(tmp_path):
    seen, path = [], tmp_path / "record.json"
    document = record.Record(path, CPU, clock(), "a test")
    case = Case("rms_norm", (4, 8), "float32")
    operations.measure(case, clock(), document, ["torch"], on_row=lambda row: seen.append(json.loads(path.read_text())))
    assert [len(state["rows"]) for state in seen] == [1, 2]
    assert seen[0]["status"] == "running"


def test_no_case_is_begun_when_the_time_is_up(tmp_path):
    path = tmp_path / "record.json"
    assert command.main([*WORDS, "--out", str(path), "--budget", "0"]) == 0
    document = json.loads(path.read_text())
    validate(document)
    assert document["status"] == "budget"
    assert not document["rows"]
    assert len(document["left_out"]) == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_in_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["operations", "--out", str(tmp_path / "record.json")])
    assert stopped.value.code == 2
    assert "this machine has no GPU that torch can use; --device cpu" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "arguments are required: COMMAND"),
        (["operations"], "arguments are required: --out"),
        (["operations", "--out", "/nowhere/at/all.json"], "--out must name the file"),
        (["plot", "a.json"], "arguments are required: png"),
        (["operations", "--device", "cpu", "--out", "x.json", "--shapes", "8"], "a shape is '8'"),
        (
            ["operations", "--device", "cpu", "--out", "x.json", "--shapes", "8x8", "--ops", "group_norm"],
            "no shape fits",
        ),
    ],
)
def test_a_wrong_command_is_named(words, message, capsys):
    with pytest.raises(SystemExit):
        command.main(words)
    assert message in capsys.readouterr().err


class Properties:
    name = "NVIDIA H100 80GB HBM3"
    memory_clock_rate, memory_bus_width = 2_619_000, 5120


def test_the_peak_of_an_h100_follows_from_clock_and_bus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert memory.peak_bandwidth(torch.device("cuda", 0)) == pytest.approx(3.35e12, rel=1e-3)
    assert memory.peak_bandwidth(CPU) is None


@gpu
def test_on_a_gpu_graphs_are_timed_and_a_copy_is_near_the_peak(tmp_path):
    path = tmp_path / "record.json"
    words = [
        "operations",
        "--no-steps",
        "--shapes",
        "4096x4096",
        "--ops",
        "add_rms_norm",
        "dyt",
        "--dtypes",
        "bfloat16",
    ]
    words += ["--versions", "ours", "torch", "torch.compile", "--out", str(path)]
    assert command.main(words) == 0
    document = json.loads(path.read_text())
    validate(document)
    assert not document["absent"]
    assert len(document["rows"]) == 2 * 3 * 2
    assert all("median_s" in row["graph"] for row in document["rows"])  # both passes of all three are captured
    here = document["machine"]
    assert 0.6 < here["copy_bytes_per_s"] / here["peak_bytes_per_s"] < 1
    assert all(row["share_of_peak"] < 1 for row in document["rows"])  # no call is faster than the memory


@gpu
def test_on_a_gpu_random_numbers_are_drawn_after_a_capture_that_failed():
    def make():
        return lambda: torch.ones(1, device="cuda").item()  # waits for the GPU, which no capture allows

    found = Clock(torch.device("cuda", 0), runs=5, seconds=0.01).graph(make)
    assert "captur" in found["reason"]
    assert torch.randn(4, device="cuda").isfinite().all()
