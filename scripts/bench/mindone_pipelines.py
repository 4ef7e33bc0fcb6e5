"""The same images from mindone's pipelines with its schedulers and with ours in their place, and the ratio of time.

    python scripts/bench/mindone_pipelines.py [--steps 25] [--images 10] [--pictures FOLDER]

Needs mindone 0.5.0, scikit-learn and pydantic. The pipelines are mindone's DDIMPipeline and, as one with latents,
DiTPipeline with classifier-free guidance. mindone's own models need operators that CPU lacks, so that the model is the
shipped one of digits, and the decoder of the latents an upsampling. Prints the largest difference of the images, which
must be below 1e-4, and how much time each pipeline spends in the calls of its scheduler.
"""

import argparse
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
from mindone import diffusers as mindone
from mindspore import Tensor, nn, ops
from PIL import Image

from mindscience_diffuser import compat
from mindscience_diffuser.runs.kinds.build import build_data, build_trained_model, trained_config

SIDE = 8
TOLERANCE = 1e-4
CALLS = ("set_timesteps", "scale_model_input", "step")


class Digits(nn.Cell):
    """The shipped model of digits as the network of a pipeline: images (B, 1, 8, 8), a timestep, class labels."""

    dtype = ms.float32
    config = SimpleNamespace(sample_size=SIDE, in_channels=1, out_channels=1)

    def __init__(self):
        super().__init__()
        config = trained_config("digits_ddim")
        self.data = build_data(config)
        self.model = build_trained_model(config, self.data)[0]
        self.grid, self.patch = self.data.grid, self.data.patch
        self.classes = Tensor(np.concatenate([np.eye(10), np.zeros((1, 10))]), ms.float32)

    def construct(self, images, timestep, class_labels=None):
        """Returns a tuple of the prediction."""
        count = images.shape[0]
        labels = ops.arange(0, count) % 10 if class_labels is None else ops.minimum(class_labels, 10)
        return (self.predict(images, timestep.astype(ms.float32).broadcast_to((count,)), self.classes[labels]),)

    @ms.jit
    def predict(self, images, timesteps, condition):
        """Cuts the images into patches for the model and puts its output together again."""
        (rows, columns), (height, width) = self.grid, self.patch
        tokens = images.reshape((-1, rows, height, columns, width)).transpose((0, 1, 3, 2, 4))
        tokens = self.model(tokens.reshape((-1, rows * columns, height * width)), timesteps, condition)
        patches = tokens.reshape((-1, rows, columns, height, width)).transpose((0, 1, 3, 2, 4))
        return patches.reshape((-1, 1, 8, 8))


class Decoder(nn.Cell):
    """Latents (B, 1, 8, 8) to images (B, 1, 32, 32)."""

    config = SimpleNamespace(scaling_factor=1.0)

    def decode(self, latents):
        """Returns a tuple of the images."""
        return (ops.interpolate(latents, size=(32, 32), mode="bilinear"),)


class Stopwatch:
    """Sums the time of the calls of a scheduler, to the end of what they compute."""

    def __init__(self, scheduler):
        self.seconds = 0.0
        for name in CALLS:
            setattr(scheduler, name, self._timed(getattr(scheduler, name)))

    def _timed(self, call):
        def timed(*args, **kwargs):
            wait_for(args)
            begin = time.perf_counter()
            result = call(*args, **kwargs)
            wait_for(result if isinstance(result, (tuple, list)) else (result,))
            self.seconds += time.perf_counter() - begin
            return result

        return timed


def wait_for(values):
    """Waits for Tensors; on CPU there is no other way than to read them."""
    for value in values:
        if isinstance(value, Tensor):
            value.asnumpy()


def pipelines():
    """Returns the pipelines by name: a function that builds each, its scheduler, and the arguments of a call."""
    network = Digits()
    trained = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    labels = {"class_labels": list(range(10)), "guidance_scale": 2.0}
    return {
        "DDIMPipeline": (lambda s: mindone.DDIMPipeline(network, s), "DDIMScheduler", trained, {}),
        "DDIMPipeline, eta=1": (lambda s: mindone.DDIMPipeline(network, s), "DDIMScheduler", trained, {"eta": 1.0}),
        **{
            f"DiTPipeline, {kind}": (lambda s: mindone.DiTPipeline(network, Decoder(), s), kind, trained, labels)
            for kind in ("DDIMScheduler", "DPMSolverMultistepScheduler")
        },
    }


def run(pipeline, arguments, steps, images):
    """Returns the images of a call, and the seconds in the scheduler; the call before it compiles."""
    if "class_labels" not in arguments:
        arguments = {**arguments, "batch_size": images}
    pipeline.set_progress_bar_config(disable=True)

    def call():
        generator = np.random.default_rng(0)
        return pipeline(generator=generator, num_inference_steps=steps, output_type="np", **arguments)[0]

    call()
    stopwatch = Stopwatch(pipeline.scheduler)
    return np.asarray(call()), stopwatch.seconds


def main():
    """Prints a line for each pipeline; returns 1 if images differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    print(f"{'pipeline':44}{'difference':>12}{'theirs':>12}{'ours':>12}{'ratio':>8}")
    failed = False
    for name, (build, kind, config, arguments) in pipelines().items():
        theirs = build(getattr(mindone, kind)(**config))
        expected, their_seconds = run(theirs, arguments, options.steps, options.images)
        ours = build(getattr(mindone, kind)(**config))
        ours.scheduler = getattr(compat, kind).from_config(ours.scheduler.config)
        images, our_seconds = run(ours, arguments, options.steps, options.images)
        difference = np.abs(images - expected).max()
        failed |= not difference < TOLERANCE
        times = f"{their_seconds * 1e3:10.1f}ms{our_seconds * 1e3:10.1f}ms{their_seconds / our_seconds:7.1f}x"
        print(f"{name:44}{difference:12.1e}{times}")
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            strip = np.concatenate(list(images[..., 0]), axis=1)
            Image.fromarray((strip * 255).astype(np.uint8)).save(options.pictures / f"{name.replace(', ', '_')}.png")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
