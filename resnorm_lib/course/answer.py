"""An answer that runs elsewhere: to a check it is a function like any other."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from resnorm_lib.checks.judge.answers import REBUILT, Wrong
from resnorm_lib.checks.judge.arguments import leaves
from resnorm_lib.checks.judge.face import current
from resnorm_lib.course import wire
from resnorm_lib.course.limits import LIMITS, Limits

__all__ = ["Handle", "House"]

# What an answer may raise and a check may ask for; anything else arrives as a RuntimeError.
_ERRORS = {kind.__name__: kind for kind in (NotImplementedError, ZeroDivisionError, ValueError, TypeError, KeyError,
           IndexError, AttributeError, NameError, AssertionError, SyntaxError, RuntimeError)}  # fmt: skip


class House:
    """Where answers run: one process that waits, and forks a confined child for each.

    ::

        with House() as house, house.answer("double", ["def double(x): return 2 * x"]) as double:
            double(21)
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.apart = True  # whether all answers had no network
        self.shut = True  # whether all answers had no files but their own

    def __enter__(self) -> "House":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._orders.close()
            self._process.wait()
            self._process = None

    def _open(self) -> None:
        """Start the process that forks, anew if an answer has ended it."""
        if self._process and self._process.poll() is None:
            return
        if not hasattr(os, "fork"):
            raise OSError("Answers run in forked processes, which Windows lacks: grade on Linux, on macOS, or in WSL.")
        self._orders, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-c", "from resnorm_lib.course.child import main; main()", str(number)]
            kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
            self._process = subprocess.Popen(command, pass_fds=[number], env=kept | {"OMP_NUM_THREADS": "1"})

    @contextmanager
    def answer(
        self, name: str, cells: list[str], others: Sequence[str] = (), limits: Limits = LIMITS
    ) -> Iterator["Handle"]:
        """Run cells in a child of their own; give the object that they call ``name``.

        Parameters
        ----------
        cells : list of str
            Sources that must run, in order.
        others : list of str
            Sources that run before them if they can.
        limits : Limits
            For the cells, and again for all calls of the answer together.
        """
        link = _Link(self, limits)
        try:
            link.ask("start", cells=list(cells), others=list(others), name=name)
            link.left = limits.seconds
            yield Handle(link, 0, [])
        finally:
            link.close()

    def fork(self, theirs: socket.socket, folder: str, limits: Limits) -> int:
        """Have a child forked that serves a socket and works in a folder; return its process."""
        self._open()
        order = {"limits": limits._asdict(), "folder": folder}
        socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs.fileno()])
        return json.loads(wire.receive(self._orders))["pid"]


class _Link:
    """One child: requests go out, results come back, until its time is over."""

    def __init__(self, house: House, limits: Limits) -> None:
        self.limits, self.functions, self.arguments = limits, [], ()
        self._folder = tempfile.TemporaryDirectory(prefix="answer-", ignore_cleanup_errors=True)
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._pid = house.fork(theirs, self._folder.name, limits)
        self.left = self.limits.seconds  # of waiting: what the check itself computes does not count
        begun = json.loads(self._receive())
        house.apart &= begun["apart"]
        house.shut &= begun["shut"]

    def close(self) -> None:
        self._socket.close()
        for kill in (os.kill, os.killpg):
            try:
                kill(self._pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        self._folder.cleanup()

    def ask(self, do: str, values: Any = None, **request: Any) -> Any:
        """Send a request and return the result; answer the calls of functions that stayed here."""
        self.functions = []
        pickled = None if values is None else wire.dump(values, self.functions)
        try:
            wire.send(self._socket, json.dumps({"do": do, "pickled": pickled is not None, **request}).encode())
            if pickled is not None:
                wire.send(self._socket, pickled)
            while "call_back" in (reply := json.loads(self._receive())):
                result = self.functions[reply["call_back"]](*self._decode(reply["arguments"]))
                wire.send(self._socket, wire.dump(result, self.functions))
        except TimeoutError:  # it has not even read what it was sent
            raise self._too_long() from None
        except (EOFError, OSError):
            raise Wrong("The answer ended its process: does it exit, or need too much memory?") from None
        if "raised" in reply:
            raise _error(reply)
        if reply.get("broken"):
            raise Wrong(str(reply["broken"][0]))
        self._write_back(reply)
        return self._decode(reply.get("result"))

    def _receive(self) -> bytes:
        began = time.monotonic()
        ready, _, _ = select.select([self._socket], [], [], max(0.0, self.left))
        self.left -= time.monotonic() - began
        if not ready:
            raise self._too_long()
        self._socket.settimeout(self.limits.seconds)
        return wire.receive(self._socket)

    def _too_long(self) -> Wrong:
        return Wrong(f"The answer takes longer than {self.limits.seconds:g} s: does it end?")

    def _write_back(self, reply: dict) -> None:
        """Let the arguments here be what they have become there."""
        if reply.get("rebuilt"):
            raise Wrong(REBUILT)
        changed = self._decode(reply.get("changed") or {"dict": []})
        with torch.no_grad():
            for path, leaf in leaves(self.arguments):
                if path in changed and isinstance(leaf, torch.Tensor):
                    leaf.copy_(changed[path])
                elif path in changed:
                    leaf[...] = changed[path]

    def _decode(self, tree: Any) -> Any:
        try:
            return wire.decode(tree, self._held)
        except Exception as error:
            raise Wrong("The answer returns something that cannot be read.") from error

    def _held(self, entry: dict) -> Any:
        if "argument" in entry:
            leaf = dict(leaves(self.arguments))[entry["argument"]].detach()
            return leaf.as_strided(*entry["view"])
        return Handle(self, int(entry["object"]), list(entry["kinds"]))


class Handle:
    """An object that stays in the child: it can be called, asked for attributes, and listed."""

    def __init__(self, link: _Link, number: int, kinds: list[str]) -> None:
        self._link, self._number, self._kinds = link, number, kinds

    @property
    def __class__(self) -> type:
        """A layer of torch's counts as one, so that a check may ask what it was given."""
        for kind in self._kinds:
            module, _, name = kind.rpartition(".")
            if module.startswith("torch.nn.modules") and hasattr(nn, name):
                return getattr(nn, name)
        return Handle

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._link.arguments = arguments
        grad = torch.is_grad_enabled()
        without = list(current().without)
        return self._link.ask("call", (arguments, options), object=self._number, grad=grad, without=without)

    def with_gradients(self, at: tuple[int, ...], *arguments: Any) -> Any:
        """Return the result of a call, and its gradients at the arguments in these places, taken where it runs."""
        self._link.arguments = arguments
        return self._link.ask("call", (arguments, {}), object=self._number, grad=True, at=list(at))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._link.ask("get", object=self._number, name=name)

    def __iter__(self) -> Iterator:
        return iter(self._link.ask("list", object=self._number))


def _error(reply: dict) -> Exception:
    """Return an error of the answer as one of the same kind, with the line that raised it."""
    known = [_ERRORS[name] for name in reply["raised"] if name in _ERRORS]
    message = str(reply["message"])
    if not known:
        message = f"{reply['name']}: {message}"
    error = (known or [RuntimeError])[0](message)
    error.line = reply["line"]
    return error
