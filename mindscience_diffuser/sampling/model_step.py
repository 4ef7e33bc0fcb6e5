"""One model call and one step of a plan, in one graph."""

from mindspore import mint, nn, ops

from mindscience_diffuser.guidance.stage import Stage, level_for
from mindscience_diffuser.inputs import check_one_tensor
from mindscience_diffuser.sampling.rigid_motion import moved
from mindscience_diffuser.step import SAMPLE_DTYPES, ZERO, shaped, step_kernel

MISFIT = "The model's output does not fit: "
"""How the message of an error about the model's output begins, which is found while a graph is compiled."""


class ModelStep(nn.Cell):
    """One model call and one step of the plan, in one graph.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``.
        layout (Layout): Structure of the plan.
        compute_dtype (mindspore.dtype): Dtype of the arithmetic.
        inpaint (bool): Whether a region is replaced by known values after each step; the row then ends with alpha
            and sigma of the next level.
        motion (RigidMotion, optional): What moves samples after steps; the row then ends with whether it does, and the
            factor of the noise of the step. Default: ``None``.

    Inputs:
        - **row** (tuple of Tensors) - weights of the step, for each column a Tensor, 0-D or ``(1, S)``.
        - **timestep** (Tensor) - what the model is told, 0-D, or ``(T,)`` for samples ``(B, T, ...)``.
        - **states** (tuple of Tensors) - the sample, then the remembered tensors.
        - **inputs** (tuple of Tensors) - fresh noise for a stochastic plan; then with `motion` the motions,
          ``(B, 4, 3)``, and its mask, ``(B, N)``, if it has one; or mask, known values and their noise where `inpaint`;
          then the conditions of the model.
        - **weights** (tuple of int) - what is known of the weights of the row, see :func:`known_weights`; by default
          nothing.

    Outputs:
        Tuple of Tensors: the next states, then the predicted clean sample where the layout returns it.
    """

    def __init__(self, model, layout, compute_dtype, inpaint=False, motion=None):
        super().__init__(auto_prefix=False)
        self.model = model
        self.kernel = step_kernel(layout, compute_dtype)
        self.states = layout.inputs.index("output")
        self.stochastic = "noise" in layout.inputs
        self.learned = "variance" in layout.inputs
        self.input_scale = layout.input_scale
        self.level = layout.level
        self.staged = isinstance(model, Stage) and model.needs_level
        self.inpaint = inpaint
        self.with_motion = motion is not None
        self.masked = self.with_motion and motion.mask is not None
        self.fixed_shape = True

    def construct(self, row, timestep, states, inputs, weights=()):
        """Returns the next states."""
        sample = states[0]
        known = 1 if self.stochastic else 0
        if self.with_motion:
            conditions = inputs[known + 2 :] if self.masked else inputs[known + 1 :]
        else:
            conditions = inputs[known + 3 :] if self.inpaint else inputs[known:]
        scaled, batched = self.told(row, timestep, sample)
        if self.staged:
            output = self.model.at_level(self.level_of(row, sample), scaled, batched, *conditions)
        else:
            output = self.model(scaled, batched, *conditions)
        if self.learned and not isinstance(output, tuple):
            raise TypeError(
                f"{MISFIT}with a learned variance it must be a tuple (prediction, variance), but it is one Tensor. "
                "Split the model's output, or use a fixed variance_type."
            )
        if not self.learned:
            check_one_tensor(f"{MISFIT}with a fixed variance it", output)
        prediction = output[0] if self.learned else output
        self.check(prediction, sample)
        if self.learned:
            self.check(output[1], sample)
        # Item by item: a tuple that a loop carries cannot be joined with another one.
        values = ()
        for i in range(self.states):
            values += (states[i],)
        values += (prediction,)
        if self.stochastic:
            values += (inputs[0],)
        if self.learned:
            values += (output[1],)
        results = self.kernel.apply(row, values, weights)
        if self.with_motion:
            return self.after_motion(row, results, inputs, weights)
        if not self.inpaint:
            return results
        mask, original, noise = inputs[known], inputs[known + 1], inputs[known + 2]
        alpha, sigma = shaped(row[-2], original), shaped(row[-1], original)
        level = original * ops.cast(alpha, original.dtype) + noise * ops.cast(sigma, noise.dtype)
        sample = level + mask * (results[0] - level)
        # A frame that stays keeps its values as they are.
        blended = (self.kernel.held(row, sample, results[0]) if self.kernel.moves >= 0 else sample,)
        for i in range(1, len(results)):
            blended += (results[i],)
        return blended

    def after_motion(self, row, results, inputs, weights):
        """Returns the results of a step, with the sample after the motion where the row has one."""
        if len(weights) > 0 and weights[-2] == ZERO:
            return results
        known = 1 if self.stochastic else 0
        noise = inputs[0] if self.stochastic else results[0]
        mask = inputs[known + 1] if self.masked else None
        sample = moved(results[0], inputs[known], mask, noise, row[-1])
        after = (ops.where(row[-2] > 0, sample, results[0]),)
        for i in range(1, len(results)):
            after += (results[i],)
        return after

    def told(self, row, timestep, sample):
        """Returns what the model is given for a sample, and its timestep for each sample of the batch."""
        batched = mint.zeros((sample.shape[0],) + (1,) * timestep.ndim, dtype=timestep.dtype) + timestep
        if self.input_scale >= 0:
            sample = sample * shaped(ops.cast(row[self.input_scale], sample.dtype), sample)
        return sample, batched

    def level_of(self, row, sample):
        """Returns the noise level of a row, see :meth:`Stage.at_level`."""
        values = ()
        for column in self.level:
            values += (row[column],)
        return level_for(values, sample)

    def check(self, prediction, sample):
        """Raises an error, while the graph is compiled, if the model's output is not like the sample."""
        if prediction.dtype not in SAMPLE_DTYPES:
            raise TypeError(f"{MISFIT}its dtype is {prediction.dtype}; it must be float32, float16 or bfloat16.")
        if self.fixed_shape and prediction.shape != sample.shape:
            raise ValueError(
                f"{MISFIT}its shape is {prediction.shape}, that of the sample {sample.shape}. The model must return "
                "its prediction in the shape of its input."
            )
