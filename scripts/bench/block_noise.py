"""Block noise in closed form against one draw from a multivariate normal distribution for each 2x2 block.

    python scripts/bench/block_noise.py [--shape 1 16 16 96 160] [--blocks 5000] [--repeats 9]

The loop over blocks is that of Pyramid-Flow's own inference (torch.distributions); it is timed over `--blocks` blocks
and extrapolated to all. Both take turns, medians over the rounds; needs torch.
"""

import argparse
import math
import statistics
import time

import torch

from mindscience_diffuser import NoiseSource, block_noise

GAMMA = 1 / 4
"""At 1/3 the covariance is singular, and the distribution object refuses it."""


def block_by_block(blocks):
    """Draws so many blocks as the reference does."""
    covariance = (1 + GAMMA) * torch.eye(4) - GAMMA * torch.ones(4, 4)
    distribution = torch.distributions.multivariate_normal.MultivariateNormal(torch.zeros(4), covariance)
    return torch.stack([distribution.sample() for _ in range(blocks)])


def seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs="+", default=[1, 16, 16, 96, 160])
    parser.add_argument("--blocks", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    source = NoiseSource(0, options.shape[0])
    count = math.prod(options.shape) // 4
    ours, loop = [], []
    block_by_block(100), block_noise(options.shape, GAMMA, source)
    for _ in range(options.repeats):
        ours.append(seconds(lambda: block_noise(options.shape, GAMMA, source)))
        loop.append(seconds(lambda: block_by_block(options.blocks)) / options.blocks * count)
    closed, extrapolated = statistics.median(ours), statistics.median(loop)
    print(f"shape {tuple(options.shape)}, {count} blocks")
    print(f"closed form        {closed * 1e3:10.1f} ms")
    print(f"one draw a block   {extrapolated * 1e3:10.1f} ms, extrapolated from {options.blocks} blocks")
    print(f"ratio              {extrapolated / closed:10.0f}")


if __name__ == "__main__":
    main()
