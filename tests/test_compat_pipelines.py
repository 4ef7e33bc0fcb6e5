"""Saving, loading and copying of mindone's pipelines with drop-in schedulers, on a pipeline of one small network."""

import copy
import json
import pickle

import numpy as np
import pytest
from compat_examples import example
from mindspore import nn

from mindscience_diffuser import DDIMPipeline, compat


@pytest.fixture(scope="module")
def mindone():
    return pytest.importorskip("mindone.diffusers")


@pytest.fixture
def pipeline(mindone):
    unet = mindone.UNet2DModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
    )
    return mindone.DDIMPipeline(unet, compat.DDIMScheduler(clip_sample=False, steps_offset=1))


def same(scheduler, of):
    """Whether a scheduler has the class and the configuration of another one."""
    mine, other = ({k: v for k, v in dict(s.config).items() if not k.startswith("_")} for s in (scheduler, of))
    return type(scheduler) is type(of) and mine == other


def test_a_saved_pipeline_can_be_loaded_with_and_without_this_package(mindone, pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text(encoding="utf-8"))
    assert index["scheduler"] == ["diffusers", "DDIMScheduler"]
    theirs = mindone.DiffusionPipeline.from_pretrained(tmp_path).scheduler
    assert type(theirs).__module__.startswith("mindone.") and theirs.config.steps_offset == 1
    again = compat.DDIMScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    assert same(again, pipeline.scheduler)
    for given in (again, compat.DPMSolverMultistepScheduler()):
        kind = mindone.DDIMPipeline if given is again else mindone.DDPMPipeline
        assert same(kind.from_pretrained(tmp_path, scheduler=given).scheduler, given)


def test_copies_and_other_pipelines_keep_the_scheduler(mindone, pipeline):
    assert same(copy.deepcopy(pipeline).scheduler, pipeline.scheduler)
    assert same(pickle.loads(pickle.dumps(pipeline.scheduler)), pipeline.scheduler)
    assert mindone.DDPMPipeline.from_pipe(pipeline).scheduler is pipeline.scheduler
    other = compat.EulerDiscreteScheduler()
    assert mindone.DDPMPipeline.from_pipe(pipeline, scheduler=other).scheduler is other
    theirs = mindone.EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    assert type(theirs).__module__.startswith("mindone.")
    assert compat.DDIMScheduler.from_config(theirs.config).config.steps_offset == 1


def test_every_drop_in_scheduler_goes_through_files_and_copies(tmp_path):
    for name in compat.CLASSES:
        scheduler = getattr(compat, name)(**example(name))
        scheduler.save_pretrained(tmp_path / name)
        copies = [copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))]
        copies.append(compat.SchedulerMixin.from_pretrained(tmp_path / name))
        assert all(same(made, scheduler) for made in copies), name


class Small(nn.Cell):
    """A model without weights."""

    in_channels = 6

    def construct(self, x, t):
        return 0.1 * x


def test_the_pipelines_of_this_package_take_the_native_scheduler_of_a_copy():
    images, model, scheduler = [], Small(), compat.DDIMScheduler(clip_sample=False)
    for made in (scheduler, pickle.loads(pickle.dumps(copy.deepcopy(scheduler)))):
        pipeline = DDIMPipeline(model, made.native, batch_size=2, seq_len=4, num_inference_steps=5)
        images.append(pipeline(seed=0, progress=False).asnumpy())
    assert np.array_equal(*images)
