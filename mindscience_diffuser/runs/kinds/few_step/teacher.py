"""The teacher of a few-step model: a model that was trained before, whose weights the student begins with."""

from mindspore import Tensor

from mindscience_diffuser.runs.config.origins import located
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.data.model_file import weights_file
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.models import build_trained_model, trained_config
from mindscience_diffuser.step import replace_value


def teacher_config(config, data, kind):
    """Returns the configuration of the teacher; ConfigError if it is of another kind of run, or has other data."""
    described = trained_config(config.teacher, "teacher")
    if described.run != kind:
        raise ConfigError(
            f"'teacher' must be a model of the kind '{kind}', but '{config.teacher}' is '{described.run}'", "teacher"
        )
    with located(described):
        shape = build_data(described).sample_shape
    if shape != data.sample_shape:
        raise ConfigError(
            f"'data' must be that of the teacher '{config.teacher}', which was trained with "
            f"{described.data.model_dump()}",
            "data",
        )
    return described


def teacher_file(config):
    """Returns the weights of the teacher of a configuration, or None without them."""
    described = trained_config(config.teacher, "teacher")
    with located(described):
        return weights_file(described, "teacher")


def trained_teacher(described, data):
    """Returns the teacher of this configuration with its weights."""
    with located(described):
        return build_trained_model(described, data)[0]


def start_from(student, teacher):
    """Gives the student the teacher's weights; what the teacher does not have stays as it is, zero."""
    parameters = {parameter.name: parameter for parameter in student.get_parameters()}
    for weight in teacher.get_parameters():
        own = parameters.get(weight.name)
        if own is None or own.shape != weight.shape:
            raise ConfigError(
                f"'model' must have the weights of the teacher, which has '{weight.name}' {weight.shape}", "model"
            )
        replace_value(own, Tensor(weight.asnumpy()))
