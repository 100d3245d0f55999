"""What two processes compute is what one computes: data, norms, sequence, shards, and a training that was killed."""

import json
import subprocess
import sys

import pytest
import torch

from resnorm_lib._processes import finished
from resnorm_lib.parallel import ring_bytes, sync_norm_bytes
from resnorm_lib.parallel.command_line import TASKS, main

SHARDS = hasattr(torch.cpu.Stream, "record_event")  # torch 2.6 shards on GPUs alone
TASKS_HERE = [task for task in TASKS if task != "shard" or SHARDS]
EQUAL = 1e-12

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script below forks")


# All in one fresh interpreter, which imports torch once and forks: pytest's own has threads, and should not be forked.
SCRIPT = """
import multiprocessing, os, socket, sys, time
from resnorm_lib.parallel import ProcessFailed, run
from resnorm_lib.parallel.command_line import main

folder, tasks = sys.argv[1], sys.argv[2:]
main([*tasks, "--out", f"{folder}/found.json"])
train = ["train", "--checkpoint", f"{folder}/run.pt"]
for words in ([*train, "--kill", "1:8"], ["data", "--rows", "15"]):
    try:
        main(words)
    except SystemExit as end:
        print("said:", end)

def as_torchrun_does(rank, port):  # each process gets its rank in the environment, and runs the same command
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    main([*train, "--out", f"{folder}/resumed.json"])

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
members = [multiprocessing.get_context("fork").Process(target=as_torchrun_does, args=(r, port)) for r in range(2)]
for member in members:
    member.start()
for member in members:
    member.join(100)

def refused():
    raise TypeError("a mistake")

def late():
    time.sleep(60)

for work in (refused, late):
    try:
        run(work, 2, limit=1.5)
    except ProcessFailed as error:
        print("said:", str(error).replace(chr(10), " "))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parallel")


@pytest.fixture(scope="module")
def said(folder):
    """The sentences with which runs of two processes ended."""
    words = [sys.executable, "-c", SCRIPT, str(folder), *TASKS_HERE]
    done = finished(words, 150, stdout=subprocess.PIPE)
    done.check_returncode()
    return [line.removeprefix("said: ") for line in done.stdout.splitlines() if line.startswith("said: ")]


@pytest.fixture(scope="module")
def found(said, folder):
    """What two processes have measured."""
    return json.loads((folder / "found.json").read_text())


def test_the_mean_of_equal_parts_is_the_gradient_of_the_whole_batch(found):
    data = found["data"]
    assert max(data["averaged"], data["DDP"], data["weighted"]) < EQUAL
    assert min(data["own"], data["uneven"]) > 0.05


def test_torch_sends_in_one_message_what_by_hand_takes_one_a_parameter(found):
    size = 8 * found["data"]["parameters"]
    assert found["data"]["by DDP"] == f"1 all-reduce of {size} bytes"
    assert found["data"]["by hand"] == f"22 all-reduces of {size} bytes in all"


def test_only_batch_norm_depends_on_the_process(found):
    norms = found["norms"]["norms"]
    assert norms["BatchNorm"]["distance"] > 0.05
    assert max(norms["SyncBatchNorm"]["distance"], norms["LayerNorm"]["distance"]) < EQUAL
    assert found["norms"]["ghosts"] < EQUAL


def test_the_formula_counts_the_bytes_that_are_sent(found):
    norms = found["norms"]["norms"]
    assert norms["SyncBatchNorm"]["bytes"] == norms["SyncBatchNorm"]["formula"] != {}
    assert norms["SyncBatchNorm"]["calls"] == {"all-gather": 5, "all-reduce": 5}
    assert norms["LayerNorm"]["bytes"] == norms["BatchNorm"]["bytes"] == {}


def test_the_mean_of_all_rows_lies_between_those_of_the_processes(found):
    first, second, whole = found["norms"]["statistics"]
    torch.testing.assert_close(torch.tensor(whole), (torch.tensor(first) + torch.tensor(second)) / 2)
    assert first != second


@pytest.mark.parametrize("way", ["tensor parallel", "sequence parallel"])
def test_a_layer_on_two_devices_is_the_layer_on_one(way, found):
    assert found["sequence"][way]["output"] < EQUAL
    assert found["sequence"][way]["gradients"] < EQUAL


def test_sequence_parallel_sends_as_many_bytes_as_tensor_parallel(found):
    tensor, sequence = (found["sequence"][way]["bytes"] for way in ("tensor parallel", "sequence parallel"))
    sent = [sum(ring_bytes(kind, size, 2) for kind, size in each.items()) for each in (tensor, sequence)]
    assert sent[0] == sent[1] > 0


def test_the_gradient_of_a_gain_is_a_sum_over_the_tokens_of_all_devices(found):
    assert found["sequence"]["tensor parallel"]["gain, before the sum"] < EQUAL
    assert found["sequence"]["sequence parallel"]["gain, before the sum"] > 0.05


@pytest.mark.skipif(not SHARDS, reason="this torch shards on GPUs alone")
def test_a_process_keeps_half_of_a_sharded_model_and_has_the_gradients_of_the_whole(found):
    shard = found["shard"]
    assert shard["gradients"] < EQUAL
    assert shard["kept"] == shard["parameters"] // 2
    assert shard["calls"] == {"all-gather": 2 * 4 + 1, "reduce-scatter": 4 + 1}  # four blocks, and the rest


def test_each_way_to_fail_is_named(said):
    killed, uneven, mistake, late = said
    assert killed == (
        "Process 1 of 2 was killed (SIGKILL). The other was stopped. "
        "run.pt holds 6 steps; the next run goes on from there."
    )
    assert uneven.endswith("of 2 failed: rows is 15, but it must be a multiple of the 2 processes.")
    assert mistake.endswith("TypeError: a mistake")
    assert late == "The run was not over after 1.5 s, and was stopped."


def test_a_killed_training_goes_on_to_the_same_bits_in_processes_of_torchrun(found, folder):
    resumed = json.loads((folder / "resumed.json").read_text())["train"]
    assert resumed["begun"] == 6
    assert resumed["losses"] == found["train"]["losses"]
    assert resumed["losses"][-1] < 0.9 * resumed["losses"][0]


def test_one_process_agrees_with_itself_and_says_so(capsys, tmp_path):
    main([*TASKS_HERE, "--processes", "1", "--checkpoint", str(tmp_path / "run.pt"), "--rows", "8"])
    said = capsys.readouterr().out
    assert "BatchNorm:     gradients equal; nothing is sent" in said
    assert "away" not in said
    main(["train", "--processes", "1", "--checkpoint", str(tmp_path / "run.pt"), "--steps", "14"])
    assert "resumed after step 12" in capsys.readouterr().out


def test_the_sizes_of_a_synchronized_norm_are_numbers_of_four_bytes():
    assert sync_norm_bytes(10, 4) == {"all-gather": 4 * 21 * 4, "all-reduce": 20 * 4}
