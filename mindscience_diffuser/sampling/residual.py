"""ResidualSampler: a regression and the samples of what it leaves (Mardani et al., 2023, arXiv:2309.15214)."""

import mindspore as ms
from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.cells import frozen
from mindscience_diffuser.inputs import type_name
from mindscience_diffuser.sampling.compiled import CompiledSampler, with_own_memory
from mindscience_diffuser.sampling.sampler import Sampler


class ResidualSampler(CompiledSampler):
    """Draws y = f(c) + r: the prediction of a regression f, and a residual r that a Sampler draws under c and f(c).

    It belongs to a network that was trained by an :class:`~mindscience_diffuser.EDMTrainer` with the same `regression`.
    The regression is called once for a trajectory.

    Args:
        sampler (Sampler): Draws residuals. Its model is called as ``model(x, timestep, *conditions, f(c))``.
        regression (nn.Cell): f, called as ``regression(*conditions)``; returns a prediction in the shape of the
            samples. It is frozen as in the trainer.

    Inputs:
        - **noise** (Tensor) - where the trajectory of the residual starts, ``(B, ...)``.
        - **inputs** (Tensor) - those of the `sampler`, with the conditions without f(c). With its `inpaint`, the known
          values are those of y.

    Outputs:
        Tensor, the sample of y, in the scheduler's `compute_dtype`.

    Raises:
        TypeError: If `sampler` is no Sampler or `regression` no Cell.
        ValueError: If `sampler` returns its intermediates, which are no samples of y.
    """

    own_settings = ("fixed_shape",)

    def __init__(self, sampler, regression):
        if not isinstance(sampler, Sampler):
            raise TypeError(f"'sampler' must be a Sampler, but is {type_name(sampler)}.")
        if not isinstance(regression, nn.Cell):
            raise TypeError(f"'regression' must be an nn.Cell, but is {type_name(regression)}.")
        if sampler.return_intermediates:
            raise ValueError("'sampler' has return_intermediates=True: build it without, what is on the way is noisy.")
        super().__init__(regression)
        self.sampler = sampler
        self.regression = frozen(regression, sampler, "regression")
        self.leading = len(sampler.input_names) - 1
        self.inpaint = sampler.inpaint
        self.fixed_shape = True

    @property
    def plan(self):
        """The plan of the sampler."""
        return self.sampler.plan

    @property
    def method(self):
        """How the sampler runs its plan."""
        return self.sampler.method

    @property
    def input_names(self):
        """Names of the inputs of the graph form, without the conditions."""
        return self.sampler.input_names

    def construct(self, noise, *inputs):
        """Draws samples as part of a graph."""
        given, conditions = inputs[: self.leading], inputs[self.leading :]
        expected = self.expect(noise, conditions)
        if self.inpaint:
            # After the mask, which stands before them, the known values and their noise end these inputs.
            given = given[:-2] + (ops.cast(given[-2], mstype.float32) - expected, given[-1])
        drawn = self.sampler(noise, *given, *conditions, expected)
        return ops.cast(expected + ops.cast(drawn, mstype.float32), drawn.dtype)

    @ms.jit
    def compiled(self, noise, *conditions):
        """Returns f(c) of a batch."""
        return self.expect(noise, conditions)

    def expect(self, noise, conditions):
        """Returns f(c) in float32, and raises ValueError unless it has the shape of the noise."""
        expected = ops.cast(self.regression(*conditions), mstype.float32)
        if self.fixed_shape and expected.shape != noise.shape:
            raise ValueError(f"The regression returns the shape {expected.shape}, but the noise has {noise.shape}.")
        return expected

    def initial_noise(self, shape, generator=None):
        """Draws what a trajectory starts from, see :meth:`Sampler.initial_noise`."""
        return self.sampler.initial_noise(shape, generator)

    def __call__(self, noise, *conditions, known=None, **options):
        """Draws samples of y.

        Args:
            noise (Tensor): Where the trajectory of the residual starts, ``(B, ...)``.
            *conditions (Tensor): Conditions of regression and model, first axis B.
            known (Tensor, optional): With `inpaint` of the sampler: the known values of y.
            **options: See :class:`Sampler`; a `callback` is called with samples of the residual.

        Returns:
            Tensor ``(B, ...)``, in the scheduler's `compute_dtype`.

        Raises:
            TypeError: See :class:`Sampler`.
            ValueError: See there, or if the regression returns another shape than that of the noise.
        """
        self.sampler._check_inputs(noise, conditions)
        self.sampler._check_call(noise, known=known, **options)
        with self.compiled_calls():
            expected = self.compiled(*map(with_own_memory, (noise, *conditions)))
        if known is not None:
            known = ops.cast(known, mstype.float32) - expected
        drawn = self.sampler(noise, *conditions, expected, known=known, **options)
        return ops.cast(expected + ops.cast(drawn, mstype.float32), drawn.dtype)
