"""Simulates films of the stirred flow that the world model is trained on, and shows them.

    python scripts/simulate_flow.py [--films 4] [--frames 100] [--seed 0] [--output FOLDER]

Writes ``flow.npz`` (``frames`` of shape (films, frames, 32, 32) and ``actions`` of shape (films, frames)) and
``flow.gif``.
"""

import argparse
from pathlib import Path

import numpy as np

from mindscience_diffuser.examples.stirred_flow.data import StirredFlow
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.pictures.film import save_film


def main():
    parser = argparse.ArgumentParser(description="Simulates films of a stirred flow.")
    parser.add_argument("--films", type=int, default=4)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs_output/flow"))
    options = parser.parse_args()
    films = StirredFlow(options.films, options.frames, seed=options.seed).train
    options.output.mkdir(parents=True, exist_ok=True)
    write_atomically(
        options.output / "flow.npz",
        lambda temporary: np.savez_compressed(temporary, frames=films.frames, actions=films.actions),
    )
    save_film(options.output / "flow.gif", {f"film {k}": film for k, film in enumerate(films.frames)})
    print(f"Written to {options.output}")


if __name__ == "__main__":
    main()
