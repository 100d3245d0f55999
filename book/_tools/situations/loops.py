"""The situations in which others run the blocks: a loop of one's own, and torch's checkpoints."""

from torch.utils.checkpoint import checkpoint

from book._tools.situations.subjects import Subject, numbers, same


def checkpoint_each_block(subject: Subject, reentrant: bool = False) -> None:
    """Every block in a checkpoint of torch's: the numbers of the stack."""
    model = subject.build()

    def call(x):
        state = model.open(x)
        for block in model:
            state = checkpoint(block, state, use_reentrant=reentrant)
        return model.close(state)

    same(numbers(model, subject.x(), call), numbers(subject.build(), subject.x()))


def reentrant_checkpoint_each_block(subject: Subject) -> None:
    """The same with ``use_reentrant=True``, the older way."""
    checkpoint_each_block(subject, reentrant=True)


def reentrant_checkpoint_the_stack(subject: Subject) -> None:
    """The whole stack in one checkpoint with ``use_reentrant=True``."""
    model = subject.build()
    call = lambda x: checkpoint(model, x, use_reentrant=True)  # noqa: E731
    same(numbers(model, subject.x(), call), numbers(subject.build(), subject.x()))


def checkpoint_the_stack(subject: Subject) -> None:
    """The whole stack in one checkpoint with ``use_reentrant=False``."""
    model = subject.build()
    call = lambda x: checkpoint(model, x, use_reentrant=False)  # noqa: E731
    same(numbers(model, subject.x(), call), numbers(subject.build(), subject.x()))


def own_loop(subject: Subject) -> None:
    """A loop over the blocks without ``open`` and ``close``: the numbers of the stack."""
    model = subject.build()

    def call(x):
        for block in model:
            x = block(x)
        return x

    same(numbers(model, subject.x(), call), numbers(subject.build(), subject.x()))
