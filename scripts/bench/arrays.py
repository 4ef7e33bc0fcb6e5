"""Samples read from a file with `Arrays` beside the same samples in memory: throughput and memory of a training.

Writes 10,000 samples in a 1 GiB npy file and trains a small network on them, each side in processes of its own, in
turns. Prints the medians.

python scripts/bench/arrays.py [--folder FOLDER] [--steps 60] [--turns 3]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SAMPLES, SIDE, BATCH = 10_000, 164, 32
HELD_OUT = [0, 1]
WARM_UP = 5


class InMemory:
    """The rows of an array in memory, which begins where the held-out sample of the file ends."""

    def __init__(self, path):
        self.values = np.load(path, allow_pickle=False)

    def __len__(self):
        return len(self.values) - HELD_OUT[1]

    def __getitem__(self, k):
        return self.values[k + HELD_OUT[1]].copy()


def train(side, path, steps):
    """Trains on one side and prints, as JSON, the samples a second that it reads and trains on, and the most memory."""
    import mindspore as ms
    from mindspore import Tensor, nn, ops

    from mindscience_diffuser import EDMPreconditioning, EDMTrainer
    from mindscience_diffuser.data import Arrays
    from mindscience_diffuser.noise import log_normal_sigmas

    class Network(nn.Cell):
        """A network so small that reading matters: two products over the channels of each point."""

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Dense(SIDE, 32), nn.Dense(32, SIDE)

        def construct(self, x, noise_level):
            """Returns the prediction."""
            return self.second(ops.silu(self.first(x)) + noise_level.reshape((-1, 1, 1, 1)))

    data = Arrays(path, held_out=HELD_OUT) if side == "file" else InMemory(path)
    generator = np.random.default_rng(0)
    order = generator.permutation(len(data))

    def batch(step):
        return np.stack([data[k] for k in order.take(range(step * BATCH, (step + 1) * BATCH), mode="wrap")])

    model, preconditioning = Network(), EDMPreconditioning(1.0)
    trainer = EDMTrainer(model, preconditioning)
    optimizer = nn.Adam(model.trainable_params(), 1e-3)
    loss_and_gradients = ms.value_and_grad(trainer.get_loss, None, model.trainable_params())

    @ms.jit
    def training_step(*inputs):
        loss, gradients = loss_and_gradients(*inputs)
        optimizer(gradients)
        return loss

    # All samples are read once, as a run does to normalise them; the file is in the cache of the system afterwards.
    begin = time.perf_counter()
    for k in range(len(data)):
        data[k]
    reading = len(data) / (time.perf_counter() - begin)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            begin = time.perf_counter()
        clean = batch(step)
        sigmas = log_normal_sigmas(generator, BATCH)
        noise = preconditioning.training_noise(sigmas, clean.shape, generator)
        training_step(Tensor(clean), Tensor(noise), Tensor(sigmas.astype(np.float32))).asnumpy()
    training = steps * BATCH / (time.perf_counter() - begin)
    # Kilobytes on Linux.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"reading": reading, "training": training, "most": most}))


def written(folder):
    """Returns the path of the file, which is written where it is missing."""
    path = Path(folder) / "samples.npy"
    if not path.exists():
        values = np.lib.format.open_memmap(path, "w+", np.float32, (SAMPLES, 1, SIDE, SIDE))
        generator = np.random.default_rng(0)
        for begin in range(0, SAMPLES, 1000):
            values[begin : begin + 1000] = generator.standard_normal((1000, 1, SIDE, SIDE), np.float32)
        values.flush()
    return path


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="Where the file is written and kept")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--side", choices=("file", "memory"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        train(arguments.side, Path(arguments.folder) / "samples.npy", arguments.steps)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or temporary
        path = written(folder)
        command = [sys.executable, __file__, "--folder", folder, "--steps", str(arguments.steps), "--side"]
        figures = {"memory": [], "file": []}
        for _ in range(arguments.turns):
            for side, found in figures.items():
                run = subprocess.run([*command, side], check=True, capture_output=True, text=True)
                found.append(json.loads(run.stdout.splitlines()[-1]))
        print(f"{SAMPLES} samples, {path.stat().st_size / 2**30:.2f} GiB")
    print("| | read, samples/s | trained, samples/s | most memory, GiB |\n| --- | --- | --- | --- |")
    for side, found in figures.items():
        median = {name: np.median([run[name] for run in found]) for name in found[0]}
        print(f"| {side} | {median['reading']:.0f} | {median['training']:.0f} | {median['most']:.2f} |")


if __name__ == "__main__":
    main()
