"""Checks for the exercises of "Agents"."""

from collections.abc import Callable

import torch
from torch import Tensor

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_actor", "check_gate", "check_returns", "check_state_values"]


def _normal(face: Draw, number: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=face.generator(number), dtype=torch.float64)


def _returns(rewards: Tensor, discount: float) -> Tensor:
    later = torch.arange(rewards.shape[1])[:, None] - torch.arange(rewards.shape[1])
    return rewards @ torch.where(later >= 0, discount ** later.double().clamp_min(0), 0.0).to(rewards.dtype)


@exercise("exercise-agents-returns", points=1, right=_returns)
def check_returns(answer: Callable[[Tensor, float], Tensor], face: Draw) -> str:
    """Check ``answer(rewards, discount)``: at each step of (n, T) the discounted sum of this reward and all later ones.

    The verdict is wrong if a sum begins elsewhere, runs backwards, or is discounted from another step.
    """
    rows, steps = face.size(3), face.size(5, 3)
    rewards = _normal(face, 1, rows, steps)
    for discount in (face.value(0.5, 0.3, 0.6), face.number(0.6, 0.9)):
        right = _returns(rewards, discount)
        powers = discount ** torch.arange(steps, dtype=torch.float64)
        expect_close(
            call(answer, rewards.clone(), discount),
            right,
            f"The returns with the discount {discount}",
            mistakes=[
                (_returns(rewards, 1.0), "Nothing is discounted."),
                (_returns(rewards.flip(1), discount).flip(1), "It sums what came before: sum what is still to come."),
                (right - rewards, "The reward of the step itself is missing."),
                (right * powers, "It is discounted from the beginning of the episode: from the step itself."),
                (right[:, :1].expand_as(right), "All steps have the return of the first: each counts from itself."),
            ],
        )
    return "what is still to come"


def _actor(log_p: Tensor, goal: Tensor, value: Tensor, alive: Tensor) -> Tensor:
    return -(log_p * (goal - value).detach())[alive].mean()


@exercise("exercise-agents-actor", points=2, right=_actor)
def check_actor(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], face: Draw) -> str:
    """Check ``answer(log_p, goal, value, alive)``: the actor's loss, the mean over the steps that are alive.

    The verdict is wrong if it is another number, or if a gradient flows into the value.
    """
    lengths = [face.integer(1, 7) for _ in range(face.size(4, 3))] if face.hidden else [5, 2, 3, 1]
    shape = len(lengths), max(lengths) + 1 if face.hidden else 5
    log_p, value = _normal(face, 2, *shape).requires_grad_(), _normal(face, 3, *shape).requires_grad_()
    goal, alive = _normal(face, 4, *shape), torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    advantage = (goal - value).detach()
    right = -(log_p * advantage)[alive].mean()
    arguments = log_p.clone(), goal, value.clone(), alive  # no leaf, which nobody can overwrite
    loss, slopes = call(answer, *arguments, at=(0, 2))
    expect_close(
        loss,
        right.detach(),
        "The loss",
        mistakes=[
            (-right.detach(), "The sign: the optimizer goes downhill, and the return is to go up."),
            (-(log_p * advantage).mean().detach(), "Steps after the end of an episode count: leave them out."),
            (-(log_p * advantage * alive).mean().detach(), "Divide by the number of steps that are alive, not by all."),
            (-(log_p * advantage * alive).sum().detach(), "That is the sum: the mean is asked for."),
            (-(log_p * goal)[alive].mean().detach(), "Subtract the value from the return."),
            (-(log_p.exp() * advantage)[alive].mean().detach(), "The logarithm of the probability is asked for."),
        ],
    )
    at_log_p, at_value = slopes or (None, None)
    if at_log_p is None:
        raise Wrong("No gradient flows: the logarithm of the probability must keep its own.")
    if at_value is not None and at_value.any():
        raise Wrong("A gradient flows into the value: for the actor, return minus value is a number (detach).")
    expect_close(at_log_p, torch.autograd.grad(right, log_p)[0], "The gradient at log_p")
    return "the gradient of the return"


def _gate(x: Tensor, u: Tensor, W: Tensor, U: Tensor, b: float, swapped: bool = False, reset: str = "inside") -> Tensor:
    r = torch.sigmoid(u @ W[0].T + x @ U[0].T)
    z = torch.sigmoid(u @ W[1].T + x @ U[1].T - b)
    read = {"inside": (r * x) @ U[2].T, "outside": r * (x @ U[2].T), "none": x @ U[2].T}[reset]
    candidate = torch.tanh(u @ W[2].T + read)
    return z * x + (1 - z) * candidate if swapped else (1 - z) * x + z * candidate


@exercise("exercise-agents-gate", points=2, right=_gate)
def check_gate(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(x, u, W, U, b)``: the gate of GTrXL, for the matrices W and U of r, z and the candidate.

    The verdict is wrong if the gate is open the other way round, or a part stands in another place.
    """
    n, d = face.size(3), face.size(4)
    x, u = _normal(face, 5, n, d), _normal(face, 6, n, d).relu()
    W, U, b = _normal(face, 7, 3, d, d), _normal(face, 8, 3, d, d), face.number(0.5, 2.5)
    right = _gate(x, u, W, U, b)
    expect_close(
        call(answer, x.clone(), u.clone(), W.clone(), U.clone(), b),
        right,
        "The stream after the gate",
        mistakes=[
            (_gate(x, u, W, U, b, swapped=True), "z belongs to the candidate, and 1 - z to the stream."),
            (_gate(x, u, W, U, -b), "The bias is subtracted inside of z, so that z is small at the start."),
            (_gate(x, u, W, U, 0.0), "The bias b is missing in z."),
            (_gate(x, u, W, U, b, reset="none"), "The candidate reads r * x: r is missing."),
            (_gate(x, u, W, U, b, reset="outside"), "Multiply x by r before the matrix, not after it."),
            (_gate(u, x, W, U, b), "Stream and branch have changed places."),
            (x + u, "That is the sum: the gate replaces it."),
        ],
    )
    return "a gate instead of the sum"


def _values(chance: Tensor, reward: Tensor, after: Tensor, over: Tensor, steps: int) -> Tensor:
    value = torch.zeros(len(chance), dtype=chance.dtype)
    for _ in range(steps):
        value = (chance * (reward + torch.where(over, 0.0, value[after]))).sum(1)
    return value


@exercise("exercise-agents-values", points=2, right=_values)
def check_state_values(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(chance, reward, after, over, steps)``: the expected return from each cell, for a known policy.

    The verdict is wrong if an end is not one, the number of steps is another, or the best action is taken.
    """
    cells, actions = face.size(4, 3), face.size(3, 2, 5)
    chance, reward = _normal(face, 9, cells, actions).softmax(-1), _normal(face, 10, cells, actions)
    after = torch.randint(cells, (cells, actions), generator=face.generator(11))
    over = torch.tensor([[False, False, False], [True, False, False], [False, True, False], [False, True, True]])
    if face.hidden:
        over = torch.rand(cells, actions, generator=face.generator(12)) < 0.3
    for steps in (1, face.integer(4, 6)):
        start, open_end = torch.zeros(cells, dtype=torch.float64), torch.zeros_like(over)
        best = start
        for _ in range(steps):
            best = (reward + torch.where(over, 0.0, best[after])).amax(1)
        expect_close(
            call(answer, chance.clone(), reward.clone(), after.clone(), over.clone(), steps),
            _values(chance, reward, after, over, steps),
            f"The values with {steps} steps left",
            mistakes=[
                (_values(chance, reward, after, open_end, steps), "An episode that is over earns nothing more."),
                (_values(chance, reward, after, over, steps + 1), "That is one step too many."),
                (_values(chance, reward, after, over, steps - 1), "That is one step too few."),
                (best, "That takes the best action: the policy's own probabilities are asked for."),
                (
                    _values(torch.full_like(chance, 1 / actions), reward, after, over, steps),
                    "All actions count alike: weigh each by its probability.",
                ),
            ],
        )
    return "the return, without a single walk"
