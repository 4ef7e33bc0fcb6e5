"""One step of a training on all ranks: loss, gradients, optimizer and the average of the weights, compiled."""

import functools
from typing import NamedTuple, Optional

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, amp, nn, ops

from mindscience_diffuser.cells import WholeGraph
from mindscience_diffuser.runs.distributed.ranks import rank, rank_count
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.step import replace_value
from mindscience_diffuser.training import ExponentialMovingAverage, warmup_cosine

FIRST_LOSS_SCALE, STEPS_BETWEEN_SCALES = 2.0**16, 1000


class PieceLosses(NamedTuple):
    """The losses of one piece of a batch, Tensors that may be on their way.

    Attributes:
        mean (Tensor): The loss of the piece, a scalar.
        of_samples (Tensor, optional): That of each sample, ``(B,)``, where the loss is followed by the level.
        levels (numpy.ndarray, optional): The level of each of these samples, ``(B,)``.
    """

    mean: Tensor
    of_samples: Optional[Tensor] = None
    levels: Optional[np.ndarray] = None


class TrainingStep:
    """Loss, gradients, optimizer and average of the weights as a function of a global batch.

    Every rank takes its part of the batch, in `training.accumulate` pieces one after the other; the mean of the
    gradients over pieces and ranks is clipped and applied. With a loss that is a mean over samples the result is that
    of the whole batch at once, but for the order of the sums.

    Args:
        objective (Objective): Gives the loss and the model.
        training (Training): Section of the configuration.

    Raises:
        ConfigError: If the warm-up is longer than the training, or the batch cannot be divided among ranks and pieces.
    """

    def __init__(self, objective, training):
        self.pieces = training.accumulate
        parts = rank_count() * self.pieces
        if training.batch_size % parts:
            raise ConfigError(
                f"'training.batch_size' is {training.batch_size}, the batch of all ranks together, and cannot be "
                f"divided among {rank_count()} ranks with {self.pieces} pieces each ('training.accumulate'): make it a "
                f"multiple of {parts}",
                "training.batch_size",
            )
        if hasattr(objective.batches, "__len__") and len(objective.batches) < rank_count():
            raise ConfigError(
                f"the data set has {len(objective.batches)} training examples, fewer than the {rank_count()} ranks: "
                "start fewer ranks"
            )
        if training.warmup > training.steps:
            raise ConfigError(
                f"'training.warmup_steps' must be in [0, {training.steps}], the number of 'training.steps', but is "
                f"{training.warmup}",
                "training.warmup_steps",
            )
        rates = warmup_cosine(training.learning_rate, training.warmup, training.steps)
        amp.auto_mixed_precision(objective.model, training.amp_level, ms.float16)
        self.model = objective.model
        self.by_level = objective.level_bins is not None
        self.parameters = objective.model.trainable_params()
        self.optimizer = nn.AdamWeightDecay(self.parameters, rates, weight_decay=training.weight_decay)
        self.average = ExponentialMovingAverage(self.parameters, training.ema_decay, objective.average)
        self.scaler = _loss_scaler(training.loss_scale)
        self.sums = ()
        if self.pieces > 1:
            zeros = [Tensor(np.zeros(p.shape, np.float32)) for p in self.parameters]
            self.sums = ParameterTuple(
                [Parameter(z, name=f"sum_{i}", requires_grad=False) for i, z in enumerate(zeros)]
            )
        # Before anything is compiled: a model that takes a part of a CellList in its call gives weights other names.
        self._state = self._state_parameters()
        self._compile(objective.loss, training.clip_norm)

    def __call__(self, batch):
        """Trains on the arrays of a global batch; returns this rank's losses before the step.

        Returns:
            list of :class:`PieceLosses`, one for each piece.

        Raises:
            ConfigError: If an array of the batch cannot be divided.
        """
        if not self.sums:
            return [self._losses(self._whole, batch, 0)]
        losses = [self._losses(self._add, batch, piece) for piece in range(self.pieces)]
        self._apply()
        return losses

    def _losses(self, run, batch, piece):
        """Runs a compiled function on one of this rank's pieces; returns its PieceLosses."""
        mean, *of_samples = run(*map(Tensor, self._part(batch, piece)))
        if not self.by_level:
            return PieceLosses(mean)
        return PieceLosses(mean, *of_samples, *self._part([batch.levels], piece))

    def state(self):
        """Returns everything that a step changes, a dict of ndarrays."""
        return {name: parameter.asnumpy().copy() for name, parameter in self._state.items()}

    def load_state(self, arrays):
        """Takes over what :meth:`state` returned.

        Raises:
            ConfigError: If it is that of another model or optimizer.
        """
        parameters = self._state
        for name in sorted({*parameters, *arrays}):
            if name not in arrays or name not in parameters:
                raise ConfigError(f"it is of another model: '{name}' is only {'there' if name in arrays else 'here'}")
            if arrays[name].shape != tuple(parameters[name].shape):
                raise ConfigError(
                    f"it is of another model: '{name}' has the shape {arrays[name].shape} there, but "
                    f"{tuple(parameters[name].shape)} here"
                )
        for name, parameter in parameters.items():
            replace_value(parameter, Tensor(arrays[name]))

    def _compile(self, loss, clip_norm):
        scaler, sums, pieces = self.scaler, self.sums, self.pieces
        optimizer, average = self.optimizer, self.average
        averaged_over_ranks = nn.Identity() if rank_count() == 1 else MeanOverRanks(self.parameters)

        def scaled(value):
            return value if scaler is None else scaler.scale(value)

        def scaled_loss(*batch):
            return (scaled(loss(*batch)),)

        def scaled_losses(*batch):
            mean, of_samples = loss(*batch)
            return scaled(mean), of_samples

        # What stands beside the mean has no part in the gradients.
        losses_and_gradients = ms.value_and_grad(
            scaled_losses if self.by_level else scaled_loss, None, self.parameters, has_aux=self.by_level
        )

        def clipped(gradients):
            return gradients if clip_norm is None else ops.clip_by_global_norm(gradients, clip_norm)

        def update(gradients):
            gradients = averaged_over_ranks(gradients)
            if scaler is None:
                optimizer(clipped(gradients))
                average()
            else:
                gradients = scaler.unscale(gradients)
                finite = amp.all_finite(gradients)
                if finite:
                    optimizer(clipped(gradients))
                    average()
                scaler.adjust(finite)
            # Without a value this graph would not compile after the compilation of another graph has failed.
            return True

        def unscaled(losses):
            return losses if scaler is None else (scaler.unscale(losses[0]),) + losses[1:]

        def whole(*batch):
            losses, gradients = losses_and_gradients(*batch)
            losses = unscaled(losses)
            update(gradients)
            return losses

        def add(*batch):
            losses, gradients = losses_and_gradients(*batch)
            for total, gradient in zip(sums, gradients):
                ops.assign_add(total, gradient * (1 / pieces))
            return unscaled(losses)

        def apply():
            gradients = ()
            for total in sums:
                gradients += (total + 0,)
            update(gradients)
            for total in sums:
                ops.assign(total, ops.zeros_like(total))
            return True

        self._whole, self._add, self._apply = (
            functools.partial(WholeGraph().run, function) for function in (whole, add, apply)
        )

    def _part(self, batch, piece):
        """Returns the rows of arrays that belong to one of this rank's pieces."""
        parts = rank_count() * self.pieces
        number = rank() * self.pieces + piece
        rows = []
        for array in batch:
            size, rest = divmod(len(array), parts)
            if rest:
                raise ConfigError(
                    f"an array of {len(array)} rows in the training batch cannot be divided among {rank_count()} ranks "
                    f"with {self.pieces} pieces each"
                )
            rows.append(array[number * size : (number + 1) * size])
        return rows

    def _state_parameters(self):
        """Returns the Parameters that a step changes, under names that say what they are."""
        state = {f"model.{parameter.name}": parameter for parameter in self.model.get_parameters()}
        moments = (*self.optimizer.moments1, *self.optimizer.moments2, self.optimizer.global_step)
        state.update({f"optimizer.{parameter.name}": parameter for parameter in moments})
        state.update({f"average.{name}": kept for name, kept in zip(self.average.names, self.average.average)})
        state["average_updates"] = self.average.updates
        if self.scaler is not None and hasattr(self.scaler, "counter"):
            state.update(loss_scale=self.scaler.scale_value, loss_scale_counter=self.scaler.counter)
        return state


class MeanOverRanks(nn.Cell):
    """The mean of all ranks' gradients, by one AllReduce of all of them: each one more would wait for all ranks.

    Args:
        parameters (Sequence[Parameter]): What the gradients belong to.
    """

    def __init__(self, parameters):
        super().__init__(auto_prefix=False)
        self.shapes = [tuple(parameter.shape) for parameter in parameters]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.share = 1 / rank_count()
        self.sum_over_ranks = ops.AllReduce()

    def construct(self, gradients):
        """Returns the mean gradients, a tuple like `gradients`."""
        flat = ()
        for gradient in gradients:
            flat += (gradient.reshape(-1),)
        mean = self.sum_over_ranks(ops.concat(flat)) * self.share
        parts = ops.split(mean, self.sizes)
        results = ()
        for part, shape in zip(parts, self.shapes):
            results += (part.reshape(shape),)
        return results


def _loss_scaler(loss_scale):
    if loss_scale == "dynamic":
        return amp.DynamicLossScaler(FIRST_LOSS_SCALE, 2, STEPS_BETWEEN_SCALES)
    return None if loss_scale is None else amp.StaticLossScaler(loss_scale)
