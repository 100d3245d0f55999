"""Right and wrong answers to the exercises of "Why depth is hard"."""

import torch

from resnorm_lib.checks import why_depth_is_hard

PARTS = ("embed", "final_norm", "head")


@torch.no_grad()
def copy_weights(deep, shallow, blocks=2, parts=PARTS, entries=lambda name: True, zeros=lambda name: True):
    """Copy what of the shallow network has such names, and empty the branches of the other blocks."""
    own = shallow.state_dict()
    copied = (*parts, *(f"blocks.{place}." for place in range(blocks)))
    for name, value in deep.state_dict().items():
        if name.startswith(copied) and entries(name):
            value.copy_(own[name])
        elif ".branch." in name and int(name.split(".")[1]) >= blocks and zeros(name):
            value.zero_()


def copy_by_modules(deep, shallow):
    for name in PARTS:
        getattr(deep, name).load_state_dict(getattr(shallow, name).state_dict())
    with torch.no_grad():
        for place, block in enumerate(deep.blocks):
            if place < len(shallow.blocks):
                block.load_state_dict(shallow.blocks[place].state_dict())
            else:
                for parameter in block.branch.parameters():
                    parameter.zero_()


def copy_by_one_state(deep, shallow):
    state = deep.state_dict() | shallow.state_dict()
    first = len(shallow.blocks)
    for name in state:
        if name.startswith("blocks.") and int(name.split(".")[1]) >= first and ".branch." in name:
            state[name] = torch.zeros_like(state[name])
    deep.load_state_dict(state)


def copy_last(deep, shallow):
    copy_weights(deep, shallow)
    for block in deep.blocks[len(shallow.blocks) :]:
        for module in block.branch.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.zeros_(module.weight), torch.nn.init.zeros_(module.bias)


def copy_too_little(deep, shallow):
    copy_weights(deep, shallow)
    deep.head = torch.nn.Linear(16, 3)


def copy_without_zeros(deep, shallow):
    copy_weights(deep, shallow)
    torch.nn.init.ones_(deep.blocks[-1].branch[1].bias)


@torch.no_grad()
def copy_backwards(deep, shallow):
    copy_weights(deep, shallow)
    shallow.head.bias.add_(1.0)


def cut_off(deep, shallow):
    copy_weights(deep, shallow)
    deep.blocks = deep.blocks[: len(shallow.blocks)]


def copy_by_sharing(deep, shallow):
    """Compute the same, until one of the two is trained."""
    copy_weights(deep, shallow)
    deep.head = shallow.head


def copy_into_the_last(deep, shallow):
    """Put the two blocks at the end, where the sum is the same only without the norms of the others."""
    copy_weights(deep, shallow, blocks=0)
    for mine, other in zip(deep.blocks[-2:], shallow.blocks[::-1]):
        mine.load_state_dict(other.state_dict())


EXERCISES = {
    why_depth_is_hard.check_end_to_end_slopes: (
        lambda w, depth: (w**depth, (1 + w) ** depth),
        {
            lambda w, depth: (w * depth, (1 + w) ** depth): "multiply; they do not add",
            lambda w, depth: (w**depth, 1 + w**depth): "belongs to every factor",
            lambda w, depth: (w**depth, w**depth): "lacks the identity",
            lambda w, depth: w**depth: "must return . values",
            lambda w, depth: (w**depth, (1 - w) ** depth): r"is \S+, but it must be",
        },
    ),
    why_depth_is_hard.check_copying_blocks: (
        copy_weights,
        {
            copy_too_little: "The output of the deep network",
            copy_without_zeros: "some branch after the second is not zero",
            copy_backwards: "changes its argument in place",
            cut_off: "replaces, removes or adds",
            copy_by_sharing: "lets two modules share one",
            copy_into_the_last: "The output|not zero",
            lambda deep, shallow: copy_weights(deep, shallow, blocks=1): "The output of the deep network",
            lambda deep, shallow: copy_weights(deep, shallow, parts=PARTS[:2]): "The output of the deep network",
            lambda deep, shallow: copy_weights(deep, shallow, parts=PARTS[1:]): "The output of the deep network",
            lambda deep, shallow: copy_weights(
                deep, shallow, parts=("embed", "head")
            ): "The output of the deep network",
            lambda deep, shallow: copy_weights(deep, shallow, zeros=lambda name: "weight" in name): "not zero",
            lambda deep, shallow: copy_weights(deep, shallow, zeros=lambda name: False): "not zero",
            lambda deep, shallow: copy_weights(deep, shallow, entries=lambda name: "bias" not in name): "The output",
            lambda deep, shallow: copy_weights(deep, shallow, entries=lambda name: "running" not in name): "The output",
        },
    ),
}
