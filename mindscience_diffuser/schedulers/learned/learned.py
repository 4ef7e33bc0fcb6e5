"""A scheduler whose table was fitted to one model and one number of calls, and is read from a file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from mindspore import dtype as mstype
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.plan import named_arrays, with_named_arrays
from mindscience_diffuser.schedulers.base.config import CONFIG_NAME, SchedulerConfig, json_text, read_config
from mindscience_diffuser.schedulers.base.scheduler import scheduler_class
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler
from mindscience_diffuser.validation import check_integer, check_path

TABLE_NAME = "plan.safetensors"
START = "init_noise_sigma"
OF_PROCESS = (
    "num_train_timesteps",
    "prediction_type",
    "betas",
    "alphas_cumprod",
    "preconditioning",
    "channels",
    "flow",
)
"""Attributes of the solver that describe its noise process, each where it has it."""


class LearnedScheduler(SigmaScheduler):
    """A plan from a file: weights, noise levels and what the model is told were fitted to a model, for n calls.

    The noise process, and the structure of a step, are those of the solver that the fit began with. The schedule is
    there as soon as the scheduler is built; it has one number of steps.

    Args:
        folder (str or Path): Folder that the command ``optimize`` or :meth:`save_pretrained` has written: a
            ``scheduler_config.json`` and the table, ``plan.safetensors``.
        compute_dtype (mindspore.dtype): Dtype of the device arithmetic and of all results, float32 or float16.
            Default: ``mindspore.float32``.

    Attributes:
        sigmas (numpy.ndarray): Standard deviation of the noise at each level, float64, shape ``(n + 1,)``.
        solver (Scheduler): The scheduler that the fit began with; its noise process is that of the plan.

    Raises:
        FileNotFoundError: If one of the two files is not there.
        TypeError: If `folder` is no path.
        ValueError: If they are no learned plan, are damaged, or do not belong together.

    Examples:
        >>> scheduler = LearnedScheduler.from_pretrained("runs_output/digits_ddim/optimize")
        >>> samples = Sampler(model, scheduler)(noise)
    """

    has_warmup = True

    def __init__(self, folder, compute_dtype=mstype.float32):
        super().__init__(compute_dtype)
        content, arrays = _read(check_path("folder", folder))
        learned = content.pop("_learned")
        solver = {**content, "_class_name": learned["solver"]}
        self.solver = scheduler_class(learned["solver"]).from_config(solver, compute_dtype=compute_dtype)
        self.settings = self.config = SchedulerConfig({**self.solver.config, "folder": str(folder)}, type(self.solver))
        for name in OF_PROCESS:
            if hasattr(self.solver, name):
                setattr(self, name, getattr(self.solver, name))
        self.init_noise_sigma = float(arrays.pop(START))
        training = self.solver.timesteps
        self.solver.set_timesteps(learned["num_inference_steps"])
        self.order = self.solver.order
        self._learned = with_named_arrays(self.solver.plan_for(), arrays)
        if self._learned.fingerprint != learned["fingerprint"]:
            raise ValueError(
                f"The table '{Path(folder) / TABLE_NAME}' is not the one that '{CONFIG_NAME}' beside it was written "
                "with: copy both files of a folder together."
            )
        self.limit = self._learned.limit
        self._training = (training, *self.solver.level_at(training))
        self.sigmas = np.append(self._learned.level[1], self._learned.next_level[1][-1])
        self._schedule(training, scheduled=False)
        self.set_timesteps(learned["num_inference_steps"])

    @property
    def clean_timestep(self):
        """What the model is told of a clean frame, as with the solver of the fit."""
        return self.solver.clean_timestep

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end, each ``(n + 1,)``."""
        if not self.scheduled:
            return tuple(np.append(level, 0.0) for level in self._training[1:])
        plan = self._learned
        return tuple(np.append(level, reached[-1]) for level, reached in zip(plan.level, plan.next_level))

    def level_at(self, timesteps):
        """Returns alpha and sigma of training timesteps, an array, as the solver of the fit does."""
        return self.solver.level_at(timesteps)

    def set_timesteps(self, num_inference_steps):
        """Begins anew with the learned schedule.

        Args:
            num_inference_steps (int): Number of steps; that of the plan.

        Raises:
            TypeError: If it is no integer.
            ValueError: If it is another number than that which the plan was learned for.
        """
        steps = -(-len(self._learned) // self.order)
        if check_integer("num_inference_steps", num_inference_steps, low=1) != steps:
            raise ValueError(
                f"'num_inference_steps' is {num_inference_steps}, but the plan of '{self.settings.folder}' was learned "
                f"for {steps} steps: set {steps}, or learn another plan with the command optimize."
            )
        self.num_inference_steps = steps
        told = self._learned.timesteps
        # Of several numbers that the model is told the first one is the timestep.
        self._schedule(told if told.ndim == 1 else told[:, 0])

    def trajectory_plan(self, begin=0):
        """Returns the plan of a trajectory, which begins at row 0: a later row may use what earlier ones remember."""
        if begin > 0 and len(self._learned.states) > 1:
            raise ValueError(
                f"A learned plan is run from its start, but is to begin at row {begin}: its steps use predictions that "
                "earlier steps have made. Use another scheduler there, such as the solver of the fit."
            )
        return self._learned

    @classmethod
    def _of_file(cls, file, content, overrides):
        """Returns the scheduler of a folder, after a check of what it is to be used for."""
        dtype = overrides.pop("compute_dtype", mstype.float32)
        scheduler = cls(file.parent, dtype)
        scheduler.check_process(overrides)
        return scheduler

    def check_process(self, expected):
        """Raises ValueError unless the noise process of the fit has these values.

        Args:
            expected (Mapping): Arguments of the solver, such as `prediction_type` and `beta_schedule`, by name.

        Raises:
            TypeError: If the solver has no such argument.
        """
        known = self.solver.settings
        for name, value in expected.items():
            if name not in known:
                raise TypeError(
                    f"{type(self.solver).__name__}, which this plan was learned from, has no argument {name!r}; it has "
                    f"{', '.join(known)}."
                )
            if not np.array_equal(known[name], value):
                raise ValueError(
                    f"'{name}' is {value!r}, but the plan of '{self.settings.folder}' was learned with "
                    f"{known[name]!r}: learn a plan for this model with the command optimize."
                )

    def save_pretrained(self, path):
        """Writes the two files of the plan.

        Args:
            path (str or Path): Folder that they are written into, which is made if it does not exist.
        """
        save_learned(path, self.solver, self._learned, self.init_noise_sigma)


def save_learned(folder, solver, plan, init_noise_sigma):
    """Writes a plan as the folder of a :class:`LearnedScheduler`.

    Args:
        folder (str or Path): Folder that is made if it does not exist.
        solver (Scheduler): Scheduler whose noise process, and whose structure of a step, the plan has.
        plan (StepPlan): The table; what it does not share with the plan of `solver` for as many steps is written.
        init_noise_sigma (float): Standard deviation of the noise that a trajectory starts from.

    Raises:
        ValueError: If a number of the plan is not finite.
    """
    plan = replace(plan, results={})
    numbers = named_arrays(plan)
    for name, values in numbers.items():
        if not np.all(np.isfinite(values)):
            raise ValueError(f"'{name}' of the plan must be finite, but is {np.asarray(values).tolist()}.")
    config = json.loads(solver.config.to_json(type(solver).__name__))
    config.pop("compute_dtype", None)
    arrays = {START: np.float64(init_noise_sigma), **numbers}
    fingerprint = with_named_arrays(plan, numbers).fingerprint
    learned = {
        "fingerprint": fingerprint,
        "num_inference_steps": -(-len(plan) // solver.order),
        "solver": type(solver).__name__,
    }
    # The arguments of the solver stand at the top: other classes that read the file follow the same noise process.
    content = {**config, "_class_name": LearnedScheduler.__name__, "_learned": learned}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.array(values, order="C") for name, values in arrays.items()}
    write_atomically(folder / TABLE_NAME, save(tensors, metadata={"fingerprint": fingerprint}))
    write_atomically(folder / CONFIG_NAME, json_text(content))


def _read(folder):
    """Returns the configuration and the arrays of a folder."""
    for name in (CONFIG_NAME, TABLE_NAME):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"There is no learned plan in '{folder}': it has no {name}. Give the folder that the command optimize "
                "or save_pretrained has written."
            )
    content = read_config(folder / CONFIG_NAME)
    if content.get("_class_name") != LearnedScheduler.__name__:
        raise ValueError(
            f"'{folder / CONFIG_NAME}' is the configuration of {content.get('_class_name')}, and no learned plan: load "
            "it with Scheduler.from_pretrained."
        )
    advice = "copy the folder anew, or learn the plan again with the command optimize."
    learned = content.get("_learned")
    if not isinstance(learned, dict) or {"fingerprint", "num_inference_steps", "solver"} - learned.keys():
        raise ValueError(f"'{folder / CONFIG_NAME}' is damaged: its '_learned' is incomplete; {advice}")
    try:
        arrays = load_file(folder / TABLE_NAME)
    except SafetensorError as error:
        raise ValueError(f"'{folder / TABLE_NAME}' is damaged: {error}; {advice}") from error
    if START not in arrays:
        raise ValueError(f"'{folder / TABLE_NAME}' is damaged: it has no '{START}'; {advice}")
    return content, arrays
