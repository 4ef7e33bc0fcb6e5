"""Learned plans: files that are read as schedulers, levels that are searched, tables that are fitted to a teacher."""

import dataclasses
import itertools
import json
import warnings

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from safetensors.numpy import load_file, save

from mindscience_diffuser import (
    DDIMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepInverseScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    FlowMapEulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LearnedScheduler,
    NoiseSource,
    PiflowScheduler,
    Sampler,
    Scheduler,
    UniPCMultistepScheduler,
    compat,
    export,
    optimize,
)
from mindscience_diffuser.noise import draw_noise
from mindscience_diffuser.plan import named_arrays
from mindscience_diffuser.schedulers.learned.learned import save_learned
from mindscience_diffuser.training.plans.learn import Fit, PlanFamily
from mindscience_diffuser.training.plans.levels import Levels
from mindscience_diffuser.training.plans.search import cheapest_path, influences, search_by_bound

SHAPE = (3, 2)
SOLVERS = {
    "multistep": (DPMSolverMultistepScheduler, {"solver_order": 3, "use_karras_sigmas": True}),
    "corrector": (UniPCMultistepScheduler, {}),
    "two calls": (HeunDiscreteScheduler, {}),
    "clipped": (DDIMScheduler, {}),
    "flow": (FlowMatchEulerDiscreteScheduler, {"shift": 3.0}),
    "edm": (EDMDPMSolverMultistepScheduler, {}),
}
SEARCHABLE = {name: SOLVERS[name] for name in ("multistep", "corrector", "flow", "edm")}


class Shrinking(nn.Cell):
    """A model that depends on sample and timestep."""

    def construct(self, x, timestep):
        """Returns the prediction."""
        return 0.3 * x * ops.cos(0.01 * ops.cast(timestep, mstype.float32)).reshape((-1, 1, 1)).astype(x.dtype)


class UnitGaussian(nn.Cell):
    """The network inside the exact EDM denoiser of standard normal data, for a sigma_data of 0.5."""

    def construct(self, x, c_noise):
        """Returns the network's output for x, ``(B, D)``."""
        sigma = ops.exp(4 * c_noise).reshape((-1, 1))
        variance = sigma * sigma + 0.25
        sample = x * ops.sqrt(variance)
        return (sample / (1 + sigma * sigma) - sample * 0.25 / variance) / (sigma * 0.5 / ops.sqrt(variance))


class Mixture(nn.Cell):
    """The exact noise prediction of four points in the plane with a little spread, told a fractional timestep."""

    def __init__(self, training_sigmas):
        super().__init__()
        self.log_sigmas = Tensor(np.log(training_sigmas), mstype.float32)
        self.points = Tensor([[1.0, 1.2], [-1.1, 0.8], [0.9, -1.0], [-0.6, -1.3]], mstype.float32)
        self.last = len(training_sigmas) - 2.0

    def construct(self, x, timestep):
        """Returns the prediction for x, ``(B, 2)``."""
        timestep = ops.cast(timestep, mstype.float32)
        below = ops.clamp(ops.floor(timestep), 0.0, self.last)
        index, share = ops.cast(below, mstype.int32), timestep - below
        log_sigma = (
            ops.gather(self.log_sigmas, index, 0) * (1 - share) + ops.gather(self.log_sigmas, index + 1, 0) * share
        )
        ratio = ops.exp(log_sigma).reshape((-1, 1))
        alpha = ops.rsqrt(1 + ratio * ratio)
        sigma = ratio * alpha
        variance = alpha * alpha * 0.02 + sigma * sigma
        centred = ops.expand_dims(x, 1) - ops.expand_dims(alpha, 1) * self.points
        shares = ops.softmax(-(centred * centred).sum(-1) / (2 * variance), 1)
        return sigma / variance * (ops.expand_dims(shares, 2) * centred).sum(1)


def saved(name, folder, steps=4, **options):
    kind, arguments = SOLVERS[name]
    solver = kind(**arguments, **options)
    solver.set_timesteps(steps)
    save_learned(folder, solver, solver.plan_for(), solver.init_noise_sigma)
    return solver


def drawn(scheduler, count=2):
    noise = np.random.default_rng(3).standard_normal((count, *SHAPE), dtype=np.float32)
    return Tensor(noise * np.float32(scheduler.init_noise_sigma))


@pytest.mark.parametrize("name", SOLVERS)
def test_a_file_holds_the_whole_plan_of_any_solver(name, tmp_path):
    solver = saved(name, tmp_path)
    learned = Scheduler.from_pretrained(tmp_path)
    assert isinstance(learned, LearnedScheduler)
    assert learned.num_inference_steps == 4
    noise = drawn(solver)
    expected = Sampler(Shrinking(), solver)(noise).asnumpy()
    assert np.allclose(Sampler(Shrinking(), learned)(noise).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    x = noise
    for t in learned.timesteps:
        told = Tensor(np.full(2, t), mstype.float32)
        x = learned.step(Shrinking()(learned.scale_model_input(x, t), told), x, t)
    assert np.allclose(x.asnumpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.allclose(learned.levels, solver.levels)
    learned.save_pretrained(tmp_path / "again")
    again = LearnedScheduler.from_pretrained(tmp_path / "again")
    assert again.plan.fingerprint == learned.plan.fingerprint
    noised = [s.add_noise(noise, noise, s.timesteps[2]).asnumpy() for s in (learned, solver)]
    assert np.allclose(*noised, rtol=1e-5)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_drop_in_class_walks_through_a_plan_with_the_conventions_of_diffusers(name, tmp_path):
    solver = saved(name, tmp_path)
    scheduler = compat.LearnedScheduler.from_pretrained(tmp_path)
    scheduler.set_timesteps(4, device="cpu", mu=0.7)
    assert scheduler.order == solver.order
    assert scheduler.config.get("prediction_type") == solver.settings.get("prediction_type")
    noise = drawn(solver)
    expected = Sampler(Shrinking(), solver)(noise).asnumpy()
    for _ in range(2):
        x = noise
        for t in scheduler.timesteps:
            told = Tensor(np.full(2, t.asnumpy()), mstype.float32)
            output = Shrinking()(scheduler.scale_model_input(x, t), told)
            x = scheduler.step(output, t, x).prev_sample
        assert np.allclose(x.asnumpy(), expected, rtol=1e-4, atol=1e-5)
        scheduler.set_timesteps(4)
    halves = scheduler.step(output.astype(mstype.float16), scheduler.timesteps[0], x.astype(mstype.float16))
    assert halves.prev_sample.dtype == mstype.float16
    added = scheduler.add_noise(noise, noise, scheduler.timesteps[2:3])
    assert np.allclose(added.asnumpy(), solver.add_noise(noise, noise, solver.timesteps[2]).asnumpy(), rtol=1e-5)


def test_the_drop_in_class_is_saved_with_its_table_and_refuses_what_the_native_one_does(tmp_path, caplog):
    saved("multistep", tmp_path / "scheduler")
    scheduler = compat.SchedulerMixin.from_pretrained(tmp_path, subfolder="scheduler", prediction_type="epsilon")
    scheduler.save_pretrained(tmp_path / "again")
    for folder, kind in itertools.product(["scheduler", "again"], [compat.LearnedScheduler, LearnedScheduler]):
        again = kind.from_pretrained(tmp_path / folder)
        assert getattr(again, "native", again).plan.fingerprint == scheduler.native.plan.fingerprint
    assert compat.LearnedScheduler.from_config(scheduler.config).num_inference_steps == 4
    assert scheduler.compatibles == [compat.LearnedScheduler]
    assert not caplog.records
    other = compat.DDIMScheduler.from_config(scheduler.config)
    assert other.config.beta_end == scheduler.config.beta_end
    with pytest.raises(ValueError, match="'prediction_type' is 'v_prediction', but .* learned with 'epsilon'"):
        compat.LearnedScheduler.from_pretrained(tmp_path / "again", prediction_type="v_prediction")
    with pytest.raises(ValueError, match="'num_inference_steps' is 5, but the plan .* for 4 steps"):
        scheduler.set_timesteps(5)
    with pytest.raises(ValueError, match="names no folder of a learned plan"):
        compat.LearnedScheduler.from_config(compat.DDIMScheduler().config)
    with pytest.raises(AttributeError, match="'sigmas' of LearnedScheduler cannot be set"):
        scheduler.sigmas = scheduler.sigmas
    scheduler.set_begin_index(2)
    with pytest.raises(ValueError, match="run from its start, but is to begin at row 2"):
        scheduler.step(drawn(scheduler), scheduler.timesteps[2], drawn(scheduler))


def test_half_precision_is_finite_and_an_exported_file_gives_the_same(tmp_path):
    solver = saved("multistep", tmp_path / "plan")
    half = LearnedScheduler(tmp_path / "plan", mstype.float16)
    result = Sampler(Shrinking(), half)(drawn(solver).astype(mstype.float16))
    assert result.dtype == mstype.float16
    assert np.all(np.isfinite(result.asnumpy()))
    learned = LearnedScheduler(tmp_path / "plan")
    sampler = Sampler(Shrinking(), learned)
    export.export_mindir(sampler, tmp_path / "sampler.mindir", drawn(solver, 1))
    reloaded = export.load_mindir(tmp_path / "sampler.mindir")
    for batch in (1, 5):
        noise = drawn(solver, batch)
        assert np.allclose(reloaded(noise).asnumpy(), sampler(noise).asnumpy(), rtol=1e-6, atol=1e-6)


def test_a_plan_is_refused_for_what_it_was_not_learned_for(tmp_path):
    saved("multistep", tmp_path / "one")
    learned = LearnedScheduler.from_pretrained(tmp_path / "one", prediction_type="epsilon", beta_schedule="linear")
    with pytest.raises(ValueError, match="'num_inference_steps' is 5, but the plan .* for 4 steps"):
        learned.set_timesteps(5)
    assert learned.num_inference_steps == 4
    with pytest.raises(ValueError, match="'prediction_type' is 'v_prediction', but .* learned with 'epsilon'"):
        LearnedScheduler.from_pretrained(tmp_path / "one", prediction_type="v_prediction")
    with pytest.raises(ValueError, match="'beta_schedule' is 'scaled_linear'"):
        Scheduler.from_pretrained(tmp_path / "one", beta_schedule="scaled_linear")
    with pytest.raises(TypeError, match="has no argument 'betas'"):
        LearnedScheduler.from_pretrained(tmp_path / "one", betas=1)
    with pytest.raises(ValueError, match="run from its start, but is to begin at row 2"):
        Sampler(Shrinking(), learned).select_steps(start=2)
    with pytest.raises(FileNotFoundError, match="no learned plan .* no scheduler_config.json"):
        LearnedScheduler(tmp_path)
    DDIMScheduler().save_pretrained(tmp_path / "ddim")
    (tmp_path / "ddim" / "plan.safetensors").write_bytes((tmp_path / "one" / "plan.safetensors").read_bytes())
    with pytest.raises(ValueError, match="configuration of DDIMScheduler, and no learned plan"):
        LearnedScheduler(tmp_path / "ddim")
    saved("multistep", tmp_path / "other", solver_type="heun")
    (tmp_path / "one" / "plan.safetensors").write_bytes((tmp_path / "other" / "plan.safetensors").read_bytes())
    with pytest.raises(ValueError, match="is not the one that"):
        LearnedScheduler(tmp_path / "one")


def test_a_damaged_folder_is_told(tmp_path):
    def refused(match, name, content):
        saved("multistep", tmp_path)
        (tmp_path / name).write_bytes(content(tmp_path / name))
        with pytest.raises(ValueError, match=match):
            LearnedScheduler(tmp_path)

    def without(file, name):
        content = json.loads(file.read_text())
        del content["_learned"][name]
        return json.dumps(content).encode()

    refused("plan.safetensors' is damaged", "plan.safetensors", lambda file: file.read_bytes()[:-8])
    refused("it has no 'init_noise_sigma'", "plan.safetensors", lambda file: save({"other": np.zeros(2)}))
    refused("is not valid JSON", "scheduler_config.json", lambda file: b"{")
    refused("must hold a JSON object", "scheduler_config.json", lambda file: b"[]")
    refused("its '_learned' is incomplete", "scheduler_config.json", lambda file: without(file, "fingerprint"))
    with pytest.raises(TypeError, match="'folder' must be a path, a str or Path, but is None"):
        LearnedScheduler(None)


def test_arguments_that_are_arrays_are_compared(tmp_path):
    betas = np.linspace(1e-4, 0.02, 1000)
    saved("multistep", tmp_path / "betas", trained_betas=betas)
    for given in (betas, list(betas)):
        LearnedScheduler.from_pretrained(tmp_path / "betas", trained_betas=given)
    with pytest.raises(ValueError, match="'trained_betas' is "):
        LearnedScheduler.from_pretrained(tmp_path / "betas", trained_betas=betas / 2)
    saved("edm", tmp_path / "edm", sigma_data=[0.5, 0.3, 0.4])
    LearnedScheduler.from_pretrained(tmp_path / "edm", sigma_data=[0.5, 0.3, 0.4])


class BothEnds(nn.Cell):
    """A mean velocity that depends on both ends of a jump."""

    def construct(self, x, timestep):
        """Returns the prediction for x, ``(B, ...)``, and timesteps ``(B, 2)``."""
        t, r = (timestep[:, 0] / 1000).reshape((-1, 1, 1)), (timestep[:, 1] / 1000).reshape((-1, 1, 1))
        return x * (0.5 + 0.3 * t - 0.2 * r)


def test_a_plan_may_tell_the_model_several_numbers(tmp_path):
    solver = FlowMapEulerDiscreteScheduler(shift=2.0)
    solver.set_timesteps(3)
    save_learned(tmp_path, solver, solver.plan, 1.0)
    learned, model, noise = LearnedScheduler(tmp_path), BothEnds(), drawn(solver)
    assert np.array_equal(learned.timesteps, solver.timesteps)
    expected = Sampler(model, solver)(noise).asnumpy()
    assert np.allclose(Sampler(model, learned)(noise).asnumpy(), expected, rtol=1e-6)
    x = noise
    for t, told in zip(learned.timesteps, learned.plan.timesteps):
        x = learned.step(model(x, Tensor(np.tile(told, (2, 1)))), x, t)
    assert np.allclose(x.asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_other_classes_follow_the_noise_process_of_the_file(tmp_path):
    solver = saved("multistep", tmp_path, beta_end=0.015, prediction_type="v_prediction")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = DDIMScheduler.from_pretrained(tmp_path)
        converted = DDIMScheduler.from_config(LearnedScheduler(tmp_path).config)
    for scheduler in (other, converted):
        assert np.allclose(scheduler.betas, solver.betas)
        assert scheduler.prediction_type == "v_prediction"


def test_a_plan_that_is_not_finite_is_not_written(tmp_path):
    solver = DPMSolverMultistepScheduler()
    solver.set_timesteps(4)
    sample = {**solver.plan.states["sample"], "sample": np.full(4, np.nan)}
    plan = dataclasses.replace(solver.plan, states={**solver.plan.states, "sample": sample})
    with pytest.raises(ValueError, match="'states.sample.sample' of the plan must be finite"):
        save_learned(tmp_path, solver, plan, 1.0)


@pytest.mark.parametrize("name", SEARCHABLE)
def test_any_numbers_stand_for_levels_in_order_between_the_ends(name):
    kind, arguments = SEARCHABLE[name]
    levels = Levels(kind(**arguments), 5)
    visited = levels.scheduler.sigmas
    levels.schedule(levels.start)
    assert np.allclose(levels.scheduler.sigmas, visited, rtol=2e-3)
    for seed in range(5):
        numbers = 2 * np.random.default_rng(seed).standard_normal(5)
        plan = levels.plan(numbers)
        sigmas = levels.scheduler.sigmas
        assert sigmas[0] == visited[0]
        assert np.all(np.diff(sigmas) < 0)
        assert sigmas[-2] >= levels.lowest * (1 - 1e-9)
        assert np.all(np.diff(plan.timesteps) < 0)
        assert np.allclose(levels.sigmas(levels.numbers(sigmas[:-1])), sigmas[:-1], rtol=2e-3)


FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (DPMSolverMultistepScheduler, {**FLOW, "use_karras_sigmas": True}),
        (UniPCMultistepScheduler, {**FLOW, "sigma_schedule": "linear_quadratic"}),
        (DEISMultistepScheduler, {**FLOW, "flow_shift": 3.0}),
        (PiflowScheduler, {}),
        (FlowMapEulerDiscreteScheduler, {"shift": 3.0}),
    ],
)
def test_a_solver_takes_the_levels_of_a_plan_however_it_spaces_its_own(kind, arguments):
    given = kind(**arguments)
    given.set_timesteps(7)
    levels = Levels(given, 4)
    assert given.num_inference_steps == 7
    for numbers in (levels.start, np.random.default_rng(0).standard_normal(4)):
        plans = [named_arrays(plan) for plan in (levels.plan(numbers), levels.schedule(numbers).plan)]
        assert plans[0].keys() == plans[1].keys()
        for name, values in plans[0].items():
            np.testing.assert_allclose(plans[1][name], values, rtol=1e-6, atol=1e-6, err_msg=name)
    given.set_timesteps(4)
    own, found = given.plan.states["sample"], levels.plan(levels.start).states["sample"]
    for name, values in own.items():
        np.testing.assert_allclose(found[name], values, rtol=3e-3, atol=3e-3)


def test_the_dynamic_programme_finds_the_path_that_brute_force_finds():
    for seed in range(20):
        costs = np.random.default_rng(seed).random((7, 8))
        costs[np.tril_indices(7, 0, 8)] = np.inf
        for calls in range(1, 8):

            def total(inner, costs=costs):
                points = (0, *inner, 7)
                return sum(costs[a, b] for a, b in zip(points, points[1:]))

            best = min(itertools.combinations(range(1, 7), calls - 1), key=total)
            assert cheapest_path(costs, calls) == [0, *best]


@pytest.mark.parametrize("name", ["multistep", "corrector", "flow"])
def test_influences_are_the_weights_of_the_clean_predictions(name):
    kind, arguments = SEARCHABLE[name]
    levels = Levels(kind(**arguments), 5)
    plan, end = levels.plan(levels.start), levels.lowest_level
    clean = np.random.default_rng(0).standard_normal(5)
    state = {name: np.zeros(1) for name in plan.states}
    for step, (of_sample, of_output, _, _, scale, *_) in enumerate(plan.level_columns()):
        x = state["sample"]
        output = (clean[step] - of_sample * scale * x) / of_output
        state = {name: plan.run(step, output=output, **state)[name] for name in plan.states}
    # From the last level to the lowest one by first order, in place of to the end.
    alpha, sigma = (level[-1] for level in plan.level)
    reached = end[1] / sigma * x + (end[0] - end[1] / sigma * alpha) * clean[-1]
    assert np.allclose(influences(plan, end) @ clean, reached, rtol=1e-9)


def test_the_bound_falls_and_levels_stay_in_order():
    levels = Levels(DPMSolverMultistepScheduler(), 6)

    def bound(numbers):
        plan = levels.plan(numbers)
        alpha, sigma = plan.level
        return np.sum(np.abs(influences(plan, levels.lowest_level)) * sigma / alpha)

    found = search_by_bound(levels)
    assert bound(found) < 0.7 * bound(levels.start)
    assert np.all(np.diff(levels.sigmas(found)) < 0)


@pytest.fixture(scope="module")
def problem():
    """A model, a converged teacher, and how far ready-made solvers are from it on noise of their own."""
    solvers = [
        DPMSolverMultistepScheduler(**spacing)
        for spacing in ({}, {"use_karras_sigmas": True}, {"use_lu_lambdas": True})
    ]
    model = Mixture(solvers[0].training_sigmas)
    teacher = DPMSolverMultistepScheduler(use_karras_sigmas=True)
    teacher.set_timesteps(200)
    noise = Tensor(draw_noise((1000, 2), NoiseSource(9, 1000)))
    return model, solvers, teacher, noise, Sampler(model, teacher)(noise).asnumpy()


def distance(scheduler, problem):
    model, _, _, noise, target = problem
    return np.sqrt(np.mean((Sampler(model, scheduler)(noise).asnumpy() - target) ** 2))


@pytest.mark.every_case
def test_gradients_of_the_table_are_those_of_finite_differences(problem):
    model, solvers, teacher, noise, target = problem
    family = PlanFamily(Levels(solvers[1], 4), "all", 2)
    fit = Fit(family, model)
    batch = noise[:64], Tensor(target[:64])
    vector = family.start + 0.05 * np.random.default_rng(0).standard_normal(len(family.start))
    fit.vector = vector
    found = fit._chained(*fit.by_table(vector, batch)[1:])
    for k in (1, 2, 5, 9, len(vector) - 2):
        ends = []
        for sign in (1, -1):
            moved = vector.copy()
            moved[k] += sign * 1e-2
            ends.append(fit.evaluate(moved, [batch]))
        assert found[k] == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=0.05, abs=2e-3 * np.abs(found).max())


def test_a_learned_plan_is_nearer_on_noise_that_it_has_not_seen(problem, tmp_path):
    model, solvers, teacher, *_ = problem
    for solver in solvers:
        solver.set_timesteps(4)
    best = min(distance(solver, problem) for solver in solvers)
    given = {"samples": 256, "held_out": 64, "batch_size": 64, "iterations": 60, "learning_rate": 0.05}
    result = optimize(model, solvers, teacher, (2,), tmp_path, 4, **given)
    assert distance(result.scheduler, problem) < best / 2
    assert np.all(np.diff(result.scheduler.timesteps) < 0)
    assert json.loads((tmp_path / "optimize.json").read_text())["distance"] == result.report["distance"]


def test_a_fit_that_was_stopped_ends_where_it_ends_without_a_stop(problem, tmp_path, monkeypatch):
    model, solvers, teacher, *_ = problem
    given = {"samples": 64, "held_out": 64, "batch_size": 64, "iterations": 14}
    whole = optimize(model, solvers[:1], teacher, (2,), tmp_path / "whole", 3, **given)
    steps = Fit.step

    def stopping(fit, batch):
        if fit.iteration == 12:
            raise KeyboardInterrupt
        return steps(fit, batch)

    monkeypatch.setattr(Fit, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        optimize(model, solvers[:1], teacher, (2,), tmp_path / "stopped", 3, **given)
    monkeypatch.setattr(Fit, "step", steps)
    again = optimize(model, solvers[:1], teacher, (2,), tmp_path / "stopped", 3, **given)
    assert again.scheduler.plan.fingerprint == whole.scheduler.plan.fingerprint
    assert again.report["fit"] == whole.report["fit"]


@pytest.mark.every_case
def test_large_noise_levels_are_fitted_too(tmp_path):
    solver, teacher = (EDMDPMSolverMultistepScheduler(sigma_data=0.5) for _ in range(2))
    teacher.set_timesteps(100)
    given = {"samples": 32, "held_out": 32, "batch_size": 32, "iterations": 40}
    report = optimize(UnitGaussian(), [solver], teacher, (4,), tmp_path, 4, **given).report
    assert report["distance"] < 0.05 * min(report["distance_of_solvers"].values())


@pytest.mark.parametrize("search", ["dmn", "dynamic"])
def test_searched_levels_are_those_of_the_plan(search, problem, tmp_path):
    model, solvers, teacher, *_ = problem
    result = optimize(
        model, solvers[:1], teacher, (2,), tmp_path, 5, search=search, learn=None, samples=64, held_out=64
    )
    assert result.report["distance"] < min(result.report["distance_of_solvers"].values())
    alpha, sigma = (level[:-1] for level in result.scheduler.levels)
    assert np.allclose(sigma / alpha, result.report["sigmas"], rtol=1e-6)


def test_what_cannot_be_fitted_is_told(problem, tmp_path):
    model, solvers, teacher, *_ = problem

    def refused(error, match, **changes):
        given = {"model": model, "solvers": solvers, "teacher": teacher, "shape": (2,), "folder": tmp_path / "none"}
        given.update(num_inference_steps=4, samples=8, held_out=8, batch_size=8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(error, match=match):
                optimize(**{**given, **changes})

    refused(ValueError, "'search' must be one of .*dmn.*dynamic", search="oss")
    refused(ValueError, "'learn' must be one of", learn="weights")
    refused(ValueError, "'search' and 'learn' are both None", learn=None)
    refused(ValueError, "'num_inference_steps' is 200, but the teacher itself makes 200", num_inference_steps=200)
    refused(ValueError, "'samples' must be", samples=4)
    refused(ValueError, "'solvers' is empty", solvers=[])
    refused(TypeError, "'solver' is DDIMScheduler, whose noise levels are not free", solvers=[DDIMScheduler()])
    refused(ValueError, "calls the model more than once a step", solvers=[HeunDiscreteScheduler()])
    sde = DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++")
    refused(ValueError, "'solver' is .* which adds noise", solvers=[sde])
    sde.set_timesteps(20)
    refused(ValueError, "'teacher' is a .* which adds noise", teacher=sde)
    refused(TypeError, "'solvers' must be a list .* DPMSolverMultistepScheduler", solvers=solvers[0])
    refused(TypeError, "'shape' must be that of one sample.* 2", shape=2)
    refused(ValueError, r"'shape\[0\]' must be at least 1", shape=(0,))
    inverse = DPMSolverMultistepInverseScheduler()
    refused(ValueError, "'solver' is DPMSolverMultistepInverseScheduler, whose sigmas rise", solvers=[inverse])
    for other, what in [
        ({"beta_end": 0.01}, "share of the clean sample at timestep 250"),
        ({"prediction_type": "v_prediction"}, "prediction_type is v_prediction, but that of the teacher is epsilon"),
        ({**FLOW}, "noise process is a flow"),
    ]:
        refused(ValueError, f"'solvers' has .* whose {what}", solvers=[*solvers, DPMSolverMultistepScheduler(**other)])
    saved("multistep", tmp_path / "plan", steps=6)
    refused(ValueError, "'teacher' must take half as many steps too", teacher=LearnedScheduler(tmp_path / "plan"))
    poor = DPMSolverMultistepScheduler(solver_order=1)
    poor.set_timesteps(5)
    refused(ValueError, "'teacher' has not converged with 5 model calls", teacher=poor)


def test_a_model_that_is_not_finite_is_told_with_the_timestep(problem, tmp_path):
    class Broken(nn.Cell):
        def construct(self, x, timestep):
            broken = ops.cast(timestep < 400, mstype.float32).reshape((-1, 1))
            return x / (1 - broken)

    _, solvers, teacher, *_ = problem
    with pytest.raises(ValueError, match=r"not finite: sample 0 .* at timestep (39\d|3[0-9]\d)"):
        optimize(Broken(), solvers, teacher, (2,), tmp_path, 4, samples=8, held_out=8, batch_size=8)


class Velocity(nn.Cell):
    """A velocity of a flow with a weight, a plain attribute and a condition."""

    def __init__(self, weight=1.0, bend=0.3):
        super().__init__()
        self.weight, self.bend = Parameter(Tensor(weight, mstype.float32), name="weight"), bend

    def construct(self, x, timestep, condition):
        """Returns the prediction for x, ``(B, ...)``, and conditions ``(B,)``."""
        shape = (-1,) + (1,) * (x.ndim - 1)
        sigma = (ops.cast(timestep, mstype.float32) / 1000).reshape(shape)
        straight = x * (sigma - 0.25 * (1 - sigma)) / (sigma * sigma + 0.25 * (1 - sigma) ** 2)
        return self.weight * straight + self.bend * ops.sin(3 * x) + 0.2 * condition.reshape(shape)


def cosines(numbers, scale=1.0):
    return [np.cos(scale * numbers).astype(np.float32)]


def flow_solver(steps=None, **arguments):
    solver = DPMSolverMultistepScheduler(**FLOW, **arguments)
    if steps is not None:
        solver.set_timesteps(steps)
    return solver


def test_distances_are_those_of_all_held_out_samples_whatever_the_batch(tmp_path):
    # The same scheduler is a solver too, which leaves the steps of the teacher as they are.
    teacher = flow_solver(80)
    solvers = [flow_solver(flow_shift=5.0), flow_solver(), teacher]
    given = {"samples": 9, "held_out": 5, "batch_size": 4, "iterations": 2, "conditions": cosines}
    report = optimize(Velocity(), solvers, teacher, (2, 3), tmp_path, 3, **given).report
    assert teacher.num_inference_steps == 80
    name = "DPMSolverMultistepScheduler order 2 use_flow_sigmas"
    assert list(report["distance_of_solvers"]) == [f"{name} (1)", f"{name} (2)", f"{name} (3)"]
    far, near, same = report["distance_of_solvers"].values()
    assert far > near == pytest.approx(same)
    assert report["solver"] in (f"{name} (2)", f"{name} (3)")
    course = [distance for _, distance in report["fit"]]
    assert course[0] == pytest.approx(near, rel=0.02)
    assert report["distance"] == pytest.approx(min(course), rel=1e-4)


def test_what_another_model_has_drawn_is_not_taken_up_again(tmp_path, monkeypatch):
    monkeypatch.setitem(optimize.__globals__, "search_by_bound", lambda levels: levels.start)
    solver, teacher, steps, call = flow_solver(), flow_solver(80), [], Sampler.__call__

    def counted(sampler, *inputs, **options):
        steps.append(sampler.scheduler.num_inference_steps)
        return call(sampler, *inputs, **options)

    def drawn_batches(model, conditions=cosines):
        steps.clear()
        given = {"search": "dmn", "learn": None, "samples": 4, "held_out": 4, "batch_size": 4}
        optimize(model, [solver], teacher, (2,), tmp_path, 2, conditions=conditions, **given)
        found.append(load_file(tmp_path / "optimize.safetensors")["target"])
        return steps.count(80)

    monkeypatch.setattr(Sampler, "__call__", counted)
    (tmp_path / "optimize.safetensors").write_bytes(b"damaged")
    found, bent = [], Velocity(1.0002, bend=0.2)
    assert drawn_batches(Velocity()) == 2
    assert drawn_batches(Velocity(1.0002)) == 2
    # An attribute is not among the Parameters: the first batch, drawn again, tells.
    assert drawn_batches(bent) == 3
    assert drawn_batches(bent, lambda numbers: cosines(numbers, np.where(numbers < 6, 1, 2))) == 2
    for before, after in zip(found, found[1:]):
        assert not np.allclose(before, after, atol=1e-6)
    assert drawn_batches(bent, lambda numbers: cosines(numbers, np.where(numbers < 6, 1, 2))) == 1
    assert np.array_equal(*found[-2:])


def test_a_solver_that_leaves_the_finite_numbers_is_told(tmp_path):
    class Hole(nn.Cell):
        def construct(self, x, timestep):
            hole = ops.abs(ops.cast(timestep, mstype.float32) - 666) < 1
            return x / ops.cast(ops.logical_not(hole), mstype.float32).reshape((-1, 1))

    teacher = FlowMatchEulerDiscreteScheduler()
    teacher.set_timesteps(timesteps=np.linspace(1000, 5, 30))
    with pytest.raises(ValueError, match="sample 4 of DPMSolverMultistepScheduler .* its step 1, at timestep 666"):
        optimize(Hole(), [flow_solver()], teacher, (2,), tmp_path, 3, samples=4, held_out=4, batch_size=4)


def test_a_gradient_that_is_not_finite_is_told(problem, monkeypatch):
    model, solvers, *_ = problem
    fit = Fit(PlanFamily(Levels(solvers[0], 3), "times"), model)
    rows, timesteps = fit._inputs(fit.vector)
    monkeypatch.setattr(fit, "by_table", lambda *_: (0.04, np.full(rows.shape, np.nan), np.zeros(timesteps.shape)))
    with pytest.raises(ValueError, match="gradient that is not finite: step 0 of the fit, at a distance of 0.2"):
        fit.step(())


def test_as_many_levels_as_the_fine_grid_can_be_searched(tmp_path):
    solver, teacher = FlowMatchEulerDiscreteScheduler(), flow_solver(80, solver_order=3)
    given = {"search": "dynamic", "learn": None, "samples": 4, "held_out": 4, "batch_size": 4, "conditions": cosines}
    report = optimize(Velocity(), [solver], teacher, (2,), tmp_path, 70, **given).report
    assert len(report["timesteps"]) == 70
    assert report["distance"] < 3 * report["distance_of_solvers"]["FlowMatchEulerDiscreteScheduler"]
