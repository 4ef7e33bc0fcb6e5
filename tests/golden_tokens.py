"""The steps that scripts/make_golden_tokens.py has taken with diffusers: what they were given, and what they gave."""

import json
from pathlib import Path

import numpy as np
from mindspore import Tensor
from scipy.special import ndtri

GOLDEN = np.load(Path(__file__).parent / "golden" / "tokens.npz")
BATCH, LENGTH, CLASSES = 2, 12, 7
START, CORRECTOR = 99, 50
CASES = json.loads(str(GOLDEN["cases"]))


def cases(kind):
    """Returns number and configuration of the cases of a scheduler."""
    return [(case, config) for case, (name, config) in enumerate(CASES) if name == kind]


def drawn(case, step):
    """The logits, tokens and noise of a step: arrays by name."""
    rng = np.random.default_rng((case, step))
    return {
        "logits": (2 * rng.standard_normal((BATCH, LENGTH, CLASSES))).astype(np.float32),
        "tokens": rng.integers(CLASSES + 1, size=(BATCH, LENGTH)).astype(np.int32),
        "noise": rng.uniform(1e-6, 1 - 1e-6, (BATCH, LENGTH, CLASSES + 1)).astype(np.float32),
        "position_noise": rng.uniform(1e-6, 1 - 1e-6, (BATCH, LENGTH, 2)).astype(np.float32),
    }


def tensors(case, step):
    """The same as Tensors."""
    return {name: Tensor(value) for name, value in drawn(case, step).items()}


def result(name, case):
    """What diffusers gave: an array with an axis for the steps."""
    return GOLDEN[f"{name}_{case}"]


class Replayed:
    """A source of noise that draws what it is given, uniform noise as the normal one that stands for it."""

    def __init__(self, *uniform):
        self.uniform = list(uniform)

    def standard_normal(self, shape):
        """Returns the next noise."""
        return ndtri(self.uniform.pop(0).astype(np.float64)).reshape(shape)
