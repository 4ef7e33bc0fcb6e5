"""Kills trainings and sampling runs with SIGKILL at random moments, starts them again and compares their results.

    python scripts/kill_runs.py --runs 40

Each run is killed once, a random time after a random share of its files is written, and is then started again. Its
results must be those of a run that nothing interrupted, byte for byte, and no temporary file may be left. Training
writes a checkpoint after every step and sampling a file for every ten samples, so that many of the kills come while
something is written. Prints one line for each kind of run; the exit code is 1 if any result differs.
"""

import argparse
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
PROCESSES = multiprocessing.get_context("forkserver")
PRELOADED = ("commands.train", "commands.sample", "kinds.diffusion")
PROCESSES.set_forkserver_preload([f"mindscience_diffuser.runs.{name}" for name in PRELOADED])
COMMON = [
    "model.hidden_channels=16",
    "model.layers=1",
    "model.heads=2",
    "metrics.reference_draws=1",
    "sampling.num_inference_steps=4",
]
KINDS = {
    "train": [
        "training.steps=40",
        "training.batch_size=16",
        "training.warmup_steps=5",
        "training.checkpoint_every=1",
        "sampling.per_class=1",
    ],
    "sample": ["sampling.per_class=50", "sampling.shard_size=10", "sampling.batch_size=10"],
}
# What a run writes while it goes on, with the number of the last file, and what it leaves.
WRITES = {"train": ("train/checkpoints/*.safetensors", 40), "sample": ("sample/shards/*.npz", 49)}
RESULTS = {"train": ["train/weights.safetensors"], "sample": ["sample/manifest.json", "sample/shards/*"]}
LONGEST_DELAY = 0.2


def main():
    """Runs the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="killed runs of each kind (%(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of runs (both)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (%(default)s)")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # Sampling needs the weights, too.
        whole = {kind: uninterrupted(kind, folder) for kind in KINDS}
        for kind in options.kinds:
            equal = 0
            for number in tqdm(range(options.runs), desc=kind, unit="run"):
                output = folder / f"{kind}-{number}"
                kill_once(kind, output, folder, moments)
                end(start(kind, output, folder), kind, folder)
                equal += results(kind, output) == whole[kind]
                shutil.rmtree(output)
            failed = failed or equal < options.runs
            print(f"{kind}: {equal} of {options.runs} as if uninterrupted")
    return int(failed)


def uninterrupted(kind, folder):
    """Returns the results of a run that nothing interrupts."""
    output = folder / f"{kind}-whole"
    end(start(kind, output, folder), kind, folder)
    return results(kind, output)


def kill_once(kind, output, folder, moments):
    """Kills a run somewhere between its first step and shortly after its last."""
    process = start(kind, output, folder)
    share = moments.random()
    while process.is_alive() and written(kind, output) < share:
        time.sleep(0.002)
    process.join(moments.uniform(0, LONGEST_DELAY))
    process.kill()
    process.join()


def end(process, kind, folder):
    """Waits for the end of a run, which must be a success."""
    process.join()
    if process.exitcode:
        raise SystemExit(f"{kind} fails:\n{(folder / 'log').read_text(encoding='utf-8')}")


def start(kind, output, folder):
    """Starts a command of the package in a process of its own, forked from one that has imported all that it needs."""
    trained = folder / "train-whole" / "train" / "weights.safetensors"
    given = [f"weights={trained}"] if kind == "sample" else []
    command = [kind, "--config", str(ROOT / "configs" / "digits_ddim.yaml"), *COMMON, *KINDS[kind], *given]
    process = PROCESSES.Process(target=run, args=([*command, f"output={output}"], folder / "log"))
    process.start()
    return process


def run(command, log):
    """What the process does."""
    from mindscience_diffuser.cli import main

    with open(log, "w", encoding="utf-8") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        sys.exit(main(command))


def written(kind, output):
    """Returns the share of the files of a run that it has written so far; they are numbered."""
    pattern, last = WRITES[kind]
    return max((int(re.search(r"\d+", path.name)[0]) for path in output.glob(pattern)), default=0) / last


def results(kind, output):
    """Returns the contents of what a run leaves by path, and the names of all files, temporary ones among them."""
    paths = [path for pattern in RESULTS[kind] for path in output.glob(pattern)]
    names = {str(path.relative_to(output)) for path in output.rglob("*")}
    return {str(path.relative_to(output)): path.read_bytes() for path in paths}, names


if __name__ == "__main__":
    sys.exit(main())
