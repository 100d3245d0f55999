"""Processes that are started together end together, with a sentence, and in time."""

import os
import signal
from argparse import Namespace

import pytest
import torch.distributed as dist

from resnorm_lib.parallel import ProcessFailed, launch
from resnorm_lib.parallel.command_line import main, parser, what_is_left


def test_one_process_is_this_one():
    seen = []
    launch.run(lambda: seen.append((os.getpid(), dist.get_rank(), dist.get_world_size(), launch.home().type)), 1)
    assert seen == [(os.getpid(), 0, 1, "cpu")]
    assert not dist.is_initialized()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"processes": 0}, "processes is 0, but it must be at least 1"),
        ({"device": "tpu"}, "device is 'tpu', but it must be one of 'cpu', 'cuda'."),
        ({"limit": 0}, "limit is 0, but it must be at least 1"),
    ],
)
def test_a_wrong_argument_is_named(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        launch.run(print, **options)


def test_a_process_without_a_gpu_of_its_own_is_told_so(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match="process 1 finds 1 on this machine"):
        launch._take_gpu(1)


def test_a_killed_process_is_the_cause_and_not_those_that_lost_it(tmp_path):
    (tmp_path / "error0").write_text("Connection closed by peer")
    codes = [1, -signal.SIGKILL]
    assert launch._what_failed(codes, 10, tmp_path) == "Process 1 of 2 was killed (SIGKILL). The other was stopped."


def test_other_exit_codes_are_told(tmp_path):
    said = launch._what_failed([0, 3, None], 10, tmp_path)
    assert said == "Process 1 of 3 ended with exit code 3. The others were stopped."


def test_torchrun_is_recognized_by_what_it_sets(monkeypatch):
    assert not launch.by_torchrun()
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.setenv(name, "1")
    assert launch.by_torchrun()


@pytest.mark.parametrize("words", [["train", "--kill", "1"], ["train", "--kill", "a:b"], ["nothing"], []])
def test_a_wrong_command_ends_with_a_sentence(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_wrong_number_ends_with_its_name():
    with pytest.raises(SystemExit, match="steps is 0, but it must be at least 1"):
        main(["train", "--steps", "0"])


def test_a_failed_run_ends_with_the_sentence(monkeypatch):
    def fail(*arguments, **options):
        raise ProcessFailed("Process 1 of 2 was killed (SIGKILL). The other was stopped.")

    monkeypatch.setattr(launch, "run", fail)
    with pytest.raises(SystemExit, match="was killed"):
        main(["train"])


def test_help_names_each_task():
    for task in ("data", "norms", "sequence", "shard", "train", "torchrun"):
        assert task in parser().format_help()


def test_nothing_is_left_without_a_checkpoint(tmp_path):
    assert what_is_left(Namespace(checkpoint=None)) == what_is_left(Namespace(checkpoint=tmp_path / "none")) == ""
