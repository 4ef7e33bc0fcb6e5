"""What tests/test_ranks.py runs, alone and on two ranks: a training and a sampling, their results in a folder."""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindscience_diffuser import DDIMScheduler, PatchedModel, Sampler
from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.commands import train
from mindscience_diffuser.runs.distributed import ranks

CONFIG = Path(__file__).parents[1] / "configs" / "digits_ddim.yaml"
FORECAST = CONFIG.with_name("stirred_flow_forecast.yaml")


def keep_losses(config, objective, training_step, progress, directory):
    """Takes the place of pictures and figures."""
    np.savez(directory / "trained.npz", losses=progress.losses, **training_step.average.state())


class Patch(nn.Cell):
    """A model whose output at a point depends on the whole patch and on its place."""

    def construct(self, x, timestep, position):
        """Returns the prediction."""
        return ops.tanh(x) * ops.mean(x, (1, 2, 3), True) + 0.1 * position[:, :1] * position[:, 1:]


def draw_in_patches():
    """Returns samples of a domain whose patches the ranks share, if there are more than one."""
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(3)
    model = PatchedModel(Patch(), (16, 16), 5, 4, over_ranks=ranks.launched())
    noise = np.random.default_rng(0).standard_normal((2, 1, 40, 37))
    return Sampler(model, scheduler)(Tensor(noise, ms.float32)).asnumpy()


def run(output):
    """Trains for 50 steps, samples 60 digits in shards of 16, forecasts three films, exchanges an array of odd size and
    shares out patches.
    """
    train.write_results = keep_losses
    small = ["model.hidden_channels=16", "model.layers=1", "model.heads=2"]
    training = ["training.steps=50", "training.batch_size=16", "training.warmup_steps=5", "training.clip_norm=1.0"]
    assert main(["train", "--config", str(CONFIG), f"output={output}", *small, *training]) == 0
    sampling = ["weights=digits_ddim", "sampling.per_class=6", "sampling.num_inference_steps=2"]
    sizes = ["sampling.shard_size=16", "sampling.batch_size=8", "metrics.reference_draws=1"]
    assert main(["sample", "--config", str(CONFIG), f"output={output}", *sampling, *sizes]) == 0
    few = ["data.train_films=1", "data.train_frames=8", "forecast.films=3", "forecast.frames=3", "forecast.members=2"]
    assert main(["sample", "--config", str(FORECAST), f"output={output}/forecast", *few]) == 0
    gathered = ranks.gather(np.arange(3, dtype=np.uint8) + ranks.rank())
    np.save(output / f"gathered-{ranks.rank()}.npy", np.stack(gathered))
    np.save(output / f"patched-{ranks.rank()}.npy", draw_in_patches())


if __name__ == "__main__":
    run(Path(sys.argv[1]))
