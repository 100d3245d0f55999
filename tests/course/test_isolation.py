"""An answer runs apart: only numbers come back, and what happened to its arguments."""

import json
import os
import socket
import sys

import numpy as np
import pytest
import torch
from torch import nn

from resnorm_lib.checks.judge.answers import Wrong, call
from resnorm_lib.checks.judge.face import Draw, shown
from resnorm_lib.course import files, wire
from resnorm_lib.course.limits import Limits

LIMITS = Limits(seconds=5, megabytes=512)


def run(house, source, *arguments, limits=LIMITS):
    with house.answer("f", ["import torch", source], limits=limits) as answer:
        return answer(*arguments)


def test_results_of_every_kind_come_back(house):
    result = run(house, "def f(x): return {'a': (1, 2.5, None), 'b': [x, x.half()]}, x.dtype", torch.ones(2, 3))
    assert result[0]["a"] == (1, 2.5, None)
    assert torch.equal(result[0]["b"][1], torch.ones(2, 3).half())
    assert result[1] is torch.float32
    assert np.array_equal(run(house, "def f(x): return x.T", np.arange(6).reshape(2, 3)), np.arange(6).reshape(2, 3).T)


def test_what_happens_to_an_argument_is_seen(house):
    x = torch.zeros(3)
    assert run(house, "def f(x):\n    x += 1\n    return 5", x) == 5
    assert x.tolist() == [1, 1, 1]
    with house.answer("f", ["def f(x):\n    x += 1\n    return 5"]) as answer, pytest.raises(Wrong, match="in place"):
        call(answer, torch.zeros(3))


def test_a_result_that_shares_memory_with_an_argument_still_does(house):
    model = nn.Linear(2, 2)
    states = run(house, "def f(model): return model.state_dict(), model.weight.detach().clone()", model)
    with torch.no_grad():
        model.weight.zero_()
    assert states[0]["weight"].abs().sum() == 0
    assert states[1].abs().sum() > 0


def test_a_module_that_loses_a_part_is_refused(house):
    with pytest.raises(Wrong, match="replaces, removes or adds"):
        run(house, "def f(a):\n    a.bias = None\n    return 1", nn.Linear(2, 2))


def test_a_module_stays_there_and_can_be_used(house):
    with house.answer("F", ["import torch", "class F(torch.nn.Linear):\n    scale = 4"]) as answer:
        assert answer.scale == 4
        made = answer(2, 3)
        assert isinstance(made, nn.Linear)
        made.load_state_dict({"weight": torch.ones(3, 2), "bias": torch.zeros(3)})
        assert made(torch.ones(1, 2)).tolist() == [[2, 2, 2]]
        assert [tuple(each.shape) for each in made.parameters()] == [(3, 2), (3,)]


def test_functions_among_the_arguments_are_called_back(house):
    asked = []
    got = run(house, "def f(g, x): return g(x) + g(2 * x)", lambda x: asked.append(float(x)) or x**2, torch.tensor(3.0))
    assert (float(got), asked) == (45.0, [3.0, 6.0])


@pytest.mark.parametrize(
    ("line", "kind"),
    [("raise ValueError('no')", ValueError), ("1 / 0", ZeroDivisionError), ("raise SystemExit", RuntimeError)],
)
def test_an_error_keeps_its_kind_and_its_line(house, line, kind):
    with pytest.raises(kind) as told:
        run(house, f"def f():\n    {line}")
    assert told.value.line == 2


@pytest.mark.parametrize("line", ["import os; os._exit(0)", "import os; os.kill(os.getpid(), 9) or os._exit(1)"])
def test_an_answer_that_ends_its_process_is_told(house, line):
    with pytest.raises(Wrong, match="ended its process"):
        run(house, f"def f():\n    {line}")


@pytest.mark.parametrize("line", ["while True: pass", "import time; time.sleep(60)"])
def test_an_answer_that_does_not_end_is_told_in_time(house, line):
    with pytest.raises(Wrong, match="takes longer than 1 s"):
        run(house, f"def f():\n    {line}", limits=Limits(seconds=1))


def test_memory_is_limited(house):
    with pytest.raises(RuntimeError, match="memory"):
        run(house, "def f(): return torch.zeros(10**9).sum()")


def test_there_is_no_network(house):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        source = f"import socket\ndef f(): return socket.create_connection({address!r}, timeout=1).fileno()"
        if not house.apart:
            pytest.skip("this system gives no process a network of its own")
        with pytest.raises(RuntimeError, match="unreachable"):
            run(house, source)


def test_neither_checks_nor_the_surroundings_are_there(house, monkeypatch):
    monkeypatch.setenv("RESNORM_INSTRUCTOR", "/nowhere")
    source = """def f():
    import os, resnorm_lib.checks.rank_collapse as checks, resnorm_lib.checks.judge.references as references
    told = str(checks.check_distance(1)), str(references.expect(1))
    return *told, len(os.listdir()), os.environ.get("RESNORM_INSTRUCTOR")"""
    assert run(house, source) == ("None", "None", 0, None)


@pytest.mark.parametrize(
    "line",
    ["open(place + '/secret.txt').read()", "open(place + '/new.txt', 'w')", "os.listdir(place)",
     "os.remove(place + '/secret.txt')", "os.rename(place + '/secret.txt', 'mine')",
     "os.truncate(place + '/secret.txt', 0)", "open('/proc/1/environ').read()",
     "open(resnorm_lib.__path__[0] + '/checks/rank_collapse.py').read()",
     "open(resnorm_lib.__path__[0] + '/checks/judge/face.py').read()"],
)  # fmt: skip
def test_files_of_the_judge_are_out_of_reach(house, tmp_path, line):
    (tmp_path / "secret.txt").write_text("word")
    if not run(house, "def f(): return 1") or not house.shut:
        pytest.skip("this system keeps no process from the files of its user")
    with pytest.raises(RuntimeError, match="PermissionError"):
        run(house, f"import os, resnorm_lib\nplace = {str(tmp_path)!r}\ndef f():\n    {line}")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["word"]


def test_an_environment_that_holds_the_library_gives_all_but_its_checks(tmp_path, monkeypatch):
    packages = tmp_path / "lib/python3/site-packages"
    for place in ("resnorm_lib/checks", "resnorm_lib/norms", "numpy"):
        (packages / place).mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "lib64/python3/site-packages")])
    rules = {path: access for path, access in files._rules() if path.startswith(str(tmp_path))}
    above = ("", "lib", "lib/python3", "lib/python3/site-packages", "lib/python3/site-packages/resnorm_lib")
    assert {path for path, access in rules.items() if access == files._LIST} == {str(tmp_path / each) for each in above}
    assert rules.keys() - {str(tmp_path / each) for each in above} == {
        str(packages / each) for each in ("numpy", "resnorm_lib/norms")
    }


def test_an_answer_has_a_folder_of_its_own_and_imports_what_is_installed(house):
    source = """def f():
    import tempfile, sklearn.tree, resnorm_lib.probes
    from resnorm_lib.data import load_digits
    with tempfile.TemporaryFile("w+") as file:
        return file.write("word") + len(load_digits().y_test) * 0"""
    assert run(house, source, limits=Limits(seconds=60)) == 4


def test_an_answer_leaves_no_file(house, tmp_path):
    where = run(house, "import os\ndef f():\n    open('a', 'w').write('b')\n    return os.getcwd()")
    assert not os.path.exists(where)


@pytest.mark.parametrize(
    "tree",
    [{"tensor": "AAAA", "dtype": "save", "shape": [1]}, {"array": "AAAA", "dtype": "O", "shape": [1]},
     {"torch": "load"}, {"dict": [[{"list": []}, 1]]}, {"tuple": 5}],
)  # fmt: skip
def test_a_forged_message_makes_nothing(tree):
    with pytest.raises((TypeError, ValueError)):
        wire.decode(json.loads(json.dumps(tree)), held=lambda entry: entry)


def test_what_an_exercise_rules_out_is_seen_there_whatever_the_answer_catches(house):
    source = "def f(x):\n    try:\n        return torch.nn.LayerNorm(2)(x)\n    except BaseException:\n        return x"
    face = Draw()
    face.without = ("layers",)
    with house.answer("f", ["import torch", source]) as answer, shown(face), pytest.raises(Wrong, match="own norm"):
        call(answer, torch.ones(1, 2))
    assert run(house, source, torch.ones(1, 2)).tolist() == [[0, 0]]
