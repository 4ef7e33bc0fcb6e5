"""What a training of a few-step model begins with: the weights of a model that was trained before."""

from mindspore import Tensor

from mindscience_diffuser.runs.config.origins import located
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.models import Prediction, build_trained_model, trained_config
from mindscience_diffuser.step import replace_value


def trained_before(config, data, key, kind):
    """Returns the configuration of the model that the key names; ConfigError if it is of another kind or other data."""
    name = getattr(config, key)
    described = trained_config(name, key)
    if described.run != kind:
        raise ConfigError(f"'{key}' must be a model of the kind '{kind}', but '{name}' is '{described.run}'", key)
    with located(described):
        shape = build_data(described).sample_shape
    if shape != data.sample_shape:
        raise ConfigError(
            f"'data' must be that of the {key} '{name}', which was trained with {described.data.model_dump()}", "data"
        )
    return described


def start_from(student, teacher, key="teacher"):
    """Gives the student the teacher's weights; what the teacher does not have stays as it is, zero."""
    parameters = {parameter.name: parameter for parameter in student.get_parameters()}
    for weight in teacher.get_parameters():
        own = parameters.get(weight.name)
        if own is None or own.shape != weight.shape:
            raise ConfigError(
                f"'model' must have the weights of the {key}, which has '{weight.name}' {weight.shape}", "model"
            )
        replace_value(own, Tensor(weight.asnumpy()))


def begin_with(config, data, model, kind):
    """Gives a model the weights of the one at ``start``, which must be of this kind; none where that is null."""
    if config.start is None:
        return
    described = trained_before(config, data, "start", kind)
    with located(described):
        trained = build_trained_model(described, data)[0]
    start_from(model.model if isinstance(model, Prediction) else model, trained, "start")
