"""Arguments and exact results that the tests of DDIM and DDPM share."""

import functools

import numpy as np
import reference
from mindspore import Tensor
from mindspore import dtype as mstype

TRAIN = 100
SHAPES = {2: (2, 12), 3: (2, 4, 3), 4: (2, 3, 2, 2), 5: (2, 3, 1, 2, 2)}
CONFIG = {
    "num_train_timesteps": TRAIN,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
    "clip_sample": True,
    "clip_sample_range": 1.0,
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "use_clipped_model_output": False,
    "eta": 0.0,
    "variance_type": "fixed_small_log",
}
THRESHOLD = {"thresholding": True, "sample_max_value": 2.0, "dynamic_thresholding_ratio": 0.8}
TIMESTEPS = {
    "number": (60, (60, 60)),
    "numpy": (np.int64(60), (60, 60)),
    "0-D": (Tensor(60, mstype.int32), (60, 60)),
    "one-element": (Tensor([60], mstype.int32), (60, 60)),
    "(B,)": (Tensor([60, 0], mstype.int32), (60, 0)),
    "(B,)-int64": (Tensor([0, 90], mstype.int64), (0, 90)),
    "(B,1)": (Tensor([[60], [20]], mstype.int32), (60, 20)),
    "list": ([60, 20], (60, 20)),
}


@functools.cache
def arrays(shape, count=4, seed=0):
    """Model output, sample, fresh noise, variance output."""
    return tuple(np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32))


def tensors(shape):
    return tuple(Tensor(array) for array in arrays(shape))


def make(kind, steps=10, **arguments):
    scheduler = kind(TRAIN, **arguments)
    scheduler.set_timesteps(steps)
    return scheduler


def exact_steps(step, shape, timesteps, steps, options):
    """The float64 steps from `timesteps`, one for each sample; at timestep 0 without noise."""
    values = [array.astype(np.float64) for array in arrays(shape)]
    config = {**CONFIG, **options}
    alpha_bar = reference.make_alphas_cumprod(config)
    rows = []
    for k, t in enumerate(timesteps):
        previous = t - TRAIN // steps
        after = alpha_bar[previous] if previous >= 0 else 1.0
        output, sample, noise, variance = (value[k : k + 1] for value in values)
        rows.append(step(output, sample, alpha_bar[t], after, noise if t > 0 else None, config, variance))
    return np.concatenate(rows)


def exact_ddim(shape, timesteps, steps=10, **options):
    def step(output, sample, before, after, noise, config, _):
        return reference.ddim_step(output, sample, before, after, 0.0 if noise is None else noise, config)

    return exact_steps(step, shape, timesteps, steps, options)


def exact_ddpm(shape, timesteps, steps=10, **options):
    def step(*arguments):
        return reference.ddpm_step(*arguments[:-1], np.tanh(arguments[-1]))

    return exact_steps(step, shape, timesteps, steps, options)


def near(value, expected, tolerance=3e-6):
    value = value.asnumpy()
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * np.abs(expected).max())
