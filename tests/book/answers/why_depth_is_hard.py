"""Right and wrong answers to the exercises of "Why depth is hard"."""

import torch

from resnorm_lib.checks import why_depth_is_hard


def copy_weights(deep, shallow, blocks=2):
    deep.embed, deep.final_norm, deep.head = shallow.embed, shallow.final_norm, shallow.head
    for place, block in enumerate(deep.blocks):
        if place < blocks:
            block.load_state_dict(shallow.blocks[place].state_dict())
        else:
            for parameter in block.branch.parameters():
                parameter.zero_()


def copy_too_little(deep, shallow):
    copy_weights(deep, shallow)
    deep.head = torch.nn.Linear(16, 3)


def copy_without_zeros(deep, shallow):
    copy_weights(deep, shallow)
    deep.blocks[-1].branch[1].bias.fill_(1.0)


def copy_backwards(deep, shallow):
    copy_weights(deep, shallow)
    shallow.head.bias.add_(1.0)


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
        },
    ),
}
