"""A captured training step does what the step alone does; a step that could not be captured is found on a CPU."""

import warnings
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from resnorm_lib.engine import capture as capture_module
from resnorm_lib.engine import classification, trial_log
from resnorm_lib.engine.capture import WARM_UP, CapturedStep
from resnorm_lib.engine.recipe import Recipe
from resnorm_lib.engine.training import fit
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments import get, placement_and_warmup
from resnorm_lib.models import DecoderLM, cifar_resnet
from resnorm_lib.norms import BatchRenorm
from tests.data.image_files import CIFAR, cifar_arrays

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
STEPS = 4 * WARM_UP

RECIPES = {
    "sgd": Recipe(0.1, STEPS, weight_decay=1e-3, schedule="cosine", warmup=6, channels_last=True),
    "sgd, bfloat16": Recipe(0.1, STEPS, schedule="cosine", warmup=6, amp=True, channels_last=True),
    "adamw, clipped": Recipe(0.01, STEPS, optimizer="adamw", weight_decay=0.1, clip=0.1, warmup=6),
}


def images(device, count=STEPS, rows=16):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, rows, 3, 16, 16, generator=generator)
    return zip(x.to(device), torch.randint(10, (count, rows), generator=generator).to(device))


def texts(device, count=STEPS):
    tokens = torch.randint(17, (count, 4, 33), generator=torch.Generator().manual_seed(0)).to(device)
    return zip(tokens[:, :, :-1], tokens[:, :, 1:])


def losses(build, batches, recipe, *, capture, device="cuda", at=None):
    log = TrialLog("arm", 0, torch.device(device))
    with log.seeded(0):
        model = build().to(log.device)
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with log.seeded(3), exact, warnings.catch_warnings():  # the masks of dropout; convolutions without atomic additions
        warnings.filterwarnings("error", "The training step goes on without")
        fit(model, batches(device), recipe_with(recipe, capture), log, every=1, at=at)
    return torch.stack([value for _, value in log.points["loss"]]), log


def recipe_with(recipe, capture):
    return Recipe(**(vars(recipe) | {"capture": capture}))


# What is left of atomic additions (in attention) differs from run to run in the last digits, which the steps carry on.
# A batch, a rate or a mask that a graph failed to renew changes a loss by a hundredth and more.
SAME = {"rtol": 2e-3, "atol": 2e-3}


@needs_gpu
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_residual_network_has_the_same_losses_with_and_without_capture(recipe):
    runs = [losses(lambda: cifar_resnet(8), images, RECIPES[recipe], capture=capture)[0] for capture in (True, False)]
    torch.testing.assert_close(*runs, **SAME)


@needs_gpu
def test_a_transformer_with_dropout_has_the_same_losses_with_and_without_capture():
    build = partial(DecoderLM, 17, 32, depth=2, num_heads=2, context_length=32, dropout=0.2)
    recipe = RECIPES["adamw, clipped"]
    runs = [losses(build, texts, recipe, capture=capture)[0] for capture in (True, False)]
    torch.testing.assert_close(*runs, **SAME)


@needs_gpu
def test_a_setting_that_is_changed_on_the_way_is_captured_anew():
    def build():
        return nn.Sequential(nn.Flatten(), nn.Linear(768, 32), BatchRenorm(32, r_max=1.0, d_max=0.0), nn.Linear(32, 10))

    def change(model):
        model[2].r_max, model[2].d_max = 3.0, 5.0
        return True

    recipe = RECIPES["sgd"]
    captured, plain, unchanged = (
        losses(build, images, Recipe(**(vars(recipe) | {"channels_last": False})), capture=capture, at=at)[0]
        for capture, at in ((True, {6: change}), (False, {6: change}), (False, None))
    )
    torch.testing.assert_close(captured, plain, **SAME)
    assert not torch.allclose(captured, unchanged, **SAME)


@needs_gpu
def test_a_batch_of_another_shape_is_refused():
    batches = lambda device: [*images(device, STEPS - 1), *images(device, 1, rows=8)]  # noqa: E731
    with pytest.raises(ValueError, match="a batch has shape"):
        losses(lambda: cifar_resnet(8), batches, RECIPES["sgd"], capture=True)


@needs_gpu
def test_the_first_steps_and_the_capture_are_a_phase_of_their_own():
    _, log = losses(lambda: cifar_resnet(8), images, RECIPES["sgd"], capture=True)
    assert set(log.phases) >= {"compile", "train"}


class PlayedGraphs:
    """CUDA graphs as they look from outside, played on a processor: a capture executes nothing, a replay everything."""

    def __init__(self, fails=False):
        self.fails, self.capturing, self.states = fails, False, []
        self.default_generators = [self]
        self.total = torch.zeros(2)

    def step(self, x):
        if self.fails and self.capturing:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        return self.total.clone() if self.capturing else self.total.add_(x).clone()

    def Stream(self):
        return SimpleNamespace(wait_stream=lambda other: None)

    current_stream = Stream

    def stream(self, stream):
        return nullcontext()

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: self.taken.output.copy_(self.step(*self.taken.inputs)))

    @contextmanager
    def graph(self, graph, stream):
        self.capturing = True
        try:
            yield
        finally:
            self.capturing = False

    def current_device(self):
        return 0

    def clone_state(self):
        return "state"

    def graphsafe_set_state(self, state):
        self.states.append(state)


def played(monkeypatch, **options):
    cuda = PlayedGraphs(**options)
    monkeypatch.setattr(capture_module.torch, "cuda", cuda)
    cuda.taken = CapturedStep(cuda.step, SimpleNamespace(param_groups=[{"lr": 0.1}, {"capturable": False}]))
    return cuda, cuda.taken


def test_every_call_counts_once_before_with_and_after_a_graph(monkeypatch):
    cuda, step = played(monkeypatch)
    sums = [step(torch.tensor([1.0, float(i)]))[0].item() for i in range(7)]
    assert sums == [1, 2, 3, 4, 5, 6, 7]
    assert cuda.total.tolist() == [7, 21]
    assert step.optimizer.param_groups[1]["capturable"]
    first = step.graph
    step.forget()
    assert step(torch.ones(2)).tolist() == [8, 22]
    assert step.graph is not None and step.graph is not first  # noqa: PT018


def test_a_step_that_cannot_be_captured_is_taken_without_and_says_so_once(monkeypatch):
    cuda, step = played(monkeypatch, fails=True)
    with pytest.warns(UserWarning, match="without a CUDA graph, slowly: operation not permitted") as warned:
        sums = [step(torch.ones(2))[0].item() for _ in range(6)]
    assert sums == [1, 2, 3, 4, 5, 6]
    assert len(warned) == 1
    assert cuda.states == ["state"], "the generator is put back"


def test_a_batch_of_another_shape_is_refused_and_not_broadcast(monkeypatch):
    _, step = played(monkeypatch)
    step(torch.ones(2))
    with pytest.raises(ValueError, match=r"a batch has shape \(1,\), but it must have \(2,\)"):
        step(torch.ones(1))


def test_on_a_processor_a_recipe_that_captures_is_the_same_as_one_that_does_not():
    runs = [
        losses(lambda: cifar_resnet(8), images, RECIPES["sgd"], capture=capture, device="cpu")[0]
        for capture in (True, False)
    ]
    assert torch.equal(*runs)


class NoNumberRead(TorchDispatchMode):
    """Refuse what makes the processor wait for a number of the GPU, and what has a size that depends on one."""

    REFUSED = ("_local_scalar_dense", "nonzero", "masked_select", "unique")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not any(name in str(func) for name in self.REFUSED), f"a captured step cannot contain {func}"
        return func(*args, **(kwargs or {}))


def guarded(model, batches, recipe, log, **rest):
    """Train two steps with all that makes the processor wait forbidden."""
    short = Recipe(**(vars(recipe) | {"steps": 2}))
    with pytest.MonkeyPatch.context() as patch, NoNumberRead():
        patch.setattr(log, "check", lambda step: None)  # which reads the loss, but not in each step
        fit(model, batches, short, log)


def test_the_guard_finds_a_step_that_reads_a_number():
    class Reads(nn.Linear):
        def forward(self, x):
            return super().forward(x) * x.abs().max().item()

    with pytest.raises(AssertionError, match="_local_scalar_dense"):
        guarded(Reads(3, 4), [(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64))] * 2, Recipe(0.1, 2), log_on_cpu())


def log_on_cpu():
    return TrialLog("arm", 0, torch.device("cpu"))


SMALL = {
    "degradation": {"depths": [8]},
    "which_shortcut": {"depth": 8},
    "small_batches": {"depth": 8, "ghosts": [2, 8], "groups": 4},
    "bias_to_the_identity": {"depths": [14]},
}


@pytest.mark.parametrize("name", SMALL)
def test_no_training_step_of_a_gpu_preset_reads_a_number_back(name, tmp_path, monkeypatch):
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    np.savez(tmp_path / CIFAR, **cifar_arrays(16))
    monkeypatch.setattr(classification, "fit", guarded)
    experiment = get(name)
    config = experiment.config("gpu", epochs=1, train_images=16, batch_size=8, **SMALL[name])
    run = experiment.run(config, preset="gpu", device="cpu")
    assert run.arms == list(experiment.arms(config))


def test_no_training_step_of_a_language_model_reads_a_number_back(tmp_path, monkeypatch):
    (tmp_path / "tinyshakespeare.txt").write_text("To be, or not to be: that is the question.\n" * 20, encoding="utf-8")
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    monkeypatch.setattr(placement_and_warmup, "fit", guarded)
    monkeypatch.setattr(placement_and_warmup, "LAST", 1)
    experiment = get("placement_and_warmup")
    sizes = {"dim": 12, "deepest_dim": 6, "num_heads": 3, "context_length": 8, "batch_size": 4, "test_batches": 2}
    depths = {"depths": (1,), "extra_depths": (2,), "deepest_depth": 3}
    experiment.run(experiment.config("gpu", **sizes, **depths), preset="gpu", device="cpu")


def test_the_phases_of_a_trial_are_all_of_its_time(monkeypatch):
    """By a clock that only the work moves: a second to build, one for every call of the network."""
    now = [0.0]
    monkeypatch.setattr(trial_log, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def tick(*_):
        now[0] += 1

    def work(log):
        tick()
        model = nn.Linear(3, 4)
        model.register_forward_hook(tick)
        fit(model, [(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64))] * 50, Recipe(0.1, 50), log)
        log.begin("evaluate")
        model(torch.ones(2, 3))

    trial = log_on_cpu().record(work)
    assert trial.phases == {"build": 1, "train": 50, "evaluate": 1}
    assert trial.seconds == 52
