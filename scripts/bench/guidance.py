"""What a guidance interval saves: trajectories of the shipped digits model, guided over half of the steps and over all.

    python scripts/bench/guidance.py [--turns 5] [--samples 100]

50 steps of DDIM with the guidance of 100 samples; the medians of calls that take turns, and their ratio to guidance
everywhere. A step outside the interval calls the model for one batch in place of two.
"""

import argparse
import statistics
import time

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from tqdm import trange

from mindscience_diffuser import ClassifierFreeGuidance, Sampler
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model
from mindscience_diffuser.runs.storage.weights import shipped_file

STEPS = 50
INTERVALS = {"everywhere": None, "half of the steps": (250, 750), "nowhere": (1e6, 2e6)}


def main():
    """Prints a line for each method of the Sampler."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="calls of each trajectory that are measured")
    parser.add_argument("--samples", type=int, default=100, help="samples of a trajectory")
    options = parser.parse_args()
    config = load_config(shipped_file("digits_ddim", ".yaml"))
    data, scheduler = build_data(config), build_scheduler(config)
    model, _ = build_trained_model(config, data)
    model.set_train(False)
    scheduler.set_timesteps(STEPS)
    noise = ops.standard_normal((options.samples, *data.sample_shape))
    labels = Tensor(data.conditions(np.arange(options.samples))[0])
    for method in ("loop", "unrolled", "step"):
        samplers = {}
        for name, interval in INTERVALS.items():
            guided = ClassifierFreeGuidance(model, 2.0, ops.zeros((data.classes,), ms.float32), interval=interval)
            samplers[name] = Sampler(guided, scheduler, method)
            samplers[name](noise, labels).asnumpy()
        seconds = {name: [] for name in samplers}
        for _ in trange(options.turns, desc=method):
            for name, sampler in samplers.items():
                start = time.perf_counter()
                sampler(noise, labels).asnumpy()
                seconds[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        ratios = ", ".join(f"{name} {value / medians['everywhere']:.2f}" for name, value in medians.items())
        print(f"{method}: {ratios} (1.00 is {1000 * medians['everywhere']:.0f} ms)")


if __name__ == "__main__":
    main()
