"""Checks of Tensors and schedulers that a user hands over: the errors tell apart what has the same class name."""

import math

import mindspore as ms
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.noise import WhiteNoise
from mindscience_diffuser.step import SAMPLE_DTYPES


def check_is_tensor(name, value):
    """Raises TypeError unless `value` is a Tensor of MindSpore."""
    if not isinstance(value, Tensor):
        raise TypeError(f"'{name}' must be a Tensor of MindSpore, but is {type_name(value)}.{_conversion(value)}")


def values_on_cpu(value):
    """Returns the values of a Tensor as an array, None on devices where reading one would wait for the device."""
    if ms.get_context("device_target") != "CPU":
        return None
    # NumPy has no bfloat16.
    return (value.astype(mstype.float32) if value.dtype == mstype.bfloat16 else value).asnumpy()


def check_floating(name, value):
    """Raises TypeError unless `value` is a Tensor of float32, float16 or bfloat16; in graphs too."""
    check_is_tensor(name, value)
    if value.dtype not in SAMPLE_DTYPES:
        raise TypeError(f"'{name}' must be float32, float16 or bfloat16, but is {value.dtype}; convert it with astype.")


def check_samples(name, value):
    """Raises an error unless `value` is a floating Tensor ``(B, ...)`` of rank 2 or more; in graphs too."""
    check_floating(name, value)
    if value.ndim < 2:
        raise ValueError(f"'{name}' must have a batch axis and at least one more, but has shape {value.shape}.")


def check_one_tensor(what, output):
    """Raises TypeError if what a model returns is a tuple, a list or None in place of one Tensor; in graphs too."""
    if output is None:
        raise TypeError(f"{what} must be one Tensor, but the model returns None: its construct lacks a return.")
    if isinstance(output, (tuple, list)):
        raise TypeError(
            f"{what} must be one Tensor, but the model returns {len(output)} values in a tuple or list. Return the "
            "prediction alone; a learned variance goes only to a scheduler of learned variance, without such a stage."
        )


def check_conditions(conditions, name, batch):
    """Raises unless the conditions of a model are Tensors, or tuples of such, with the batch of what `name` calls."""
    for i, condition in enumerate(conditions):
        for tensor in condition if isinstance(condition, (tuple, list)) else (condition,):
            check_is_tensor(f"conditions[{i}]", tensor)
            if tensor.ndim == 0 or tensor.shape[0] != batch:
                raise ValueError(
                    f"condition {i} has shape {tensor.shape}, but its first axis must be the batch of {name}, {batch}."
                )


def check_scheduler(scheduler, kind, such_as=""):
    """Raises TypeError unless `scheduler` is a native scheduler of the class `kind`, whose name may be explained."""
    if isinstance(scheduler, kind):
        return
    # A drop-in scheduler holds the native one that does its work.
    native = getattr(scheduler, "native", None)
    advice = ""
    if isinstance(native, kind):
        advice = " It is a drop-in scheduler with diffusers' conventions: pass its attribute '.native'."
    elif hasattr(scheduler if native is None else native, "check_tokens"):
        advice = " It draws tokens, whose trajectory is a loop over its timesteps: see docs_cn/api/tokens.md."
    what = kind.__name__ if kind.__name__ != "Scheduler" else "scheduler of continuous samples of this package"
    article = "an" if what.startswith("L") else "a"
    shown = f"{scheduler!r} of type " if isinstance(scheduler, (str, int, float)) else ""
    raise TypeError(f"'scheduler' must be {article} {what}{such_as}, but is {shown}{type_name(scheduler)}.{advice}")


def check_noise_law(noise_law, preconditioning=None):
    """Returns a law of noise, white noise for None; raises unless it is one, with the variance that is counted on.

    Args:
        noise_law (optional): An object with ``draw(shape, generator)``, or None.
        preconditioning (EDMPreconditioning, optional): Where given, its `noise_variance` must be that of the law.
            Without a law the caller draws the noise, or a run does, and nothing is compared.

    Raises:
        TypeError: If it has no `draw`.
        ValueError: If its variance is another than that of the preconditioning.
    """
    if noise_law is None:
        return WhiteNoise()
    if not callable(getattr(noise_law, "draw", None)):
        raise TypeError(
            "'noise_law' must be a law of noise such as GaussianFieldNoise, an object with draw(shape, generator), but "
            f"is {type_name(noise_law)}."
        )
    variance = getattr(noise_law, "variance", 1.0)
    if preconditioning is not None and not math.isclose(preconditioning.noise_variance, variance, rel_tol=1e-6):
        raise ValueError(
            f"'noise_law' is {type_name(noise_law)} with the variance {variance:g}, but the preconditioning counts on "
            f"{preconditioning.noise_variance:g}: give noise_variance={variance:g} to the scheduler and to the "
            "EDMPreconditioning of the training."
        )
    return noise_law


def type_name(value):
    """Returns the name of a value's class, with its module unless it is a built-in one."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _conversion(value):
    if type(value).__module__.partition(".")[0] == "torch":
        return " Convert it: mindspore.Tensor(value.detach().cpu().numpy())."
    return " Convert it: mindspore.Tensor(value)." if type(value).__module__ == "numpy" else ""
