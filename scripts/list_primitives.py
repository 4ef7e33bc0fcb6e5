"""Print the primitives of exported graphs, with the platforms that MindSpore documents for each, as a Markdown table.

    python scripts/list_primitives.py [FILE.mindir ...]

Without files: of a few samplers and single steps, in float32 and float16, which are exported to a temporary folder.
Ends with 1 if anything in them speaks against Ascend.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import mindspore as ms
from mindspore import Tensor, ops

from mindscience_diffuser import (
    ClassifierFreeGuidance,
    ConditionDiffusionTransformer,
    DDIMScheduler,
    DDPMScheduler,
    Sampler,
)
from mindscience_diffuser.export import export_mindir
from mindscience_diffuser.readiness import CONTROL, ascend_problems, documented_platforms, primitives

# Scheduler, its arguments, method and options of the sampler; None is a single step of the scheduler.
GRAPHS = {
    "ddim_loop": (DDIMScheduler, {}, "loop", {}),
    "ddim_inpaint_loop": (DDIMScheduler, {}, "loop", {"eta": 0.5, "inpaint": True}),
    "ddim_threshold_unrolled": (DDIMScheduler, {"thresholding": True, "sample_max_value": 2.0}, "unrolled", {}),
    "ddpm_loop": (DDPMScheduler, {}, "loop", {}),
    "ddpm_noise_in_graph_loop": (DDPMScheduler, {}, "loop", {"noise_in_graph": True}),
    "ddpm_learned_step": (DDPMScheduler, {"variance_type": "learned_range"}, None, {}),
}
DTYPES = ("float32", "float16")


def export_graph(name, dtype, path):
    """Exports one of GRAPHS with a small transformer and all kinds of guidance, or a single step."""
    kind, arguments, method, options = GRAPHS[name]
    scheduler = kind(compute_dtype=dtype, **arguments)
    scheduler.set_timesteps(2)
    sample = ops.zeros((2, 16, 4), dtype)
    if method is None:
        return export_mindir(scheduler, path, sample, sample, Tensor([3, 5], ms.int32), sample, sample)
    model = ConditionDiffusionTransformer(4, 4, 10, 16, 1, 2, compute_dtype=dtype)
    guided = ClassifierFreeGuidance(model, 2.0, ops.zeros((1, 10)), guidance_rescale=0.5, interval=(10, 900))
    sampler = Sampler(guided, scheduler, method, **options)
    fresh = [ops.zeros((2, *sample.shape), dtype)] if sampler.stochastic else []
    if sampler.draws:
        fresh = [ops.zeros((2,), ms.int32), ops.zeros((2,), ms.int32)]
    known = [sample] * 3 if sampler.inpaint else []
    return export_mindir(sampler, path, sample, *fresh, *known, ops.zeros((2, 10)))


def list_primitives(files):
    """Prints the table and returns the problems found."""
    found, problems = Counter(), []
    for file in files:
        problems += [f"{file.stem}: {problem}" for problem in ascend_problems(file)]
        for name in primitives(file):
            found[name] += 1
    print("| primitive | documented for | graphs |\n| --- | --- | --- |")
    for name in sorted(found):
        platforms = "control flow" if name in CONTROL else documented_platforms(name) or "nothing"
        print(f"| {name} | {platforms} | {found[name]} of {len(files)} |")
    for problem in problems:
        print(f"\n{problem}")
    return problems


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.mindir")
    files = parser.parse_args(arguments).files
    if files:
        return min(len(list_primitives(files)), 1)
    with tempfile.TemporaryDirectory() as folder:
        for name in GRAPHS:
            for dtype in DTYPES:
                files.append(export_graph(name, getattr(ms, dtype), Path(folder) / f"{name}_{dtype}.mindir"))
        return min(len(list_primitives(files)), 1)


if __name__ == "__main__":
    sys.exit(main())
