"""Kills trainings and sampling runs with SIGKILL at random moments, starts them again and compares their results.

    python scripts/kill_runs.py --runs 40

Each run is killed once, at a moment drawn between its first written file and its end, and is then started again until
it succeeds. Its results must be those of a run that nothing interrupted, byte for byte, and no temporary file may be
left. Training writes a checkpoint after every step and sampling a file for every ten samples, so that many of the kills
come while something is written. Prints one line for each kind of run; the exit code is 1 if any result differs.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
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
# What a run writes while it goes on, and what it leaves.
WRITES = {"train": "train/checkpoints/*.safetensors", "sample": "sample/shards/*.npz"}
RESULTS = {"train": ["train/weights.safetensors"], "sample": ["sample/manifest.json", "sample/shards/*"]}


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
            expected, seconds = whole[kind]
            equal = inside = 0
            for run in tqdm(range(options.runs), desc=kind, unit="run"):
                output = folder / f"{kind}-{run}"
                cut = kill_once(kind, output, folder, seconds * moments.random())
                inside += cut
                finish(kind, output, folder)
                equal += results(kind, output) == expected
                shutil.rmtree(output)
            failed = failed or equal < options.runs
            print(f"{kind}: {equal} of {options.runs} as if uninterrupted; {inside} were killed before their end")
    return int(failed)


def uninterrupted(kind, folder):
    """Returns the results of a run of its own, and the seconds from its first file to its end."""
    output = folder / f"{kind}-whole"
    process = start(kind, output, folder)
    wait_for_file(kind, output, process)
    began = time.monotonic()
    if process.wait():
        raise SystemExit(f"{kind} fails without being killed: see {folder}")
    return results(kind, output), time.monotonic() - began


def kill_once(kind, output, folder, seconds):
    """Kills a run so many seconds after its first file; returns whether it still ran."""
    process = start(kind, output, folder)
    wait_for_file(kind, output, process)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def finish(kind, output, folder):
    """Starts a run again."""
    process = start(kind, output, folder)
    if process.wait():
        raise SystemExit(f"{kind} does not go on after it was killed:\n{(folder / 'log').read_text(encoding='utf-8')}")


def start(kind, output, folder):
    """Starts a command of the package in a process of its own."""
    trained = folder / "train-whole" / "train" / "weights.safetensors"
    given = [f"weights={trained}"] if kind == "sample" else []
    command = [sys.executable, "-m", "mindscience_diffuser", kind, "--config", ROOT / "configs" / "digits_ddim.yaml"]
    with open(folder / "log", "w", encoding="utf-8") as log:
        return subprocess.Popen([*command, *COMMON, *KINDS[kind], *given, f"output={output}"], stdout=log, stderr=log)


def wait_for_file(kind, output, process):
    """Returns once the run has written its first file, or has ended."""
    while process.poll() is None and not any(output.glob(WRITES[kind])):
        time.sleep(0.002)


def results(kind, output):
    """Returns the contents of what a run leaves by path, and the names of all files, temporary ones among them."""
    paths = [path for pattern in RESULTS[kind] for path in output.glob(pattern)]
    names = {str(path.relative_to(output)) for path in output.rglob("*")}
    return {str(path.relative_to(output)): path.read_bytes() for path in paths}, names


if __name__ == "__main__":
    sys.exit(main())
