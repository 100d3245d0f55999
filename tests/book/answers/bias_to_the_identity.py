"""Right and wrong answers to the exercises of "Biased to the identity"."""

from resnorm_lib.checks import bias_to_the_identity


def shares(after_sum=1.0, root=0.5, behind=True, grows=True):
    """The answer, block by block, with some of its steps replaced."""

    def answer(place, depth, v):
        stream, result = 1.0, []
        for _ in range(depth):
            branch = v * stream if place == "no norm" and grows else v
            total = stream + branch
            result.append((branch / (total if behind else stream)) ** root)
            stream = after_sum if place == "after the sum" and after_sum else total
        return result

    return answer


def fixup(exponent=lambda maps: -1 / (2 * maps - 2), last=0.0, others=1.0, head_factor=0.0, in_place=False):
    """The answer, with some of its factors replaced."""

    def answer(branches, head):
        scaled = []
        for branch in branches:
            factors = [others * len(branches) ** exponent(len(branch))] * (len(branch) - 1) + [last]
            if in_place:
                scaled.append([matrix.mul_(factor) for matrix, factor in zip(branch, factors, strict=True)])
            else:
                scaled.append([factor * matrix for matrix, factor in zip(branch, factors, strict=True)])
        return scaled, head_factor * head

    return answer


def first_branch_alone(branches, head):
    scaled, head = fixup()(branches, head)
    return [scaled[0], *branches[1:]], head


EXERCISES = {
    bias_to_the_identity.check_shares: (
        shares(),
        {
            shares(root=1.0): "share of the variance",
            shares(behind=False): "Divide by the stream behind the sum",
            shares(after_sum=None): "after the sum it is 1 again",
            shares(grows=False): "without a norm the branch grows",
            lambda place, depth, v: [0.1] * depth: r"is 0\.1 at",
        },
    ),
    bias_to_the_identity.check_fixup_start: (
        fixup(),
        {
            fixup(head_factor=1.0): "The head must start at 0",
            fixup(last=1.0): "The last matrix of a branch must be 0",
            fixup(others=0.0): "no gradient passes",
            fixup(exponent=lambda maps: 0.0): "It is still its He initialization",
            fixup(exponent=lambda maps: -1 / (2 * maps)): "the last matrix does not count",
            fixup(exponent=lambda maps: -0.5): "with m matrices in a branch",
            fixup(in_place=True): "changes its argument in place",
            first_branch_alone: "still its He",
            lambda branches, head: (fixup()(branches, head)[0][:1], 0 * head): "as many branches",
            lambda branches, head: ([fixup()(branches, head)[0][0]] * len(branches), 0 * head): "in branch 2",
            lambda branches, head: fixup()(branches, head)[0]: "must return . values",
        },
    ),
}
