"""Right and wrong answers to the exercises of "Agents"."""

import torch

from resnorm_lib.checks import agents as checks


def returns(rewards, discount, own=True):
    total, out = torch.zeros_like(rewards[:, 0]), []
    for reward in rewards.flip(1).unbind(1):
        total = reward + discount * total
        out.append(total if own else total - reward)
    return torch.stack(out[::-1], 1)


def from_the_start(rewards, discount):
    return returns(rewards, discount) * discount ** torch.arange(rewards.shape[1])


def actor(log_p, goal, value, alive):
    return -(log_p * (goal - value).detach() * alive).sum() / alive.sum()


def gate(x, u, W, U, b, swapped=False, reset=True):
    r = torch.sigmoid(u @ W[0].T + x @ U[0].T)
    z = torch.sigmoid(u @ W[1].T + x @ U[1].T - b)
    candidate = torch.tanh(u @ W[2].T + (r * x if reset else x) @ U[2].T)
    return z * x + (1 - z) * candidate if swapped else (1 - z) * x + z * candidate


def gate_after(x, u, W, U, b):
    r = torch.sigmoid(u @ W[0].T + x @ U[0].T)
    z = torch.sigmoid(u @ W[1].T + x @ U[1].T - b)
    return (1 - z) * x + z * torch.tanh(u @ W[2].T + r * (x @ U[2].T))


def state_values(chance, reward, after, over, steps):
    value = torch.zeros(len(chance), dtype=chance.dtype)
    for _ in range(steps):
        value = (chance * (reward + torch.where(over, 0.0, value[after]))).sum(1)
    return value


def best_values(chance, reward, after, over, steps):
    value = torch.zeros(len(chance), dtype=chance.dtype)
    for _ in range(steps):
        value = (reward + torch.where(over, 0.0, value[after])).amax(1)
    return value


EXERCISES = {
    checks.check_returns: (
        returns,
        {
            lambda rewards, discount: returns(rewards, 1.0): "Nothing is discounted",
            lambda rewards, discount: returns(rewards.flip(1), discount).flip(1): "still to come",
            lambda rewards, discount: returns(rewards, discount, own=False): "step itself is missing",
            from_the_start: "beginning of the episode",
            lambda rewards, discount: returns(rewards, discount)[:, :1].repeat(1, 5): "return of the first",
        },
    ),
    checks.check_actor: (
        actor,
        {
            lambda log_p, goal, value, alive: -actor(log_p, goal, value, alive): "sign",
            lambda log_p, goal, value, alive: -(log_p * (goal - value).detach()).mean(): "after the end",
            lambda log_p, goal, value, alive: -(log_p * (goal - value).detach() * alive).mean(): "not by all",
            lambda log_p, goal, value, alive: actor(log_p, goal, value, alive) * alive.sum(): "That is the sum",
            lambda log_p, goal, value, alive: actor(log_p, goal, 0 * value, alive): "Subtract the value",
            lambda log_p, goal, value, alive: actor(log_p.exp(), goal, value, alive): "logarithm",
            lambda log_p, goal, value, alive: -(log_p * (goal - value))[alive].mean(): "flows into the value",
            lambda log_p, goal, value, alive: actor(log_p.detach(), goal, value, alive): "No gradient flows",
        },
    ),
    checks.check_gate: (
        gate,
        {
            lambda x, u, W, U, b: gate(x, u, W, U, b, swapped=True): "z belongs to the candidate",
            lambda x, u, W, U, b: gate(x, u, W, U, -b): "subtracted inside",
            lambda x, u, W, U, b: gate(x, u, W, U, 0.0): "missing in z",
            lambda x, u, W, U, b: gate(x, u, W, U, b, reset=False): "r is missing",
            gate_after: "before the matrix",
            lambda x, u, W, U, b: gate(u, x, W, U, b): "changed places",
            lambda x, u, W, U, b: x + u: "That is the sum",
        },
    ),
    checks.check_state_values: (
        state_values,
        {
            lambda chance, reward, after, over, steps: state_values(
                chance, reward, after, torch.zeros_like(over), steps
            ): "nothing more",
            lambda chance, reward, after, over, steps: state_values(
                chance, reward, after, over, steps + 1
            ): "one step too many",
            lambda chance, reward, after, over, steps: state_values(
                chance, reward, after, over, steps - 1
            ): "one step too few",
            best_values: "best action",
            lambda chance, reward, after, over, steps: state_values(
                torch.full_like(chance, 1 / 3), reward, after, over, steps
            ): "weigh each",
        },
    ),
}
