"""Graders, graded: right answers pass in any clothes, wrong ones fail and are told why, attacks pass nowhere."""

import base64
import pickle
import re

import numpy as np
import pytest
import torch

from resnorm_lib._precision import HALF
from resnorm_lib.checks.judge.answers import HIDDEN
from resnorm_lib.course.limits import Limits
from tests.book.answers import EXERCISES
from tests.course import variants
from tests.course.rights import RIGHT
from tests.course.strangers import STRANGERS

each_check = pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
UNNAMED = re.compile(r"has shape .*, but it must be|is \S+( at .*)?, but it must be")
# Their answers are classes, modules or training runs: variants of numbers do not fit them.
OTHER_KINDS = {"check_bottleneck", "check_snapshot", "check_fold", "check_copying_blocks", "check_safe_add"}
CARRY_A_GRADIENT = {"check_actor"}  # which a list or an array cannot

# RMSNorm takes a common factor out again; noise in the opposite order is noise.
HARMLESS = {"check_folded_centring": {"twice", "half"}, "check_stochastic_round": {"reversed"}}


def same(one, other):
    try:
        return np.shape(one) == np.shape(other) and np.allclose(
            variants.to_numpy(one), variants.to_numpy(other), equal_nan=True
        )
    except (TypeError, ValueError):
        return False


def results(right, check):
    """Return what a right answer returns to a check."""
    seen = []
    check(lambda *arguments: seen.append(right(*arguments)) or seen[-1])
    return seen


def wrong_answers(right, check):
    """Yield wrong answers that are made from a right one, without those that are right by chance or make no sense."""
    if check.__name__ in OTHER_KINDS:
        return
    seen = results(right, check)
    for name in variants.WRONG.keys() - HARMLESS.get(check.__name__, set()):
        change = variants.WRONG[name]
        changed = [change(result) for result in seen]
        fits = name == "none of it" or not any(each is None for each in changed)
        if fits and not all(map(same_parts, changed, seen)):
            yield name, variants.returning(right, change)
    if not all(map(same_parts, seen, seen[1:])):
        yield "knows one case", variants.stubborn(right)
    yield "returns an argument", lambda *arguments: arguments[0]


def same_parts(one, other):
    if isinstance(other, tuple | list) and isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return same(one, other)


@each_check
def test_the_right_answer_is_right_on_drawn_arguments(check):
    for seed in ("one", "two"):
        assert check(EXERCISES[check][0], seed=seed)


@each_check
def test_wrong_answers_of_the_book_are_wrong_on_drawn_arguments(check):
    for answer in EXERCISES[check][1]:
        verdict = check(answer, seed="one")
        assert not verdict
        assert not UNNAMED.search(verdict.sentence), "the hidden face says what is expected"


def right_answers(check):
    """Return right answers: the book's, others, and the book's with its results in other clothes."""
    right = EXERCISES[check][0]
    seen = results(right, check) if check.__name__ not in OTHER_KINDS | CARRY_A_GRADIENT else []
    exact = any(isinstance(result, torch.Tensor) and result.dtype in HALF for result in seen)
    clothes = variants.RIGHT.values() if seen and not exact else ()
    fits = [change for change in clothes if not any(change(result) is None for result in seen)]
    return [right, *RIGHT.get(check, ()), *(variants.returning(right, change) for change in fits)]


@each_check
def test_four_right_answers_or_more_are_right(check):
    tried = right_answers(check)
    assert len(tried) >= 4
    for answer in tried:
        assert check(answer)
        assert check(answer, seed="one")


@each_check
def test_ten_wrong_answers_or_more_are_wrong(check):
    right, wrong = EXERCISES[check]
    made = list(wrong_answers(right, check))
    assert not [name for name, answer in made if check(answer) and check(answer, seed="one")]
    assert not [told for answer, told in wrong.items() if check(answer)]
    assert len(made) + len(wrong) >= 10


def named(sentences):
    """Return how large a share of the sentences says more than what the result is and must be."""
    told = [sentence for sentence in sentences if not UNNAMED.search(sentence) and sentence != HIDDEN]
    return len(told) / len(sentences)


def test_most_wrong_answers_are_told_their_mistake():
    """Of those that are made by a rule; of those by hand in the book each is told its own, another test says."""
    right = sum(len(right_answers(check)) for check in EXERCISES)
    made = [
        check(wrong).sentence for check, (answer, _) in EXERCISES.items() for _, wrong in wrong_answers(answer, check)
    ]
    print(
        f"{len(EXERCISES)} checks, {right} right answers, {len(made)} wrong ones, {named(made):.0%} told their mistake"
    )
    assert named(made) >= 0.7


def test_wrong_answers_of_strangers_are_wrong_and_most_are_told_their_mistake():
    """These were written without the checks; for those of two checks of which few were told, sentences came later."""
    tried = [(check, answer) for check, answers in STRANGERS.items() for answer in answers]
    verdicts = [check(answer) and check(answer, seed="one") for check, answer in tried]  # as in a hand-in
    assert not any(verdicts)
    share = named([verdict.sentence for verdict in verdicts])
    print(f"{len(verdicts)} wrong answers of strangers, {share:.0%} told their mistake")
    assert share >= 0.7


@each_check
def test_an_argument_that_is_overwritten_is_seen(check):
    right = EXERCISES[check][0]
    try:
        verdict = check(variants.in_place(right))
    except variants.Inapplicable:
        return
    assert not verdict
    assert "Inapplicable" in verdict.sentence or "in place" in verdict.sentence


@each_check
def test_results_of_a_classmate_are_worth_nothing(check):
    answer = EXERCISES[check][0]
    if check.__name__ in OTHER_KINDS:
        pytest.skip("its answers are objects that must do something")
    assert not check(variants.replayed(answer, check), seed="another secret")


PATCHES = """import numpy as np, torch, resnorm_lib.checks.judge.answers as answers
np.allclose = torch.allclose = torch.equal = answers.agree = answers.expect_close = lambda *a, **k: True
"""
ATTACKS = {
    "patches what compares": f"{PATCHES}def answer(*a): return 0.0",
    "patches while it is called": f"def answer(*a):\n    exec({PATCHES!r})\n    return 0.0",
    "reads its caller's frames": """import sys
class Anything:
    def __float__(self):
        frame = sys._getframe()
        while frame:
            if "wanted" in frame.f_locals: return float(frame.f_locals["wanted"])
            frame = frame.f_back
        return 0.0
    __array__ = lambda self, *a, **k: __import__("numpy").asarray(float(self))
def answer(*a): return Anything()""",
    "searches memory": """import gc
def answer(*a):
    for each in gc.get_objects():
        if isinstance(each, dict) and "wanted" in each: return each["wanted"]
    return 0.0""",
    "equals everything": """class Equal:
    __eq__ = lambda *a: True
    __sub__ = __rsub__ = __abs__ = lambda self, *a: 0.0
    __le__ = __lt__ = __gt__ = __ge__ = __bool__ = lambda *a: True
def answer(*a): return Equal()""",
    "raises Wrong's opposite": "class Right(Exception): pass\ndef answer(*a): raise Right('right')",
    "exits": "import sys\ndef answer(*a): sys.exit(0)",
    "ends its process": "import os\ndef answer(*a): os._exit(0)",
    "kills its parent": "import os, signal\ndef answer(*a):\n    os.kill(os.getppid(), signal.SIGKILL)\n    return 0.0",
    "interrupts": "def answer(*a): raise KeyboardInterrupt",
    "prints for ever less one": "def answer(*a):\n    print('x\\n' * 200_000)\n    return 0.0",
    "divides by zero": "def answer(*a): return 1 / 0",
    "is a stub": "def answer(*a): raise NotImplementedError",
    "is three points": "answer = ...",
    "is not there": "",
}


@each_check
def test_no_attack_passes(check, house):
    for name, source in ATTACKS.items():
        try:
            with house.answer("answer", [source]) as answer:
                verdict = check(answer)
        except Exception as error:
            verdict = not isinstance(error, NotImplementedError | AssertionError)
        assert not verdict, name


ENDLESS = {
    "loops": "def answer(*a):\n    while True: pass",
    "sleeps": "import time\ndef answer(*a): time.sleep(60)",
}
OVER = re.compile("The answer (takes longer than 0.5 s|ended its process)")  # by the clock, or by the processor's time
TOGETHER = 15  # checks that ask one child, whose time is over with the first: it need not start, and wait, for each


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_end_is_wrong_to_every_check(name, house):
    checks = list(EXERCISES)
    for start in range(0, len(checks), TOGETHER):
        with house.answer("answer", [ENDLESS[name]], limits=Limits(seconds=0.5)) as answer:
            for check in checks[start : start + TOGETHER]:
                assert OVER.match(check(answer).sentence)


def test_a_classmates_results_in_a_child_are_worth_nothing_either(house):
    check = next(iter(EXERCISES))
    data = base64.b64encode(pickle.dumps(results(EXERCISES[check][0], check)))
    source = f"import base64, pickle, itertools\nR = itertools.cycle(pickle.loads(base64.b64decode({data!r})))\n"
    for seed, is_right in ((None, True), ("secret", False)):
        with house.answer("answer", [source, "def answer(*a): return next(R)"]) as answer:
            assert check(answer, seed=seed).is_right is is_right


@pytest.mark.parametrize("seed", [None, "one"])
def test_an_answer_with_a_dtype_of_its_own_is_told_what_is_expected(seed):
    check = next(check for check in EXERCISES if check.__name__ == "check_folded_centring")

    def centred(weight, bias):
        taken_off = torch.eye(len(weight)) - 1 / len(weight)
        return taken_off @ weight, taken_off @ bias

    assert "a new tensor takes their dtype, as in torch.eye" in check(centred, seed=seed).sentence


CENTRED = """
def centred(weight, bias):
    taken_off = torch.eye(len(weight)) - 1 / len(weight)
    return taken_off @ weight, taken_off @ bias
"""
SETS = "torch.set_default_dtype(torch.float64)\n"


def test_a_notebook_that_makes_all_tensors_float64_is_told_what_the_grader_tells(house):
    check = next(check for check in EXERCISES if check.__name__ == "check_folded_centring")
    names = {"torch": torch}
    before = torch.get_default_dtype()
    try:
        exec(SETS + CENTRED, names)
        told = check(names["centred"])
        assert torch.get_default_dtype() == torch.float64, "the notebook keeps what it has set"
    finally:
        torch.set_default_dtype(before)
    assert not told
    for others, cell in (([], "import torch\n" + SETS + CENTRED), (["import torch", SETS], CENTRED)):
        with house.answer("centred", [cell], others) as answer:
            graded = check(answer)
        assert graded.is_right == told.is_right
        assert "a new tensor takes their dtype" in graded.sentence
        assert "a new tensor takes their dtype" in told.sentence
