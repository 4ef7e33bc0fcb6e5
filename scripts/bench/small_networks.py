"""Small networks with random weights in the roles that mindone's pipelines have for their large ones.

They run on the host, so that pipelines need no kernel of a network. Their outputs depend on everything that they are
given: a pipeline that hands on another timestep, sample or condition gives another image.
"""

import contextlib
from types import SimpleNamespace

import mindspore as ms
import numpy as np
from mindspore import Tensor

SAMPLES = ("hidden_states", "sample", "x")
TIMES = ("timestep", "timesteps", "t", "r", "timestep_ratio")


def text(batch=1, tokens=4, width=8, seed=0):
    """Returns random embeddings of a text."""
    return Tensor(np.random.default_rng(seed).standard_normal((batch, tokens, width)).astype(np.float32))


class Output(tuple):
    """A tuple of one output that has it as an attribute too."""

    sample = property(lambda self: self[0])


class Network:
    """A random function of a sample, a timestep and conditions.

    Args:
        channels (int): Channels of the samples. Default: ``4``.
        out_channels (int): Channels of the outputs, as many by default.
        axis (int): Axis of the channels. Default: ``1``.
        returns_tensor (bool): Whether the output is returned by itself. Default: ``False``.
        attributes (dict): What pipelines read from the network itself.
        **config: What else they read from its configuration.
    """

    dtype = ms.float32

    def __init__(self, channels=4, out_channels=None, axis=1, returns_tensor=False, attributes=None, **config):
        self.axis, self.returns_tensor, out_channels = axis, returns_tensor, out_channels or channels
        weights = np.random.default_rng(channels).standard_normal((out_channels, channels))
        self.weights = (weights / np.sqrt(channels)).astype(np.float32)
        self.config = SimpleNamespace(**{"in_channels": channels, "out_channels": out_channels, **config})
        vars(self).update(attributes or {})

    def __call__(self, *args, **kwargs):
        """Returns a tuple of the output."""
        given = {**dict(zip(("sample", "timestep"), args)), **dict(enumerate(args[2:])), **kwargs}
        sample = next(given.pop(name) for name in SAMPLES if given.get(name) is not None)
        time = next(given.pop(name) for name in TIMES if given.get(name) is not None)
        x = np.moveaxis(sample.asnumpy().astype(np.float32), self.axis, -1)
        y = np.tanh(x @ self.weights.T + _of_batch(time, x, scale=0.01))
        if y.shape[-1] <= x.shape[-1]:
            y = y + 0.4 * x[..., : y.shape[-1]]
        for value in given.values():
            for tensor in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(tensor, Tensor) and tensor.dtype in (ms.float32, ms.float16):
                    y = y + 0.1 * _of_batch(tensor, x)
        output = Tensor(np.moveaxis(y, -1, self.axis).astype(np.float32))
        return output if self.returns_tensor else Output((output,))

    @contextlib.contextmanager
    def cache_context(self, name):
        """Surrounds calls whose results a pipeline may keep."""
        yield name

    def get_parameters(self):
        """Yields the weights."""
        yield Tensor(self.weights)


def _of_batch(value, x, scale=1.0):
    """Returns a number for each sample of `x` that depends on all of `value`."""
    array = np.asarray(value.asnumpy() if isinstance(value, Tensor) else value, np.float32) * scale
    if array.ndim and len(array) == len(x):
        numbers = np.sin(array.reshape(len(array), -1)).mean(axis=1)
    else:
        numbers = np.full(len(x), np.sin(array).mean())
    return numbers.reshape((-1,) + (1,) * (x.ndim - 1)).astype(np.float32)


class Autoencoder:
    """Latents to images by repetition; the sizes are those of latents in cells of 8 by 8 pixels."""

    dtype = ms.float32
    spatial_compression_ratio, temporal_compression_ratio, temperal_downsample = 8, 4, (True, True, True)

    def __init__(self, **config):
        sizes = {
            "spatial_compression_ratio": 8,
            "block_out_channels": (1,) * 4,
            "encoder_block_out_channels": (1,) * 4,
            "latent_channels": 4,
        }
        video = {"scale_factor_temporal": 4, "scale_factor_spatial": 8, "temporal_compression_ratio": 4}
        scales = {"scaling_factor": 0.18215, "shift_factor": 0.0, "latents_mean": None, "latents_std": None}
        self.config = SimpleNamespace(**{**sizes, **video, **scales, "force_upcast": False, **config})

    def decode(self, latents, *args, **kwargs):
        """Returns a tuple of images of three channels."""
        x = np.repeat(np.repeat(latents.asnumpy()[:, :3], 8, axis=-1), 8, axis=-2)
        return Output((Tensor(np.tanh(x)),))


class Encoder:
    """Tokens or images to embeddings."""

    dtype = ms.float32
    config = SimpleNamespace(hidden_size=8)

    def __call__(self, tokens, *args, **kwargs):
        """Returns a tuple of the embeddings."""
        values = np.sin(tokens.asnumpy().astype(np.float32))
        return Output((Tensor(np.resize(values, (tokens.shape[0], 4, 8))),))


class Tokenizer:
    """The same tokens for every text."""

    model_max_length = 4

    def __call__(self, *args, **kwargs):
        """Returns tokens and their mask."""
        return SimpleNamespace(input_ids=np.array([[1, 2, 3, 4]]), attention_mask=np.ones((1, 4), np.int32))


class Checker:
    """Finds everything safe."""

    def check_text_safety(self, prompt):
        """Returns that a text is safe."""
        return bool(prompt) or True

    def check_video_safety(self, video):
        """Returns the video."""
        return video
