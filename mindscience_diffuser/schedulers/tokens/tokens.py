"""What schedulers of tokens share: checks of a step's arguments, noise, and the way to the compiled kernel."""

from typing import NamedTuple, Optional

import numpy as np
from mindspore import Parameter, Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.inputs import check_is_tensor, values_on_cpu
from mindscience_diffuser.noise import draw_uniform
from mindscience_diffuser.recent import RecentlyUsed
from mindscience_diffuser.schedulers.base.arguments import integer
from mindscience_diffuser.schedulers.base.config import Configurable
from mindscience_diffuser.schedulers.base.scheduler import (
    SWAPPED,
    next_source,
    timestep_index,
    timestep_index_in_graph,
)
from mindscience_diffuser.step import COMPUTE_DTYPES, compiled_step, compiles_as, looked_up, replace_value, row_index
from mindscience_diffuser.validation import check_only_one

CAPACITY = 1000
"""Rows that a table has at least: a table of another length would need another graph."""

STEPS = integer("Number of steps until `set_timesteps` chooses another", low=1)
"""The argument of schedulers whose timesteps count the steps."""

TOKEN_DTYPES = (mstype.int32, mstype.int64)


class TokenSchedulerOutput(NamedTuple):
    """What a step of tokens returns with ``return_dict=True``, each of the shape of the sample.

    Attributes:
        prev_sample (Tensor): The tokens at the next timestep, int32.
        pred_original_sample (Tensor): The clean tokens that the step has drawn, or the likeliest ones where it draws
            none, int32.
        probability (Tensor, optional): The probability of those, float32.
        accepted (Tensor, optional): Which of those are tokens of `prev_sample` by this step, bool.
        edited (Tensor, optional): Which of those replace clean tokens of an earlier step, bool.
        committed (Tensor, optional): Which tokens are clean by now, where no mask token tells, bool.
    """

    prev_sample: Tensor
    pred_original_sample: Tensor
    probability: Optional[Tensor] = None
    accepted: Optional[Tensor] = None
    edited: Optional[Tensor] = None
    committed: Optional[Tensor] = None


class TokenScheduler(Configurable, PublicCell):
    """Base of the schedulers of tokens, integers in [0, K): masking, multinomial and block-wise sampling.

    A step takes logits of K clean tokens for each position and draws by uniform noise: `noise`, one number for each
    token of the vocabulary, and `position_noise`, `position_draws` numbers for each position. Both are given, or drawn
    from a stream of each sample, so that a sample does not depend on its batch.

    Attributes:
        config (SchedulerConfig): The arguments by name, as a mapping and as attributes, read-only.
        timesteps (numpy.ndarray): What the model is told at each step, in their order.
        num_inference_steps (int): Number of steps of the trajectory, None before `set_timesteps`.
        table (numpy.ndarray): What each timestep tells the kernel, float64, ``(n, columns)``, None before
            `set_timesteps`.
        rows (Parameter): The same on the device, float32, padded.
    """

    shared_arguments = {}
    order = 1
    init_noise_sigma = 1.0

    columns = ()
    """Names of the columns of the table; by `temperature`, where there is one, the clean tokens are drawn."""
    position_draws = 0
    """Uniform numbers that a step needs for each position, besides those for each token of the vocabulary."""
    counts_up = False
    """Whether timesteps count the steps from 0, else they fall."""
    mask_token = None
    """The token that stands for none yet, None where there is no such token."""
    outputs = ("prev_sample", "pred_original_sample")
    """What the kernel returns, fields of :class:`TokenSchedulerOutput`."""

    def __init__(self):
        super().__init__(auto_prefix=True)
        self.num_inference_steps = None
        self.timesteps = None
        self.rows = Parameter(Tensor(np.zeros((CAPACITY, len(self.columns)), np.float32)), requires_grad=False)
        self.kernel = None
        self.table = None
        self._tables = RecentlyUsed()
        self._count = 0
        self._seeded = (None, None, None)

    def __len__(self):
        return self._count

    def scale_model_input(self, sample, timestep=None):
        """Returns what the model is given for `sample`: the sample itself, whatever the timestep."""
        return sample

    def _schedule(self, timesteps, rows):
        """Takes the timesteps, and a row of the table for each timestep from 0 on, float64, ``(n, columns)``."""
        self.timesteps = timesteps
        self.num_inference_steps = len(timesteps)
        self._count = len(rows)
        self.table = rows
        self._tables.clear()
        replace_value(self.rows, self._packed(rows))
        self._seeded = (None, None, None)

    @staticmethod
    def _packed(rows):
        capacity = -(-len(rows) // CAPACITY) * CAPACITY
        return Tensor(np.pad(rows, [(0, capacity - len(rows)), (0, 0)]).astype(np.float32))

    def _table_with(self, changed):
        """Returns the table on the device, some of its columns changed, and whether its steps draw by `noise`."""

        def make():
            rows = self.table.copy()
            for name, value in changed.items():
                rows[:, self.columns.index(name)] = value
            draws = "temperature" not in self.columns or np.any(rows[:, self.columns.index("temperature")] > 0)
            return self._packed(rows), bool(draws)

        return self._tables.made(tuple(changed.items()), make)

    def check_scheduled(self):
        """Raises ValueError if `set_timesteps` was not called yet."""
        if self.table is None:
            raise ValueError("'set_timesteps' must be called first: there is no schedule yet.")

    def noise_classes(self, classes):
        """Returns how many numbers `noise` has for each position where the logits are of `classes` tokens."""
        return classes

    def construct(self, model_output, sample, timestep, noise, position_noise=None):
        """The pure form of `step` for other graphs and for export; timestep is an int32 Tensor, 0-D or ``(B,)``."""
        return self.step_in_graph(model_output, sample, timestep, noise, position_noise)

    def step_in_graph(
        self, model_output, sample, timestep, noise=None, position_noise=None, generator=None, return_dict=False
    ):
        """What the graph compiler reads in place of :meth:`step`."""
        outputs = self.moved_in_graph(model_output, sample, timestep, noise, position_noise, generator)
        return outputs if return_dict else outputs[0]

    def moved_in_graph(self, model_output, sample, timestep, noise, position_noise, generator, others=()):
        """What the kernel returns inside a graph."""
        self.check_scheduled()
        if sample.shape[1:] != model_output.shape[1:-1]:
            raise ValueError(
                f"'sample' has shape {sample.shape}, but must have that of the logits without their last axis, "
                f"{model_output.shape[:-1]}."
            )
        if generator is not None:
            raise ValueError(
                "'generator' is given inside a graph, where nothing is drawn on the host: draw the noise outside and "
                "pass it as 'noise' and 'position_noise'."
            )
        if noise is None:
            raise TypeError("'noise' must be given inside a graph: uniform numbers in (0, 1) from outside.")
        self.check_noise_in_graph("noise", noise, sample, self.noise_classes(model_output.shape[-1]))
        values = (model_output, sample, noise)
        if self.position_draws > 0:
            if position_noise is None:
                raise TypeError("'position_noise' must be given inside a graph: uniform numbers in (0, 1).")
            self.check_noise_in_graph("position_noise", position_noise, sample, self.position_draws)
            values += (position_noise,)
        row = looked_up(self.rows, timestep_index_in_graph(timestep, self._count))
        return self.kernel.apply(row, values + others)

    def check_noise_in_graph(self, name, value, sample, count):
        """Raises, in a graph, unless noise is float32 of `count` numbers for each token; a batch may be unknown."""
        if value.dtype != mstype.float32:
            raise TypeError(f"'{name}' must be float32, but is {value.dtype}.")
        if value.shape[1:] != sample.shape[1:] + (count,):
            raise ValueError(f"'{name}' has shape {value.shape}, but must have {sample.shape + (count,)}.")

    @compiles_as(step_in_graph)
    def step(self, model_output, sample, timestep, noise=None, position_noise=None, generator=None, return_dict=False):
        """Moves one step towards the clean tokens.

        Args:
            model_output (Tensor): Logits, or logarithms of probabilities, of the clean tokens, ``(B, ..., K)``,
                float32 or float16.
            sample (Tensor): The tokens x_t, ``(B, ...)``, int32 or int64.
            timestep (int, numpy.ndarray or Tensor): One of `timesteps`: a number, a 0-D Tensor, or one value for each
                sample, ``(B,)``.
            noise (Tensor, optional): Uniform numbers in (0, 1), float32, ``(B, ..., K)``, one more where the mask is a
                token of the process.
            position_noise (Tensor, optional): Uniform numbers in (0, 1), float32, ``(B, ..., position_draws)``.
            generator (optional): Source of the noise that is not given: None, a seed, which goes on along the
                trajectory, a generator, or one of them for each sample.
            return_dict (bool): Whether to return all that the step knows. Default: ``False``.

        Returns:
            Tensor, the next tokens, int32; with `return_dict` a :class:`TokenSchedulerOutput`.

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If the shapes do not belong together, the timestep is out of range, or, on CPU, a token is
                outside the vocabulary or noise outside [0, 1].
        """
        return self._result(self.moved(model_output, sample, timestep, noise, position_noise, generator), return_dict)

    @staticmethod
    def _result(outputs, return_dict):
        return outputs if return_dict else outputs.prev_sample

    def moved(self, model_output, sample, timestep, noise, position_noise, generator, others=(), **changed):
        """Returns all that an eager step knows.

        The arguments are those of `step`, what else the kernel takes, and values for columns of the table.
        """
        given = model_output, sample, timestep, noise, position_noise, generator
        return TokenSchedulerOutput(**dict(zip(self.outputs, self._run(self.kernel, *given, others, changed))))

    def _run(
        self,
        kernel,
        model_output,
        sample,
        timestep,
        noise,
        position_noise,
        generator,
        others=(),
        changed=(),
        goes_on=False,
    ):
        """Returns what a kernel returns for an eager step; with `goes_on` for one beside those of the trajectory."""
        index = self._check_step(model_output, sample, timestep)
        shapes = {
            "noise": (*sample.shape, self.noise_classes(model_output.shape[-1])),
            "position_noise": (*sample.shape, self.position_draws),
        }
        given = {"noise": noise, "position_noise": position_noise}
        table, draws = self._table_with(dict(changed))
        needed = {"noise": draws, "position_noise": self.position_draws > 0}
        noises = self._noises(given, needed, shapes, generator, None if goes_on else self.place_of(index))
        values = (model_output, sample, *noises)
        return compiled_step(kernel).run(table, row_index(index), *values, *others)

    def _check_step(self, model_output, sample, timestep):
        """Checks the arguments of `step`, and returns the row of the timestep."""
        self.check_scheduled()
        if isinstance(timestep, Tensor) and timestep.ndim > 1 and not (isinstance(sample, Tensor) and sample.ndim > 1):
            raise TypeError(SWAPPED)
        check_is_tensor("model_output", model_output)
        if model_output.dtype not in COMPUTE_DTYPES:
            raise TypeError(
                f"'model_output' must be float32 or float16 logits, but is {model_output.dtype}: convert it by astype."
            )
        if model_output.ndim < 3:
            raise ValueError(
                f"'model_output' must have a batch axis, positions, and the tokens of the vocabulary as its last axis, "
                f"but has shape {model_output.shape}."
            )
        self.check_tokens("sample", sample, model_output.shape[-1])
        if sample.shape != model_output.shape[:-1]:
            raise ValueError(
                f"'sample' has shape {sample.shape}, but must have that of the logits without their last axis, "
                f"{model_output.shape[:-1]}."
            )
        if np.ndim(timestep) > 1:
            raise ValueError(
                f"'timestep' must be a number or have one value for each sample, but has shape {np.shape(timestep)}."
            )
        return timestep_index(timestep, sample.shape, self._count)

    def check_tokens(self, name, tokens, classes):
        """Checks that tokens are integers ``(B, ...)``, and, on CPU, that each is in [0, classes) or the mask token."""
        check_is_tensor(name, tokens)
        if tokens.dtype not in TOKEN_DTYPES:
            raise TypeError(
                f"'{name}' must hold tokens, int32 or int64, but is {tokens.dtype}; convert it with astype."
            )
        if tokens.ndim < 2:
            raise ValueError(f"'{name}' must have a batch axis and at least one more, but has shape {tokens.shape}.")
        values = values_on_cpu(tokens)
        if values is None:
            return
        outside = values[((values < 0) | (values >= classes)) & (values != self.mask_token)]
        if outside.size:
            mask = "" if self.mask_token is None else f" or the mask token {self.mask_token}"
            allowed = f"in [0, {classes - 1}]{mask}" if np.isfinite(classes) else "of at least 0"
            raise ValueError(f"'{name}' must hold tokens {allowed}, but has {outside[0]}.")

    def _noises(self, given, needed, shapes, generator, place):
        """Returns the noise of a step: what is given, and draws of `generator` for what is not, see `next_source`."""
        used = [name for name in given if needed[name]]
        missing = [name for name in used if given[name] is None]
        if used and not missing:
            check_only_one(**{used[0]: given[used[0]]}, generator=generator)
        name, source, last = next_source(self._seeded, shapes["noise"][0], generator, place)
        noises = ()
        for kind, value in given.items():
            if kind in missing:
                value = Tensor(draw_uniform(shapes[kind], source))
            elif value is not None:
                check_uniform(kind, value, shapes[kind])
            noises += (value,) if kind == "noise" or needed[kind] else ()
        if missing:
            self._seeded = name, source, self._seeded[2] if last is None else last
        return noises

    def place_of(self, index):
        """Returns a number that rises along a trajectory, None where each sample is at another place."""
        return None if isinstance(index, Tensor) else index if self.counts_up else -index


def check_uniform(name, value, shape):
    """Checks that noise is a float32 Tensor of this shape, and, on CPU, that each number is in [0, 1]."""
    check_is_tensor(name, value)
    if value.shape != shape:
        raise ValueError(f"'{name}' has shape {value.shape}, but must have {shape}.")
    if value.dtype != mstype.float32:
        raise TypeError(f"'{name}' must be float32, but is {value.dtype}: coarser numbers are not even in (0, 1).")
    values = values_on_cpu(value)
    if values is None:
        return
    least, most = values.min(), values.max()
    if not (least >= 0 and most <= 1):
        raise ValueError(
            f"'{name}' must hold uniform numbers in (0, 1), but has numbers from {least:g} to {most:g}: draw them by "
            "numpy.random.Generator.random, not from the normal distribution."
        )
