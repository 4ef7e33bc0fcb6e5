"""The same images from mindone's pipelines with its schedulers and with ours in their place, and the ratio of time.

    python scripts/bench/mindone_pipelines.py [names of pipelines]

Needs mindone 0.5.0, imageio and ftfy. The pipelines are mindone's; their networks are small ones with random weights
that run on the host, and kernels that MindSpore lacks on CPU are stood in for. Each pipeline draws two images from one
generator. Prints for both the largest difference relative to the largest value, which must be below 1e-4 but for the
deviations that are named, and how much time the calls of the scheduler take for the second image.
"""

import inspect
import logging
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from mindspore import Tensor
from pipeline_cases import cases

sys.path.insert(0, str(Path(__file__).parents[1]))
from mindone_on_cpu import stand_in  # noqa: E402

TOLERANCE = 1e-4
CALLS = ("set_timesteps", "scale_model_input", "step", "add_noise", "scale_noise")


class Stopwatch:
    """Sums the time of the calls of a scheduler, to the end of what they compute."""

    def __init__(self, scheduler):
        self.seconds = 0.0
        for name in CALLS:
            if hasattr(scheduler, name):
                setattr(scheduler, name, self._timed(getattr(scheduler, name)))

    def _timed(self, call):
        def timed(*args, **kwargs):
            wait_for(args)
            begin = time.perf_counter()
            result = call(*args, **kwargs)
            wait_for(result if isinstance(result, (tuple, list)) else (result,))
            self.seconds += time.perf_counter() - begin
            return result

        timed.__signature__ = inspect.signature(call)
        return timed


def wait_for(values):
    """Waits for Tensors; on CPU there is no other way than to read them."""
    for value in values:
        if isinstance(value, Tensor):
            value.asnumpy()


def draw(library, case):
    """Returns two images with the scheduler of a library, and the seconds in the scheduler for the second one."""
    from mindone import diffusers

    kind = getattr(diffusers, case.pipeline)
    needed = {p.name: None for p in inspect.signature(kind.__init__).parameters.values() if p.default is p.empty}
    needed.pop("self")
    scheduler = getattr(library, case.scheduler + "Scheduler").from_config(case.config)
    pipeline = kind(**{**needed, **case.parts, "scheduler": scheduler})
    pipeline.set_progress_bar_config(disable=True)
    generator = np.random.default_rng(0)

    def image():
        result = pipeline(num_inference_steps=case.steps, generator=generator, **case.call)[0]
        return np.asarray([one.asnumpy() if isinstance(one, Tensor) else one for one in result])

    first = image()
    stopwatch = Stopwatch(pipeline.scheduler)
    return first, image(), stopwatch.seconds


def main():
    """Prints a line for each pipeline; returns 1 if images differ that should not."""
    warnings.simplefilter("ignore")
    stand_in()
    from mindone import diffusers

    from mindscience_diffuser import compat

    logging.disable(logging.WARNING)
    print(f"{'pipeline':30}{'scheduler':25}{'1st image':>10}{'2nd image':>10}{'theirs':>10}{'ours':>9}{'ratio':>7}")
    failed, ratios, kinds = [], [], set()
    for case in cases():
        if sys.argv[1:] and case.pipeline not in sys.argv[1:]:
            continue
        *expected, their_seconds = draw(diffusers, case)
        *images, our_seconds = draw(compat, case)
        scales = [np.abs(theirs).max() for theirs in expected]
        differences = [np.abs(a - b).max() / scale for a, b, scale in zip(images, expected, scales)]
        ratios.append(their_seconds / our_seconds)
        kinds.add(case.pipeline)
        if not all(difference < TOLERANCE for difference in differences) and not case.deviation:
            failed.append(case)
        print(
            f"{case.pipeline.removesuffix('Pipeline'):30}{case.scheduler:25}"
            + "".join(f"{difference:10.1e}" for difference in differences)
            + f"{their_seconds * 1e3:8.1f}ms{our_seconds * 1e3:7.1f}ms{ratios[-1]:6.1f}x  {case.deviation}"
        )
    print(f"{len(kinds)} kinds of pipelines, {len(ratios)} runs, {len(failed)} differ without a reason;", end=" ")
    print(f"the median of the ratios is {statistics.median(ratios):.1f}, the smallest {min(ratios):.1f}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
