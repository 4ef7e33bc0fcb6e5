"""How likely the shipped model of the digits finds held-out digits, and other images of their size.

    python scripts/bench/likelihood.py

The scheduler has 25 steps. To each image noise of the lowest level is added, of which the likelihood is the density;
the model is told the class of the digit. Prints a table: the mean over the images in nats, and the share of them that
are less likely than the digit with their number.
"""

import argparse
from pathlib import Path

import numpy as np
from mindspore import Tensor

import mindscience_diffuser as md
from mindscience_diffuser.noise import NoiseSource, draw_noise
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model

ROOT = Path(__file__).parents[2]


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--steps", type=int, default=25)
    arguments = parser.parse_args()
    config = load_config(ROOT / "configs" / "digits_ddim.yaml", ["weights=digits_ddim", "scheduler.clip_sample=false"])
    data, scheduler = build_data(config), build_scheduler(config)
    model, _ = build_trained_model(config, data)
    scheduler.set_timesteps(arguments.steps)
    alpha, sigma = (level[:-1] for level in scheduler.levels)
    lowest = (sigma / alpha)[sigma > 0].min()
    digits, classes = data.batch(range(arguments.images), data.test)
    noise = draw_noise(digits.shape, NoiseSource(1, len(digits)))
    images = {
        "held-out digits": (digits, classes),
        "the digits, told another class": (digits, np.roll(classes, 1, axis=1)),
        "inverted digits": (-digits, classes),
        "noise with their mean and deviation": (digits.mean() + digits.std() * noise, classes),
        "standard normal noise": (noise, classes),
    }
    found, errors = {}, {}
    for name, (values, told) in images.items():
        noisy = values + np.float32(lowest) * draw_noise(values.shape, NoiseSource(2, len(values)))
        result = md.log_likelihood(model, scheduler, Tensor(noisy.astype(np.float32)), Tensor(told), generator=0)
        found[name], errors[name] = result
    first = next(iter(found.values()))
    for name, values in found.items():
        share = f"{np.mean(values < first):7.0%} less likely" if values is not first else ""
        print(f"{name:38}{values.mean():8.0f} nats, standard error {errors[name].mean():.1f} {share}")


if __name__ == "__main__":
    main()
