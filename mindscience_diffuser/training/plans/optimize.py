"""`optimize`: a plan for few calls of one model, fitted to what the model draws with many."""

import copy
import functools
import hashlib
import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype
from safetensors import SafetensorError
from safetensors.numpy import load, save
from tqdm import tqdm

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.inputs import check_scheduler
from mindscience_diffuser.noise import NoiseSource, draw_noise
from mindscience_diffuser.sampling import Sampler
from mindscience_diffuser.schedulers import LearnedScheduler, Scheduler
from mindscience_diffuser.schedulers.base.conversion import process_difference
from mindscience_diffuser.schedulers.learned.learned import save_learned
from mindscience_diffuser.training.plans.learn import LEARNED, Fit, PlanFamily
from mindscience_diffuser.training.plans.levels import Levels
from mindscience_diffuser.training.plans.search import search_by_bound, search_dynamically
from mindscience_diffuser.validation import check_choice, check_function, check_integer, check_number, check_path

SEARCHES = ("dmn", "dynamic")
STATE_NAME, REPORT_NAME = "optimize.safetensors", "optimize.json"
SAME = 1e-4
"""Difference of samples, as a share of their size, below which two machines draw the same from one model."""
CHECKED = 10
"""Steps of a fit between two looks at the held-out noise, at which its state is written too."""
FINE = 60
"""Least number of levels of the fine grid that the dynamic programme chooses from; it has twice as many as the plan."""


class Optimized(NamedTuple):
    """What :func:`optimize` returns.

    Attributes:
        scheduler (LearnedScheduler): The plan, as it is in the folder.
        report (dict): Root mean square distances to the teacher's samples on held-out noise, of each solver, of the
            searched levels and of the result; the levels; the course of the fit.
    """

    scheduler: LearnedScheduler
    report: dict


def optimize(
    model,
    solvers,
    teacher,
    shape,
    folder,
    num_inference_steps,
    search=None,
    learn="all",
    samples=256,
    held_out=64,
    batch_size=64,
    iterations=300,
    learning_rate=0.03,
    history=3,
    conditions=None,
    seed=0,
):
    """Fits a plan of few model calls to the samples that a teacher draws with many, and writes it into a folder.

    It begins with the best of the solvers. A search may choose its levels: ``"dmn"`` from the noise schedule alone, see
    :func:`~mindscience_diffuser.training.plans.search.search_by_bound`, ``"dynamic"`` by a dynamic programme over the
    teacher's trajectories. Then gradients through the compiled trajectory may fit the levels, or all of the table, see
    :class:`~mindscience_diffuser.training.plans.learn.PlanFamily`; the step of lowest error on held-out noise is kept.
    The teacher's samples and the state of the fit lie in the folder: the same call goes on from there. The same are
    arguments, values of the model's parameters and conditions; besides, the first batch of the teacher is drawn again,
    and where it differs from that in the folder, because guidance or code of the model has changed, all begins anew.

    Args:
        model (nn.Cell): The model in evaluation, or guidance around it: the plan is fitted to what it is called as.
        solvers (Sequence[Scheduler]): Deterministic solvers of one model call a step, of the noise process of the
            model, whose levels can be given, such as :class:`~mindscience_diffuser.DPMSolverMultistepScheduler`.
        teacher (Scheduler): Deterministic; its `set_timesteps` has been called, with more model calls.
        shape (Sequence[int]): Shape of one sample.
        folder (str or Path): Folder that is written into, which is made if it does not exist.
        num_inference_steps (int): Number of steps of the plan, 2 or more.
        search (str, optional): ``"dmn"`` or ``"dynamic"``. Default: ``None``, the levels of the solver.
        learn (str, optional): ``"times"`` or ``"all"``; None for no gradients. Default: ``"all"``.
        samples (int): Samples that are fitted to, at least `batch_size`. Default: ``256``.
        held_out (int): Samples that tell when the fit is best, at least 1. Default: ``64``.
        batch_size (int): Samples of a step of the fit. Default: ``64``.
        iterations (int): Steps of the fit. Default: ``300``.
        learning_rate (float): First step of Adam, which falls to 0 as a cosine. Default: ``0.03``.
        history (int): Earlier predictions that a step may use, with ``learn="all"``. Default: ``3``.
        conditions (Callable, optional): Takes sample numbers and returns the conditions of these samples, a list of
            arrays ``(B, ...)``. Default: ``None``, the model takes none.
        seed (int): Seed of the noise. Default: ``0``.

    Returns:
        Optimized, the scheduler and a report, which is written as ``optimize.json`` too.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a choice is unknown, a number is out of range, the teacher adds noise or has no more calls than
            the plan or another noise process than a solver, the output or the gradient of the model is not finite, or
            the teacher is further from convergence than the best solver is from the teacher.
    """
    if search is not None:
        check_choice("search", search, SEARCHES)
    if learn is not None:
        check_choice("learn", learn, LEARNED)
    if search is None and learn is None:
        raise ValueError("'search' and 'learn' are both None: give one of them, or both.")
    folder = check_path("folder", folder)
    if conditions is not None:
        check_function("conditions", conditions, "conditions(sample_numbers)")
    calls = check_integer("num_inference_steps", num_inference_steps, low=2)
    batch_size = check_integer("batch_size", batch_size, low=1)
    check_integer("samples", samples, low=batch_size)
    check_integer("held_out", held_out, low=1)
    check_integer("iterations", iterations, low=1)
    check_integer("history", history, low=0)
    check_number("learning_rate", learning_rate, "(0, inf)")
    check_scheduler(teacher, Scheduler)
    teacher.check_scheduled()
    plan = teacher.plan_for()
    if plan.stochastic:
        raise ValueError(f"'teacher' is a {type(teacher).__name__}, which adds noise: give a deterministic one.")
    if len(plan) <= calls:
        raise ValueError(
            f"'num_inference_steps' is {calls}, but the teacher itself makes {len(plan)} model calls: give it more "
            "with set_timesteps, 200 for example, or learn a plan of fewer."
        )
    if not isinstance(solvers, (list, tuple)):
        raise TypeError(
            f"'solvers' must be a list of schedulers, but is a {type(solvers).__name__}: put it into a list."
        )
    families = [Levels(solver, calls) for solver in solvers]
    if not families:
        raise ValueError("'solvers' is empty: give at least one, such as DPMSolverMultistepScheduler.")
    for name, family in zip(_labels(families), families):
        difference = process_difference(teacher, family.scheduler)
        if difference is not None:
            what, own, other = difference
            raise ValueError(
                f"'solvers' has {name}, whose {what} is {other}, but that of the teacher is {own}: the samples of one "
                "model are drawn by both. Build the solver by from_config(teacher.config)."
            )
    if not isinstance(shape, (list, tuple)) or not shape:
        raise TypeError(f"'shape' must be that of one sample, one integer or more in a tuple, but is {shape!r}.")
    shape = tuple(check_integer(f"shape[{i}]", size, low=1) for i, size in enumerate(shape))
    work = _Work(model, teacher, shape, folder, batch_size, conditions, seed, samples, held_out)
    settings = {"search": search, "learn": learn, "calls": calls, "history": history, "iterations": iterations}
    settings.update(learning_rate=learning_rate, solvers=[f.scheduler.plan.fingerprint for f in families])
    return work.run(families, settings)


class _Work:
    """One call of :func:`optimize`."""

    def __init__(self, model, teacher, shape, folder, batch_size, conditions, seed, samples, held_out):
        self.model, self.teacher, self.shape, self.folder = model, teacher, shape, folder
        self.batch_size, self.conditions, self.seed = batch_size, conditions, seed
        self.samples, self.held_out = samples, held_out
        self.sampler, self.half = Sampler(model, teacher), _half(teacher)

    def run(self, families, settings):
        """Returns the :class:`Optimized`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings.update(teacher=self.teacher.plan.fingerprint, shape=self.shape, batch_size=self.batch_size)
        settings.update(seed=self.seed, samples=self.samples, held_out=self.held_out)
        numbers = np.arange(self.samples + self.held_out)
        settings.update(given=self._digest(numbers))
        identity = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
        state = self._read(identity)
        if not state:
            state["target"] = self._drawn(self.sampler, numbers, "sampling with the teacher")
            self._write(identity, state)
        target = state["target"]
        errors = [self._distance(family.scheduler, target) for family in families]
        names = _labels(families)
        report = {"distance_of_solvers": dict(zip(names, errors))}
        best = int(np.argmin(errors))
        family = families[best]
        self._check_teacher(target, errors[best])
        start = family.start
        if settings["search"] is not None:
            start = self._searched(settings["search"], family)
            report["distance_of_searched_levels"] = self._distance(family.schedule(start), target)
        chosen = PlanFamily(family, settings["learn"] or "times", settings["history"])
        vector = np.concatenate([start, chosen.start[len(start) :]])
        if settings["learn"] is not None:
            vector, report["fit"] = self._fit(chosen, vector, state, identity, settings, numbers)
        plan = chosen.plan(vector)
        plan = replace(plan, timesteps=plan.timesteps.astype(np.float32))
        save_learned(self.folder, family.scheduler, plan, family.scheduler.init_noise_sigma)
        scheduler = LearnedScheduler.from_pretrained(self.folder)
        report["distance"] = self._distance(scheduler, target)
        report.update(solver=names[best], timesteps=plan.timesteps.tolist())
        report["sigmas"] = family.sigmas(vector[: family.calls]).tolist()
        write_atomically(self.folder / REPORT_NAME, json.dumps(report, indent=2) + "\n")
        return Optimized(scheduler, report)

    def _digest(self, numbers):
        """Returns a text that differs between models of other parameters, and between other conditions."""
        digest = hashlib.sha256()
        conditions = (tensor for batch in self._batches(numbers) for tensor in self._conditions_of(batch))
        for tensor in (*self.model.get_parameters(), *conditions):
            digest.update(f"{tensor.dtype} {tensor.shape}".encode())
            # NumPy has no bfloat16.
            values = tensor.astype(mstype.float32) if tensor.dtype == mstype.bfloat16 else tensor
            digest.update(values.asnumpy().tobytes())
        return digest.hexdigest()

    def _read(self, identity):
        """Returns the state of an earlier call with the same arguments, arrays by name; without one nothing."""
        path = self.folder / STATE_NAME
        try:
            state = load(path.read_bytes()) if path.is_file() else {}
        except SafetensorError:
            return {}
        if bytes(state.pop("identity", b"")).decode() != identity:
            return {}
        known = state["target"][: self.batch_size]
        same = rms(self._drawn(self.sampler, np.arange(len(known))) - known) <= SAME * rms(known)
        return state if same else {}

    def _write(self, identity, state):
        text = np.frombuffer(identity.encode(), np.uint8)
        write_atomically(self.folder / STATE_NAME, save({**state, "identity": text}))

    def _given(self, numbers, scheduler):
        """Returns where the trajectories of samples start under a scheduler, and their conditions."""
        noise = draw_noise((len(numbers), *self.shape), NoiseSource(self.seed, numbers))
        return [Tensor((noise * scheduler.init_noise_sigma).astype(np.float32)), *self._conditions_of(numbers)]

    def _conditions_of(self, numbers):
        return [] if self.conditions is None else [Tensor(values) for values in self.conditions(numbers)]

    def _batches(self, numbers):
        """Returns sample numbers in batches of one size; the last one is filled up with numbers from the first."""
        for first in range(0, len(numbers), self.batch_size):
            yield numbers[np.arange(first, first + self.batch_size) % len(numbers)]

    def _drawn(self, sampler, numbers, text=None):
        """Returns the final samples of a sampler, in the order of their numbers; ValueError where one is not finite."""
        drawn = []
        for batch in tqdm(list(self._batches(numbers)), desc=text, unit="batch", disable=text is None):
            drawn.append(sampler(*self._given(batch, sampler.scheduler)).asnumpy())
            if not np.all(np.isfinite(drawn[-1])):
                self._tell_broken(sampler.scheduler, batch, drawn[-1])
        return np.concatenate(drawn)[: len(numbers)]

    def _tell_broken(self, scheduler, batch, drawn):
        """Raises ValueError that names the step after which a sample of a batch is not finite."""
        wrong = int(np.argmin(np.isfinite(drawn.reshape(len(drawn), -1)).all(axis=1)))
        broken = []

        def look(i, timestep, sample):
            if not np.all(np.isfinite(sample.asnumpy()[wrong])):
                broken.append((i, timestep))

        Sampler(self.model, scheduler, "step")(*self._given(batch, scheduler), callback=look)
        i, timestep = broken[0]
        who = "the teacher" if scheduler is self.teacher else _label(scheduler)
        raise ValueError(
            f"'model' returns values that are not finite: sample {batch[wrong]} of {who} is no longer finite after its "
            f"step {i}, at timestep {timestep}."
        )

    def _distance(self, scheduler, target):
        """Returns how far the held-out samples of a scheduler are from the teacher's, root mean square."""
        held = np.arange(self.samples, self.samples + self.held_out)
        return rms(self._drawn(Sampler(self.model, scheduler), held) - target[self.samples :])

    def _check_teacher(self, target, best):
        """Raises ValueError if the teacher changes more with half as many steps than the best solver is away."""
        changed = self._distance(self.half, target)
        if not changed < best:
            raise ValueError(
                f"'teacher' has not converged with {len(self.teacher.plan_for())} model calls: with half of them its "
                f"samples change by {changed:.3g}, while those of the best solver are only {best:.3g} from them. Give "
                "the teacher more steps, or a better method."
            )

    def _searched(self, search, family):
        if search == "dmn":
            return search_by_bound(family)
        fine = Levels(family.scheduler, min(max(FINE, 2 * family.calls), family.scheduler.num_train_timesteps))
        sampler = Sampler(self.model, fine.scheduler, "step", return_intermediates=True)
        numbers = np.arange(min(self.samples, self.batch_size))
        _, samples, clean = sampler(*self._given(numbers, fine.scheduler))
        alphas, sigmas = fine.scheduler.levels
        visited = fine.scheduler.sigmas[:-1]
        return search_dynamically(family, samples.asnumpy(), clean.asnumpy(), alphas, sigmas, visited)

    def _fit(self, family, vector, state, identity, settings, numbers):
        """Returns the best vector, and the distance to the teacher over the steps of the fit."""
        fit = Fit(family, self.model)
        scheduler, target = family.levels.scheduler, state["target"]
        # Training samples in an order of their own for each pass.
        order = np.random.default_rng(self.seed)
        passes = -(-settings["iterations"] * self.batch_size // self.samples)
        chosen = np.concatenate([order.permutation(self.samples) for _ in range(passes)])

        @functools.cache
        def held():
            return [self._batch(batch, scheduler, target) for batch in self._batches(numbers[self.samples :])]

        if "vector" in state:
            fit.vector, fit.first, fit.second = state["vector"], state["first"], state["second"]
            fit.iteration = int(state["iteration"])
        else:
            fit.vector = vector.copy()
            error = fit.evaluate(vector, held(), self.held_out) ** 0.5
            state.update(best=vector.copy(), course=np.array([[0, error]]))
        steps = settings["iterations"]
        with tqdm(total=steps, initial=fit.iteration, desc="fitting the plan", unit="step") as bar:
            while fit.iteration < steps:
                fit.learning_rate = settings["learning_rate"] * 0.5 * (1 + np.cos(np.pi * fit.iteration / steps))
                first = fit.iteration * self.batch_size
                fit.step(self._batch(chosen[first : first + self.batch_size], scheduler, target))
                bar.update(1)
                if fit.iteration % CHECKED == 0 or fit.iteration == steps:
                    error = fit.evaluate(fit.vector, held(), self.held_out) ** 0.5
                    if error < state["course"][:, 1].min():
                        state["best"] = fit.vector.copy()
                    state["course"] = np.vstack([state["course"], [fit.iteration, error]])
                    bar.set_postfix(distance=f"{error:.4g}")
                    state.update(vector=fit.vector, first=fit.first, second=fit.second)
                    self._write(identity, {**state, "iteration": np.array(fit.iteration)})
        return state["best"], [[int(step), float(error)] for step, error in state["course"]]

    def _batch(self, numbers, scheduler, target):
        noise, *conditions = self._given(numbers, scheduler)
        return (noise, Tensor(target[numbers].astype(np.float32)), *conditions)


def rms(values):
    """Returns the root mean square of an array."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _label(scheduler):
    """Returns the name of a solver with its order and the spacing of its levels."""
    settings = scheduler.settings
    order = [f"order {settings['solver_order']}"] if "solver_order" in settings else []
    spacing = [name for name, value in settings.items() if name.startswith("use_") and value is True]
    spacing += [settings["sigma_schedule"]] if settings.get("sigma_schedule") else []
    return " ".join([type(scheduler).__name__, *order, *spacing])


def _labels(families):
    """Returns a name for each solver; those of solvers with the same name are numbered."""
    names = [_label(family.scheduler) for family in families]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _half(teacher):
    """Returns a scheduler like the teacher with half as many steps."""
    half, count = copy.deepcopy(teacher), max(teacher.num_inference_steps // 2, 1)
    try:
        half.set_timesteps(count)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"'teacher' must take half as many steps too, by which its convergence is checked, but "
            f"set_timesteps({count}) of {type(teacher).__name__} fails: {error}"
        ) from error
    return half
