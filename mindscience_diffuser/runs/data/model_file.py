"""What the file of a model says of the data that the model was trained on."""

from pathlib import Path
from typing import NamedTuple, Optional

from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.storage.weights import facts_of, find_weights, own_weights


class ModelFile(NamedTuple):
    """A file of a model, and the normalisation of the data that the model was trained on.

    Attributes:
        key (str): The key of the configuration that gives the file.
        path (str or Path): The file.
        normalisation (dict, optional): Mean, standard deviation and axes by place, as
            :attr:`~mindscience_diffuser.runs.data.dataset.DataSet.facts` has them; empty for data as they were.
            Default: ``None``: the file does not say.
    """

    key: str
    path: Path
    normalisation: Optional[dict] = None

    def check(self, normalise):
        """Raises ConfigError if `normalise` of a configuration is not what the model was trained with."""
        if self.normalisation is None or bool(self.normalisation) == normalise:
            return
        trained, other = ("normalised data", "true") if self.normalisation else ("data as they are", "false")
        raise ConfigError(
            f"'normalise' is {str(normalise).lower()}, but the model of '{self.path}', given by '{self.key}', was "
            f"trained on {trained}: set it to {other}, or name another model",
            "normalise",
        )


def weights_file(config, key="weights"):
    """Returns the weights of a run, given by `key`, or None without them."""
    try:
        path = find_weights(config.weights, own_weights(config))
    except ConfigError:
        return None
    facts = facts_of(path)
    # Weights that no run has written note nothing at all.
    return ModelFile(key, path, facts.get("normalisation", {} if "model" in facts else None))


def initial_weights_file(config):
    """Returns the weights that the training of a run begins with, or None where it begins with random ones.

    Weights that know data as they were may begin a training on normalised data.

    Raises:
        ConfigError: If there are no such weights.
    """
    key, weights = "training.initial_weights", config.training.initial_weights
    if weights is None:
        return None
    try:
        path = find_weights(weights, Path(weights))
        return ModelFile(key, path, facts_of(path).get("normalisation"))
    except ConfigError as error:
        raise ConfigError(f"'{key}': {error}", key) from None
