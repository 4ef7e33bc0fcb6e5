"""Peak memory of a model that is called on patches, for domains of several sizes.

    python scripts/bench/patches.py                  # domains of 208, 400 and 784 points along both axes
    python scripts/bench/patches.py --sides 1552

A trajectory of two steps is drawn in a process of its own with a UNet, and in another one with a model that returns
what it is given: that holds the same fields, the outputs of all patches among them, and compiles the same loop. The
difference of the largest resident memories of the two is that of the model, weights and graph included.
"""

import argparse
import resource
import subprocess
import sys

PATCH, OVERLAP, CHUNK = (64, 64), 16, 4


def peak(kind, side):
    """Draws one sample in this process and returns its largest resident memory in MiB."""
    import mindspore as ms
    import numpy as np
    from mindspore import Tensor, nn

    from mindscience_diffuser import DDIMScheduler, PatchedModel, Sampler, UNet

    class Returning(nn.Cell):
        """Returns the patches."""

        def construct(self, x, timestep, position):
            """Returns x."""
            return x * 0.5

    model = UNet(1, 1, hidden_channels=32, blocks=1, field_channels=2) if kind == "unet" else Returning()
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(2)
    sampler = Sampler(PatchedModel(model.set_train(False), PATCH, OVERLAP, CHUNK), scheduler)
    noise = np.random.default_rng(0).standard_normal((1, 1, side, side))
    assert np.isfinite(sampler(Tensor(noise, ms.float32)).asnumpy()).all()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(kind, side):
    """Returns what :func:`peak` returns in a process of its own."""
    command = [sys.executable, __file__, "--kind", kind, "--sides", str(side)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="+", type=int, default=[208, 400, 784])
    parser.add_argument("--kind", choices=["unet", "returning"])
    arguments = parser.parse_args()
    if arguments.kind:
        print(peak(arguments.kind, arguments.sides[0]))
    else:
        print("| side | with the UNet, MiB | returning, MiB | the UNet, MiB |")
        print("| --- | --- | --- | --- |")
        for side in arguments.sides:
            both = [measured(kind, side) for kind in ("unet", "returning")]
            print(f"| {side} | {both[0]:.0f} | {both[1]:.0f} | {both[0] - both[1]:.0f} |", flush=True)
