"""Runs of the kind ``regression``: a model of the mean of the samples given their conditions.

A model of any kind of run will do, called as ``model(x, t, *conditions)``: x and t are 0 here, as in the regression of
CorrDiff (Mardani et al., 2023, arXiv:2309.15214), which has the architecture of its diffusion model.
"""

import json
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype
from tqdm import tqdm

from mindscience_diffuser.cells import WholeGraph
from mindscience_diffuser.runs.config.identity import file_checksum
from mindscience_diffuser.runs.config.load import with_values
from mindscience_diffuser.runs.config.schema import Component
from mindscience_diffuser.runs.data.batches import PairBatches
from mindscience_diffuser.runs.data.dataset import build_data, training_data
from mindscience_diffuser.runs.data.loss_weights import loss_weights, loss_weights_facts
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.models import TRIED, build_model, check_batch_size, predicting
from mindscience_diffuser.runs.kinds.objective import Objective
from mindscience_diffuser.runs.storage.weights import facts_of, find_weights, load_weights
from mindscience_diffuser.training.loss_weights import checked_weights, reduced

KEY = "regression.weights"
MOST_MEASURED, MEASURED_AT_A_TIME = 200, 50
"""Samples of each part of the data of which the residual is measured, and how many at a time."""


class Expectation(nn.Cell):
    """A model as a regression f(*conditions), which returns ``(B, *shape)`` in float32.

    Args:
        model (nn.Cell): Called as ``model(x, t, *conditions)`` with zeros for x ``(B, *shape)`` and t ``(B,)``.
        shape (Sequence[int]): Shape of a sample.
    """

    def __init__(self, model, shape):
        super().__init__(auto_prefix=False)
        self.model = model
        self.nothing = Tensor(np.zeros((1, *shape)), mstype.float32)
        self.axes = (1,) * len(shape)

    def construct(self, *conditions):
        """Returns the prediction."""
        # The batch is that of a condition, by an operation, so that an exported graph takes any size.
        each = ops.cast(ops.zeros_like(conditions[0]), mstype.float32)
        if each.ndim > 1:
            each = each.sum(axis=tuple(range(1, each.ndim)))
        x = each.reshape((-1,) + self.axes) + self.nothing
        return ops.cast(self.model(x, each, *conditions), mstype.float32)


class Regression:
    """The kind of run: it is trained like the others, and draws nothing."""

    def objective(self, config):
        """Returns the Objective; raises ConfigError, see there."""
        data = training_data(config)
        if not data.condition_shapes:
            raise ConfigError("'data' gives no condition: a regression needs one to predict the samples from", "data")
        check_batch_size(config, data)
        weights = loss_weights(config, data)
        model = build_model(config, data)
        expectation = expectation_of(config, model, data)
        fixed = None if weights is None else Tensor(weights)

        def loss(samples, *conditions):
            error, each = expectation(*conditions) - samples, ops.zeros((samples.shape[0],), mstype.float32)
            return reduced(error * error, each, None if fixed is None else checked_weights(fixed, samples))[0]

        batches = PairBatches(data, config.training.batch_size, config.seed)
        return Objective(model, loss, batches, present, facts={**data.facts, **loss_weights_facts(config)})


def expectation_of(config, model, data):
    """Returns the :class:`Expectation` of a model, tried on the data."""
    samples, *conditions = data.batch(range(TRIED))
    called = predicting(config, model, np.zeros_like(samples), np.zeros(TRIED, np.float32), conditions)
    return Expectation(called, data.sample_shape)


def present(config, directory):
    """Returns what the trained regression leaves: its root mean square for all values, and for each channel.

    They are those of the samples as an ``edm`` run sees them, normalised with ``normalise``: the `sigma_data` of its
    scheduler. Those of the training samples are below the others where the regression has learned these by heart.
    """
    data = build_data(config)
    model = build_model(config, data)
    load_weights(model, config.weights)
    expectation = expectation_of(config, model.set_train(False), data)
    weights = loss_weights(config, data)
    return {
        f"residual_of_{name}_samples": residual(expectation, data, part, weights)
        for name, part in (("training", data.train), ("held_out", data.test))
    }


def residual(expectation, data, part, weights):
    """Returns the root mean square of what a regression leaves of up to `MOST_MEASURED` samples of a part.

    It is that of all values, and for samples on a grid of each channel, None for one that has no weight.
    """
    weights = np.broadcast_to(1.0 if weights is None else weights, data.sample_shape)
    count = min(len(part), MOST_MEASURED)
    size = min(count, MEASURED_AT_A_TIME)
    # Evenly spread, and whole batches, so that one graph serves them all.
    numbers = np.linspace(0, len(part) - 1, count - count % size).astype(int)
    squares = np.zeros(data.sample_shape)

    graph = WholeGraph()
    for first in tqdm(range(0, len(numbers), size), desc="measuring"):
        samples, *conditions = data.batch(numbers[first : first + size], part)
        left = samples - graph.run(expectation, *map(Tensor, conditions)).asnumpy()
        squares += np.square(left, dtype=np.float64).sum(0)
    squares *= weights / len(numbers)
    figures = {"all": float(np.sqrt(squares.sum() / weights.sum()))}
    if len(data.sample_shape) > 2:
        axes = tuple(range(1, squares.ndim))
        figures["channels"] = [
            float(np.sqrt(total / weight)) if weight else None
            for total, weight in zip(squares.sum(axes), weights.sum(axes))
        ]
    return figures


def trained_regression(config, data, compute_dtype="float32"):
    """Returns the Expectation that an ``edm`` run names, with its weights.

    Raises:
        ConfigError: If there are no such weights, they are of another kind of run, or other data or another
            normalisation than those of this run.
    """
    path = weights_of(config.regression.weights)
    facts = facts_of(path)
    kind = facts.get("decided_by", {}).get("run")
    if kind != "regression":
        raise ConfigError(
            f"'{KEY}' must be of a run of the kind 'regression', but '{path}' is of "
            + ("an unknown kind" if kind is None else f"the kind '{kind}'"),
            KEY,
        )
    if facts.get("normalisation") != json.loads(json.dumps(data.facts)).get("normalisation"):
        raise ConfigError(
            f"'{KEY}' names '{path}', whose samples and conditions had another normalisation: give both runs the same "
            "'data' and 'normalise'",
            KEY,
        )
    component = Component(**facts["model"])
    component.place_at(KEY)
    described = with_values(config, model=component)
    model = build_model(described, data, compute_dtype)
    load_weights(model, path)
    return expectation_of(described, model.set_train(False), data)


def has_regression(config):
    """Returns whether an ``edm`` run learns what a regression leaves."""
    return config.regression.weights is not None


def regression_checksum(config):
    """Returns what tells the weights of the regression from others."""
    return file_checksum(weights_of(config.regression.weights))


def weights_of(name):
    """Returns the path of the weights of a regression: a file, shipped ones, or those of the output of a run."""
    written = Path(name) / "train" / "weights.safetensors"
    if written.is_file():
        return written
    try:
        return find_weights(name, written)
    except ConfigError as error:
        raise ConfigError(f"'{KEY}' must be the output of a regression run, or its weights: {error}", KEY) from None
