"""What the YAML file of a run may hold, with types, ranges and defaults."""

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Interval = Annotated[list[NonNegative], Field(min_length=2, max_length=2)]


class Section(BaseModel):
    """A mapping in which every key is known and no value is converted from another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Component(BaseModel):
    """A registered class by its name, and keyword arguments for its constructor, which checks them."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: str

    @property
    def arguments(self):
        """The keyword arguments that the file gives."""
        return dict(self.model_extra or {})


class Training(Section):
    """How any model is trained."""

    steps: Count = 2000
    batch_size: Count = Field(128, description="of all ranks together")
    accumulate: Count = Field(1, description="pieces in which a rank takes its part of the batch, to save memory")
    learning_rate: Positive = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    weight_decay: NonNegative = 0.01
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    clip_norm: Optional[Positive] = Field(None, description="largest norm of all gradients together")
    amp_level: Literal["O0", "auto"] = Field("O0", description="mixed precision, as MindSpore names it")
    loss_scale: Union[Positive, Literal["dynamic"], None] = None
    weights_dtype: Literal["float32", "float16"] = "float32"
    checkpoint_every: Count = Field(500, description="steps")
    checkpoints_kept: Count = 2


class DiffusionTraining(Training):
    """How a diffusion model is trained."""

    condition_dropout: Share = 0.1
    loss_type: Literal["l1", "l2"] = "l2"
    p2_loss_weight_gamma: NonNegative = 0.0
    p2_loss_weight_k: NonNegative = 1.0
    min_snr_gamma: Optional[Positive] = None


class FlowMatchingTraining(Training):
    """How a rectified flow is trained."""

    condition_dropout: Share = 0.1
    loss_type: Literal["l1", "l2"] = "l2"
    weighting: Literal["none", "sigma_sqrt", "cosmap"] = "none"
    density: Literal["uniform", "logit_normal", "mode", "cosmap"] = "logit_normal"
    logit_mean: float = 0.0
    logit_std: Positive = 1.0
    mode_scale: float = 1.29
    shift: Positive = 1.0
    base_length: Optional[Count] = Field(None, description="tokens for which `shift` is meant; others are shifted more")


class DistillationTraining(Training):
    """How a consistency model is distilled."""

    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.95
    guidance_range: Interval = Field(default_factory=lambda: [1.0, 3.0])
    distance: Literal["l2", "huber"] = "huber"
    huber_c: Positive = 0.001


class PyramidFlowTraining(Training):
    """How a flow over growing resolutions is trained."""

    condition_dropout: Share = 0.1
    loss_type: Literal["l1", "l2"] = "l2"
    sample_ratios: Optional[list[Count]] = Field(None, description="parts of a batch that each stage gets")


class Sampling(Section):
    """How samples are drawn from a trained model."""

    per_class: Count = 50
    num_inference_steps: Count = 50
    guidance_scale: NonNegative = 1.0
    guidance_rescale: Share = 0.0
    guidance_interval: Optional[Interval] = None
    step: dict[str, Any] = Field(default_factory=dict, description="options of the scheduler's step, such as eta")
    batch_size: Count = 250
    shard_size: Count = Field(1000, description="with more samples than this, so many go into one file")
    compute_dtype: Literal["float32", "float16"] = "float32"
    picture_per_class: Count = 10
    exported: Optional[str] = Field(None, description="MINDIR file to sample from in place of the model")


class PyramidFlowSampling(Sampling):
    """How samples are drawn over growing resolutions."""

    num_inference_steps: Union[Count, Annotated[list[Count], Field(min_length=1)]] = Field(
        10, description="steps of every stage, or of each"
    )


class Exporting(Section):
    """How the file of a whole trajectory is written."""

    overwrite: bool = False


class Sweeping(Section):
    """Numbers of steps to compare, and the trained models to sample beside this one."""

    num_inference_steps: Annotated[list[Count], Field(min_length=1)] = Field(default_factory=lambda: [1, 2, 4, 8])
    beside: list[str] = Field(default_factory=list, description="shipped weights by name, or config.yaml of a training")


class Comparing(Section):
    """Schedulers and numbers of steps to compare on one model."""

    schedulers: list[Component] = Field(default_factory=list)
    num_inference_steps: Annotated[list[Count], Field(min_length=1)] = Field(default_factory=lambda: [4, 8, 16, 32])


class Measuring(Section):
    """How samples are compared with real data."""

    neighbours: Count = 3
    reference_draws: Count = 10


class DigitsRun(Section):
    """What every run has that trains a class-conditional model of digits and samples from it with a scheduler."""

    run: str
    seed: Seed = 0
    output: str
    weights: Optional[str] = None
    data: Component
    model: Component
    scheduler: Component
    training: Training = Field(default_factory=Training)
    sampling: Sampling = Field(default_factory=Sampling)
    export: Exporting = Field(default_factory=Exporting)
    sweep: Sweeping = Field(default_factory=Sweeping)
    compare: Comparing = Field(default_factory=Comparing)
    metrics: Measuring = Field(default_factory=Measuring)


class DiffusionRun(DigitsRun):
    """A diffusion model trained with one noise schedule."""

    run: Literal["diffusion"] = "diffusion"
    training: DiffusionTraining = Field(default_factory=DiffusionTraining)


class FlowMatchingRun(DigitsRun):
    """A rectified flow."""

    run: Literal["flow_matching"] = "flow_matching"
    training: FlowMatchingTraining = Field(default_factory=FlowMatchingTraining)


class ConsistencyRun(DigitsRun):
    """A consistency model distilled from a diffusion model."""

    run: Literal["consistency_distillation"] = "consistency_distillation"
    teacher: str = Field(description="shipped weights by name, or the config.yaml of a training run")
    training: DistillationTraining = Field(default_factory=DistillationTraining)


class PyramidFlowRun(DigitsRun):
    """A flow over growing resolutions."""

    run: Literal["pyramid_flow"] = "pyramid_flow"
    training: PyramidFlowTraining = Field(default_factory=PyramidFlowTraining)
    sampling: PyramidFlowSampling = Field(default_factory=PyramidFlowSampling)
