"""What the YAML file of a training of a few-step model may hold."""

from typing import Annotated, Literal, Optional

from pydantic import Field

from mindscience_diffuser.runs.config.schema import (
    LOSS_WEIGHTS,
    Count,
    DenoiserTraining,
    FlowLevels,
    Interval,
    NonNegative,
    Positive,
    SampledRun,
    Share,
    Text,
    Training,
)


class DistillationTraining(Training):
    """How a consistency model is distilled."""

    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(0.95, description="Decay of the average of the weights")
    guidance_range: Interval = Field(
        default_factory=lambda: [1.0, 3.0], description="The teacher's guidance scales are drawn between these two"
    )
    distance: Literal["l2", "huber"] = Field("huber", description="Distance of the predictions")
    huber_c: Positive = Field(0.001, description="c of huber")


class MeanFlowTraining(FlowLevels):
    """How a flow map is trained."""

    loss_weights: Optional[Text] = LOSS_WEIGHTS
    interval_share: Share = Field(0.25, description="Share of the samples that learn a step, not the velocity alone")
    adaptive_power: NonNegative = Field(1.0, description="p of the weight 1 / (error + c)^p of a sample")
    adaptive_c: Positive = Field(0.001, description="c of that weight")
    guidance_scale: NonNegative = Field(
        1.0, description="Guidance of the flow that is learned, so that sampling needs none of its own; 1: none"
    )
    guidance_mix: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of the model's own velocity in the guided one, kappa of the paper"
    )
    guidance_interval: Optional[Interval] = Field(None, description="Levels in [0, 1] that are guided; null: all")


class ConsistencyTuningTraining(DenoiserTraining):
    """How a consistency model is tuned."""

    loss_weights: Optional[Text] = LOSS_WEIGHTS
    sigma_loc: float = Field(-1.1, description="Mean of the log of the noise levels")
    sigma_scale: Positive = Field(2.0, description="Standard deviation of the log of the noise levels")
    q: Annotated[float, Field(gt=1)] = Field(2.0, description="Factor by which steps shorten from stage to stage")
    stage_steps: Count = Field(250, description="Training steps of a stage")
    huber_c: Positive = Field(0.03, description="c of the pseudo-Huber distance of two samples")


class ConsistencyRun(SampledRun):
    """A consistency model distilled from a diffusion model."""

    run: Literal["consistency_distillation"] = Field("consistency_distillation", description="Kind of the run")
    teacher: Text = Field(description="Shipped weights by name, or the config.yaml of a training of a diffusion model")
    training: DistillationTraining = Field(default_factory=DistillationTraining)


class MeanFlowRun(SampledRun):
    """A flow map, trained by its mean velocities."""

    run: Literal["mean_flow"] = Field(description="Kind of the run")
    teacher: Optional[Text] = Field(
        None,
        description="A trained flow to begin with and to follow: shipped weights by name, or the config.yaml of a "
        "training; null: the flow of the data, from random weights",
    )
    training: MeanFlowTraining = Field(default_factory=MeanFlowTraining)


class ConsistencyTuningRun(SampledRun):
    """A consistency model tuned on data, first as a denoiser."""

    run: Literal["consistency_tuning"] = Field(description="Kind of the run")
    training: ConsistencyTuningTraining = Field(default_factory=ConsistencyTuningTraining)
