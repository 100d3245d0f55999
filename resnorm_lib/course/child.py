"""The other side: a process that waits with torch imported, and forks a confined child for every answer.

Started by :mod:`resnorm_lib.course.answer` with a socket as its only argument. It never sees a check, a right answer
or a secret: what it is sent are the cells of one hand-in and the arguments of one call at a time.
"""

import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from resnorm_lib.checks.judge.arguments import gradients, leaves, overwritten, structure, values
from resnorm_lib.checks.judge.rules import watched
from resnorm_lib.course import wire
from resnorm_lib.course.files import close_files
from resnorm_lib.course.limits import Limits, close_network, confine

__all__ = ["Worker", "main", "run_cells"]


class _NoChecks(ModuleType):
    """What stands for the checks in the child: they can be imported, and called, and do nothing."""

    __path__ = ()

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


def _hide_checks() -> None:
    """Put stand-ins in the place of the checks, whose sources hold what is expected; what answers are given stays."""
    import resnorm_lib
    from resnorm_lib import checks
    from resnorm_lib.checks.judge import given

    names = [info.name for info in pkgutil.walk_packages(checks.__path__, f"{checks.__name__}.")]
    sys.modules[checks.__name__] = resnorm_lib.checks = _NoChecks(checks.__name__)
    for name in names:  # a folder before what lies in it
        above, _, last = name.rpartition(".")
        module = sys.modules[name] = given if name == given.__name__ else _NoChecks(name)
        setattr(sys.modules[above], last, module)


def run_cells(cells: list[str], others: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Run a hand-in's cells; return their names, and the errors of ``others``, which are passed over."""
    names = {"__name__": "__main__", "display": lambda *_, **__: None}  # as in a notebook
    lost = []
    for source in others:
        try:
            exec(compile(source, "<cell>", "exec"), names)
        except (Exception, SystemExit) as error:
            lost.append(f"{type(error).__name__}: {error}")
    for source in cells:
        exec(compile(source, "<answer>", "exec"), names)
    return names, lost


class Worker:
    """Serves one answer: runs what it is asked to, and keeps what cannot travel."""

    def __init__(self, link: socket.socket) -> None:
        self.link, self.objects, self.arguments, self.lost = link, [], (), []

    def serve(self) -> None:
        """Answer requests until the judge has gone."""
        while True:
            request = json.loads(wire.receive(self.link))
            pickled = wire.receive(self.link) if request["pickled"] else None
            try:
                reply = getattr(self, f"_{request['do']}")(request, pickled)
            except BaseException as error:
                reply = _told(error)
                if self.lost and isinstance(error, NameError):
                    reply["message"] += f" (another cell raised {self.lost[-1]:.200})"
            self._send(reply)

    def _start(self, request: dict, _: None) -> dict:
        names, self.lost = run_cells(request["cells"], request["others"])
        if request["name"] not in names:
            raise NotImplementedError(f"There is no {request['name']} in the answer.")
        self.objects = [names[request["name"]]]
        torch.set_default_dtype(torch.float32)  # as where the answer is judged, whatever a cell has set
        return {"result": None}

    def _get(self, request: dict, _: None) -> dict:
        return {"result": self._encode(getattr(self.objects[request["object"]], request["name"]))}

    def _list(self, request: dict, _: None) -> dict:
        return {"result": self._encode(list(self.objects[request["object"]]))}

    def _call(self, request: dict, pickled: bytes) -> dict:
        arguments, options = wire.load(pickled, self._function)
        self.arguments = arguments
        before, shape = values(arguments), structure(arguments)
        # as where the answer is judged
        with torch.set_grad_enabled(request["grad"]), watched(request.get("without", ())) as broken:
            result = self.objects[request["object"]](*arguments, **options)
        if "at" in request:
            result = result, gradients(result, [arguments[place] for place in request["at"]])
        now = dict(leaves(arguments))
        changed = {path: now[path] for path in overwritten(before, arguments)}
        rebuilt = shape != structure(arguments)
        reply = {"result": self._encode(result), "changed": wire.encode(changed, self._keep), "rebuilt": rebuilt}
        return reply | {"broken": broken}

    def _function(self, number: int) -> Callable:
        """Return what stands for a function of the judge's among the arguments."""

        def call_back(*arguments: Any) -> Any:
            self._send({"call_back": number, "arguments": self._encode(tuple(arguments))})
            return wire.load(wire.receive(self.link), self._function)

        return call_back

    def _send(self, reply: dict) -> None:
        wire.send(self.link, json.dumps(reply).encode())

    def _encode(self, value: Any) -> Any:
        return wire.encode(value, self._keep, self._alias)

    def _keep(self, value: Any) -> dict:
        number = next((place for place, known in enumerate(self.objects) if known is value), len(self.objects))
        self.objects[number:] = self.objects[number:] or [value]
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__]
        return {"object": number, "kinds": kinds, "called": callable(value)}

    def _alias(self, tensor: Tensor) -> dict | None:
        """Say which argument a result shares its memory with: a copy would not follow when that goes on to change."""
        place = tensor.untyped_storage().data_ptr()
        for path, leaf in leaves(self.arguments):
            if place and isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() == place:
                if leaf.dtype != tensor.dtype:
                    return None
                view = [list(tensor.shape), list(tensor.stride()), tensor.storage_offset()]
                return {"argument": path, "view": view}
        return None


def _told(error: BaseException) -> dict:
    """Return an error as words: its kind, its message, and the line of the answer that raised it."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename == "<answer>"]
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    return {"raised": kinds, "name": type(error).__name__, "message": str(error)[:500], "line": line}


def _work(link: socket.socket, limits: Limits, folder: str) -> None:
    """Be the child of one answer."""
    apart = close_network()
    if apart and (inner := os.fork()):  # a new process is the first that lives in the new namespace
        link.close()
        os.waitpid(inner, 0)
        os._exit(0)
    confine(limits, folder)
    _hide_checks()
    shut = close_files(folder)
    try:
        wire.send(link, json.dumps({"apart": apart, "shut": shut}).encode())
        Worker(link).serve()
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)


def _warm_up() -> None:
    """Import once what answers import, and torch when it is first needed: a child has no time for it."""
    importlib.import_module("resnorm_lib.models")
    torch.set_num_threads(1)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.zero_grad()


def main() -> None:
    """Wait for sockets, and fork a child for each."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _warm_up()
    while True:
        message, files, _, _ = socket.recv_fds(orders, 1000, 1)
        if not message:
            return
        order = json.loads(message)
        pid = os.fork()
        if pid == 0:
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _work(socket.socket(fileno=files[0]), Limits(**order["limits"]), order["folder"])
        os.close(files[0])
        wire.send(orders, json.dumps({"pid": pid}).encode())


if __name__ == "__main__":
    main()
