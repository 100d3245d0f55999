"""Right and wrong answers to the exercises of "Placement and warm-up"."""

from resnorm_lib.checks import placement_and_warmup


def rising(step, rate, warmup):
    return rate * min(1, (step + 1) / warmup) if warmup else rate


def change(after=True, reset=True, share=True, deep=True, parts=True):
    """The answer, with some of its rules broken."""

    def answer(scheme, blocks, v, c):
        if scheme == "deep_norm" and deep:
            return v * c / 2 / (1 if parts else blocks)
        q, total = 1.0, 0.0
        for _ in range(blocks):
            if scheme in ("post_norm", "deep_norm") and reset:
                q = 1.0
            before, q = q, q + v
            total += c * v / (q if after else before) if share else c
        return total

    return answer


EXERCISES = {
    placement_and_warmup.check_warmup_rate: (
        rising,
        {
            lambda step, rate, warmup: rate * min(1, step / warmup) if warmup else rate: "would have a rate of 0",
            lambda step, rate, warmup: rate * (step + 1) / warmup if warmup else rate: "must not rise further",
            lambda step, rate, warmup: rate * warmup / (step + 1): "upside down",
            lambda step, rate, warmup: rate: "there is no warm-up",
            lambda step, rate, warmup: rate * min(1, (step + 1) / warmup): "do not divide by it",
            lambda step, rate, warmup: rising(step, rate, warmup) / 2: "half as large",
        },
    ),
    placement_and_warmup.check_perturbation: (
        change(),
        {
            change(share=False): "only a part of the sum",
            lambda scheme, blocks, v, c: blocks * c * v: "not its share",
            change(after=False): "that of the stream with it",
            lambda scheme, blocks, v, c: change(after=scheme != "pre_norm")(scheme, blocks, v, c): "not before it",
            lambda scheme, blocks, v, c: blocks * c * v / (1 + v): "nothing resets the stream",
            change(reset=False): "begins with a stream of mean square 1",
            change(deep=False): "both change the branch's share",
            change(parts=False): "one block's part",
            lambda scheme, blocks, v, c: change()(scheme, blocks, v, c) * 2: "twice as large",
        },
    ),
}
