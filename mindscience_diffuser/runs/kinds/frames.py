"""Runs whose samples are sequences: noise levels for each frame, in training and in sampling."""

from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.sampling.frames import FrameSchedule, plan_of_frames


def per_frame(config, data, draw):
    """Returns a draw of levels, ``(B,)``; with `training.independent_levels` one for each frame of the samples.

    Args:
        config (SampledRun): Its training section says whether frames have levels of their own.
        data (DataSet): Gives the shape of a sample, whose first axis are its frames.
        draw (Callable): Returns levels, ``(n,)``, from the seed, the step and their number n.
    """
    if not config.training.independent_levels:
        return draw
    frames = data.sample_shape[0]
    return lambda seed, step, batch_size: draw(seed, step, batch_size * frames).reshape(batch_size, frames)


def frame_schedule(config):
    """Returns the :class:`~mindscience_diffuser.FrameSchedule` of the sampling section, None for one level for all."""
    section = config.sampling.frames
    return None if section is None else FrameSchedule(section.frames, section.kind, section.uncertainty)


def plan_by_frames(config, scheduler):
    """Returns the plan of the scheduler's timesteps, with rows for each frame where the sampling section has frames."""
    plan, frames = scheduler.plan_for(**config.sampling.step), frame_schedule(config)
    return plan if frames is None else plan_of_frames(plan, frames, scheduler.order, scheduler.clean_timestep)


def check_frames(config, data):
    """Raises ConfigError unless the samples have the frames of the sampling section."""
    section = config.sampling.frames
    if section is not None and section.frames != data.sample_shape[0]:
        raise ConfigError(
            f"'sampling.frames.frames' is {section.frames}, but the samples of {config.data.name} have the shape "
            f"{tuple(data.sample_shape)}: their first axis are the frames",
            "sampling.frames.frames",
        )
