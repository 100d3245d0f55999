"""What becomes of a subject in a situation, and what is known where it is not what one would expect."""

from collections.abc import Callable
from typing import NamedTuple

from book._tools.situations import alone, loops, together
from book._tools.situations.subjects import Subject
from book._tools.situations.together import NOTED, REFUSED, RIGHT, WRONG
from resnorm_lib.residual import SCHEMES

ALONE = (
    alone.dropout,
    alone.in_place,
    alone.in_place_without_norm,
    loops.checkpoint_each_block,
    loops.reentrant_checkpoint_each_block,
    loops.checkpoint_the_stack,
    loops.reentrant_checkpoint_the_stack,
    alone.shared,
    loops.own_loop,
    alone.hooks,
    alone.patched,
    alone.copies,
    alone.meta_device,
    alone.offloaded,
    alone.autocast,
    alone.functional,
    alone.export,
    alone.export_lengths,
    alone.training_and_evaluation,
    alone.evaluation_row_by_row,
)
TOGETHER = (together.ddp, together.fsdp, together.fsdp_each_layer, together.fsdp_bfloat16)
SITUATIONS = (*ALONE, *TOGETHER)

CARRIED = {name for name, scheme in SCHEMES.items() if scheme.carries_state} | {"reversible, save_memory"}
TWICE = (
    "The forward pass runs twice, so running statistics move twice, as those of torch's BatchNorm do: leave the norm "
    "out of the checkpoint, or give it a momentum of 1 - sqrt(1 - momentum)."
)
OWN_ROWS = "Each process normalizes with the rows that it has, as torch's BatchNorm does."
TUPLES = (
    "torch's older checkpoint sees no tensor within a tuple, and so gives no gradient: put the whole stack into one, "
    "or use use_reentrant=False."
)
RUNNING = "Training takes the statistics of the batch, evaluation the running ones, as torch's BatchNorm does."
DRAWS = "In training it draws which branches to leave out."
NO_PICKLE = (
    "torch copies a module with a parametrization, but pickles none, as with its own weight_norm: save the state dict."
)
NOT_RESET = (
    "A layer's reset_parameters writes into the weight that is computed, and not into what it is computed from: a "
    "layer that was built without memory needs a state dict, as with torch's own weight_norm."
)
NOTES = {  # (situation, kind): (for whom, why)
    ("checkpoint_each_block", "norm"): ({"batch", "ghost_batch"}, TWICE),
    ("reentrant_checkpoint_each_block", "norm"): ({"batch", "ghost_batch"}, TWICE),
    ("checkpoint_the_stack", "norm"): ({"batch", "ghost_batch"}, TWICE),
    ("reentrant_checkpoint_the_stack", "norm"): ({"batch", "ghost_batch"}, TWICE),
    ("reentrant_checkpoint_each_block", "scheme"): (CARRIED, TUPLES),
    ("shared", "scheme"): ({"concat"}, "Each branch reads another width, so that none can be shared."),
    ("copies", "inner norm"): ({"weight_norm", "weight_standardization"}, NO_PICKLE),
    ("meta_device", "inner norm"): ({"weight_norm", "weight_standardization"}, NOT_RESET),
    ("training_and_evaluation", "scheme"): ({"stochastic_depth"}, DRAWS),
    ("training_and_evaluation", "norm"): ({"batch", "batch_renorm", "ghost_batch"}, RUNNING),
    ("ddp", "norm"): ({"batch", "batch_renorm", "ghost_batch"}, OWN_ROWS),
    ("fsdp", "norm"): ({"batch", "batch_renorm", "ghost_batch"}, OWN_ROWS),
    ("fsdp_each_layer", "norm"): ({"batch", "batch_renorm", "ghost_batch"}, OWN_ROWS),
}


class Outcome(NamedTuple):
    """A cell of the table: its sign, and the sentence that was said or is known."""

    sign: str
    text: str = ""


def applies(situation: Callable, subject: Subject) -> bool:
    """Return whether the cell has something to say: a norm that is left out has no situation."""
    return situation is not alone.in_place_without_norm or subject.kind == "scheme"


def outcome(situation: Callable, subject: Subject) -> Outcome:
    """Return what becomes of it: right numbers, a refusal of the library, a known limit, or a fault."""
    whom, why = NOTES.get((situation.__name__, subject.kind), (set(), ""))
    try:
        situation(subject)
    except ValueError as error:
        return Outcome(REFUSED, str(error))
    except (AssertionError, RuntimeError, TypeError, IndexError) as error:
        return Outcome(NOTED, why) if subject.name in whom else Outcome(WRONG, f"{type(error).__name__}: {error}")
    return Outcome(RIGHT)


def outcomes(pairs: list[tuple[Callable, Subject]]) -> dict[tuple[str, str, str], Outcome]:
    """Return the outcome of every pair, by the names of the situation, the kind and the subject."""
    alone_pairs = [pair for pair in pairs if pair[0] in ALONE]
    others = [pair for pair in pairs if pair[0] in TOGETHER]
    found = [outcome(*pair) for pair in alone_pairs]
    found += [Outcome(*each) for each in together.in_two_processes(others, outcome)] if others else []
    return {(s.__name__, row.kind, row.name): each for (s, row), each in zip(alone_pairs + others, found)}
