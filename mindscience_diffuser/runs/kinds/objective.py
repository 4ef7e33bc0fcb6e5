"""What a kind of run hands to the training loop: the one place where training runs differ."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Optional

from mindspore import Parameter, nn

from mindscience_diffuser.runs.evaluation.level_losses import LevelBins


class Objective(NamedTuple):
    """A loss, the batches that it takes, and what is shown once the model is trained.

    The method ``objective`` of a kind of run returns one for a configuration. It checks everything and raises
    ConfigError; nothing is compiled or written before it returns.

    Attributes:
        model (nn.Cell): Its trainable parameters are trained, and their average is written.
        loss (Callable): Takes the Tensors of one batch and returns a scalar, a mean over the batch; with `level_bins` a
            pair of it and of the loss of each sample, ``(B,)``. It is compiled.
        batches: Its ``batch(step)`` returns the arrays of the batch with this number, a tuple. The result depends on
            the run's seed and `step` alone, so a run can be resumed anywhere. The first axis of every array is the
            batch: each rank takes its rows. ``len(batches)``, if there is one, is the number of training examples.
        present (Callable): Takes the configuration, whose `weights` are the written ones, and the directory; writes
            what shows the trained model, and returns a dict of figures, ready for JSON.
        average (Sequence[Parameter], optional): Where the average of the weights is kept, one for each trainable
            parameter, for a loss that reads it. Default: ``None``, Parameters of its own.
        facts (Mapping): What is noted beside the weights, ready for JSON. Default: nothing.
        level_bins (LevelBins, optional): In which the loss is followed by the noise level; then each batch has
            ``levels``, ``(B,)``. Default: ``None``: it is not.
    """

    model: nn.Cell
    loss: Callable
    batches: Any
    present: Callable
    average: Optional[Sequence[Parameter]] = None
    facts: Mapping = MappingProxyType({})
    level_bins: Optional[LevelBins] = None
