"""What the YAML file of a run may hold, with types, ranges and defaults."""

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from mindscience_diffuser.runs.config.origins import Origins

# What MindSpore and scikit-learn take as a seed.
LARGEST_SEED = 2**32 - 1
# More than can be trained or kept on disk, and few enough for what is planned for each.
MOST = 10_000_000

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Interval = Annotated[list[NonNegative], Field(min_length=2, max_length=2)]
Counts = Annotated[list[Count], Field(min_length=1)]
# A text that can name a file.
Text = Annotated[str, Field(min_length=1, pattern="^[^\\x00]*$")]


class Section(BaseModel):
    """A mapping in which every key is known and no value is converted from another type."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Component(BaseModel):
    """A registered class by its name, and keyword arguments for its constructor, which checks them."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: str

    _place: str = PrivateAttr("")

    @property
    def arguments(self):
        """The keyword arguments that the file gives."""
        return dict(self.model_extra or {})

    @property
    def place(self):
        """The dotted key under which the configuration has it."""
        return self._place

    def place_at(self, key):
        """Tells the dotted key."""
        self._place = key

    def with_defaults(self, arguments):
        """Returns a copy with further arguments; those that it has itself stay."""
        component = Component(**{**arguments, **self.arguments}, name=self.name)
        component._place = self._place
        return component


class Run(Section):
    """What every run has."""

    run: str = Field(description="Kind of the run")
    seed: Seed = Field(0, description="Of the first weights, the batches, and the noise")
    output: Text = Field(description="Folder of the results")
    weights: Optional[Text] = Field(
        None, description="Weights to use: a file, or the name of shipped ones; null means those that this run trained"
    )
    data: Component
    model: Component

    _origins: Origins = PrivateAttr(Origins({}, "the configuration"))

    @property
    def origins(self):
        """Where each of its keys stands."""
        return self._origins

    def components(self):
        """Returns a pair for each component: what it is, such as ``model``, and the component, which knows its key."""
        placed = []
        for what, place, component in self._components():
            component.place_at(place)
            placed.append((what, component))
        return placed

    def _components(self):
        """Returns a triple for each component: what it is, its dotted key, and the component."""
        return [("data", "data", self.data), ("model", "model", self.model)]

    def take_origins(self, origins):
        """Takes over where each key stands."""
        self._origins = origins


class Training(Section):
    """How any model is trained."""

    steps: Annotated[int, Field(ge=1, le=MOST)] = Field(2000, description="Training steps")
    batch_size: Count = Field(128, description="Samples in a batch, of all ranks together")
    accumulate: Count = Field(1, description="Pieces in which a rank takes its part of the batch, to save memory")
    learning_rate: Positive = Field(1e-3, description="Its peak")
    warmup_steps: Optional[Annotated[int, Field(ge=0)]] = Field(
        None,
        description="Steps in which the learning rate rises, at most training.steps; null means a tenth of the steps, "
        "at most 100",
    )
    weight_decay: NonNegative = Field(0.01, description="That of AdamW")
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="Decay of the average of the weights")
    clip_norm: Optional[Positive] = Field(None, description="Largest norm of all gradients together")
    amp_level: Literal["O0", "auto"] = Field("O0", description="Mixed precision, as MindSpore names it")
    loss_scale: Union[Positive, Literal["dynamic"], None] = Field(
        None, description="Factor of the loss in half precision; dynamic skips a step that overflows"
    )
    initial_weights: Optional[str] = Field(
        None,
        description="Weights that the training begins with, a file or the name of shipped ones; null means random ones",
    )
    weights_dtype: Literal["float32", "float16"] = Field("float32", description="That of the written weights")
    checkpoint_every: Count = Field(500, description="Steps between checkpoints")
    checkpoints_kept: Count = Field(2, description="Number of checkpoints to keep")

    @property
    def warmup(self):
        """The steps of the warm-up, also where they are left to the number of steps."""
        return min(self.steps // 10, 100) if self.warmup_steps is None else self.warmup_steps


LOSS_WEIGHTS = Field(
    None,
    description="Weights of the loss: an npy file of a shape that broadcasts to a sample, or latitude, which weighs "
    "grid points by the cosine of their latitude; null: all alike",
)


class RegressionTraining(Training):
    """How a regression is trained: by its mean squared error."""

    loss_weights: Optional[Text] = LOSS_WEIGHTS


class DenoiserTraining(Training):
    """How a model that removes noise is trained from data."""

    condition_dropout: Share = Field(
        0.1, description="Share of the samples whose conditions are left out, for guidance"
    )


class LevelledTraining(DenoiserTraining):
    """How a model is trained that may see each frame of a sample at a noise level of its own."""

    independent_levels: bool = Field(
        False, description="Whether each frame, along the first axis of a sample, has a level of its own"
    )


class WeighedTraining(DenoiserTraining):
    """How a model is trained whose error can be weighed."""

    loss_type: Literal["l1", "l2"] = Field("l2", description="Absolute or squared error")


class DiffusionTraining(WeighedTraining, LevelledTraining):
    """How a diffusion model is trained."""

    loss_weights: Optional[Text] = LOSS_WEIGHTS
    p2_loss_weight_gamma: NonNegative = Field(0.0, description="Exponent of the P2 weighting")
    p2_loss_weight_k: NonNegative = Field(1.0, description="k of the P2 weighting")
    min_snr_gamma: Optional[Positive] = Field(None, description="Gamma of the min-SNR weighting; null: not used")


class FlowLevels(DenoiserTraining):
    """Levels at which a flow is trained."""

    density: Literal["uniform", "logit_normal", "mode", "cosmap"] = Field(
        "logit_normal", description="Density of the noise levels"
    )
    logit_mean: float = Field(0.0, description="Mean of logit_normal")
    logit_std: Positive = Field(1.0, description="Standard deviation of logit_normal")
    mode_scale: float = Field(1.29, description="Scale of mode, in [-1, 2 / (pi - 2)]")
    shift: Positive = Field(1.0, description="How far the noise levels are moved to the noise")


class FlowMatchingTraining(WeighedTraining, LevelledTraining, FlowLevels):
    """How a rectified flow is trained."""

    loss_weights: Optional[Text] = LOSS_WEIGHTS
    weighting: Literal["none", "sigma_sqrt", "cosmap"] = Field("none", description="Weights of the loss")
    base_length: Optional[Count] = Field(None, description="Tokens for which shift is meant; others are shifted more")


class EDMTraining(LevelledTraining):
    """How the network inside an EDM denoiser is trained; the scheduler has its scalings."""

    loss_weights: Optional[Text] = LOSS_WEIGHTS
    sigma_density: Literal["log_normal", "log_uniform"] = Field("log_normal", description="Density of the noise levels")
    sigma_loc: float = Field(-1.2, description="Mean of the log of log_normal levels")
    sigma_scale: Positive = Field(1.2, description="Standard deviation of the log of log_normal levels")
    sigma_min: Optional[Positive] = Field(None, description="Lowest noise level; null: that of the scheduler")
    sigma_max: Optional[Positive] = Field(None, description="Highest noise level; null: that of the scheduler")


class PyramidFlowTraining(WeighedTraining):
    """How a flow over growing resolutions is trained."""

    sample_ratios: Optional[Counts] = Field(None, description="Parts of a batch that each stage gets; null: one each")


class Frames(Section):
    """When which frame of a sample, along its first axis, is denoised: the arguments of a FrameSchedule."""

    frames: Count = Field(description="Number of frames")
    kind: Literal["full_sequence", "autoregressive", "pyramid", "trapezoid"] = Field(
        "full_sequence", description="Order in which frames are denoised"
    )
    uncertainty: NonNegative = Field(1.0, description="Steps by which a frame lags behind, of pyramid and trapezoid")


class Patches(Section):
    """Patches of samples: the model is trained on random ones, and called with overlapping ones to draw the whole."""

    size: Annotated[list[Count], Field(min_length=1, max_length=3)] = Field(
        description="Points of a patch along each axis of the grid"
    )
    overlap: Annotated[int, Field(ge=0)] = Field(
        description="Points that neighbouring patches share at least when samples are drawn, below those of a patch"
    )
    chunk: Count = Field(16, description="Patches of each sample that the model is given at a time")
    positions: bool = Field(
        True, description="Whether the model is given the position of each point in the domain as its last condition"
    )
    over_ranks: bool = Field(
        False, description="Whether the ranks of a launch share the patches of each sample, and not the samples"
    )
    differentiable: bool = Field(
        False, description="Whether gradients go through the patches, for guidance that needs those of the model"
    )


class Sampling(Section):
    """How samples are drawn from a trained model."""

    samples: Optional[Annotated[int, Field(ge=1, le=MOST)]] = Field(
        None, description="Samples to draw; null: per_class of each class, of all where the data have no classes"
    )
    per_class: Annotated[int, Field(ge=1, le=MOST)] = Field(50, description="Samples of each class")
    num_inference_steps: Count = Field(50, description="Steps of the scheduler")
    guidance_scale: NonNegative = Field(1.0, description="Strength of the guidance; 1 means none")
    guidance_rescale: Share = Field(0.0, description="Rescaling of the guidance")
    guidance_interval: Optional[Interval] = Field(
        None, description="Timesteps between which the guidance acts, the lower one first; null: always"
    )
    step: dict[str, Any] = Field(default_factory=dict, description="Options of the scheduler's step, such as eta")
    frames: Optional[Frames] = Field(None, description="Levels for each frame; null: one level for the whole sample")
    batch_size: Count = Field(250, description="Samples that are drawn at a time; changes no sample")
    shard_size: Count = Field(1000, description="With more samples than this, so many go into one file")
    compute_dtype: Literal["float32", "float16"] = Field("float32", description="That of model and steps")
    noise_in_graph: bool = Field(
        False, description="Whether the graph draws the noise of the steps from the seed and the sample numbers"
    )
    picture_per_class: Count = Field(10, description="Samples of each class in the picture")
    exported: Optional[Text] = Field(None, description="MINDIR file to sample from in place of the model")


class PyramidFlowSampling(Sampling):
    """How samples are drawn over growing resolutions."""

    num_inference_steps: Union[Count, Counts] = Field(10, description="Steps of every stage, or of each")
    frames: None = Field(None, description="Not over growing resolutions")
    noise_in_graph: Literal[False] = Field(False, description="Not over growing resolutions")


class Exporting(Section):
    """How the file of a whole trajectory is written."""

    overwrite: bool = Field(False, description="Whether export may replace a file")


class Sweeping(Section):
    """Numbers of steps to compare, and the trained models to sample beside this one."""

    num_inference_steps: Counts = Field(default_factory=lambda: [1, 2, 4, 8], description="Numbers of steps of sweep")
    beside: list[Text] = Field(
        default_factory=list, description="Models beside this one: shipped weights, or the config.yaml of a training"
    )


class Comparing(Section):
    """Schedulers and numbers of steps to compare on one model."""

    schedulers: list[Component] = Field(
        default_factory=list,
        description="Schedulers of compare, each with name and arguments; arguments that it leaves out are those of "
        "scheduler, but one spacing of the sigmas takes the place of another",
    )
    num_inference_steps: Counts = Field(
        default_factory=lambda: [4, 8, 16, 32], description="Numbers of steps of compare"
    )


class Optimizing(Section):
    """A plan of few model calls that is fitted to the samples of many."""

    num_inference_steps: Annotated[int, Field(ge=2)] = Field(5, description="Steps of the plan")
    teacher_steps: Annotated[int, Field(ge=3)] = Field(200, description="Steps of the scheduler that it is fitted to")
    solvers: list[Component] = Field(
        default_factory=list,
        description="Solvers of one model call a step, of which the best is what the fit begins with; empty: "
        "DPM-Solver++ and UniPC",
    )
    search: Optional[Literal["dmn", "dynamic"]] = Field(
        None, description="Search of the noise levels that the fit begins with; null: those of the solver"
    )
    learn: Optional[Literal["times", "all"]] = Field(
        "all", description="What gradients fit: the noise levels, or all of the table; null: nothing"
    )
    samples: Count = Field(256, description="Samples that the plan is fitted to")
    held_out: Count = Field(64, description="Samples that tell when the fit is best")
    batch_size: Count = Field(64, description="Samples of a step of the fit")
    iterations: Count = Field(300, description="Steps of the fit")
    learning_rate: Positive = Field(0.03, description="First step of Adam")
    history: Annotated[int, Field(ge=0)] = Field(3, description="Earlier predictions that a step may use")


class TrainedRun(Run):
    """What every run has whose data are samples and their conditions."""

    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="Share of the data that is held out, where they take no split"
    )
    normalise: bool = Field(
        False, description="Whether each channel of samples and conditions is brought to mean 0 and deviation 1"
    )


class RegressionRun(TrainedRun):
    """A regression of the samples on their conditions, such as an edm run takes."""

    run: Literal["regression"] = Field(description="Kind of the run")
    training: RegressionTraining = Field(default_factory=RegressionTraining)


class SampledRun(TrainedRun):
    """What every run has that samples with a scheduler."""

    scheduler: Component
    noise: Optional[Component] = Field(None, description="Law of the noise; null: white noise")
    guidance: Optional[Component] = Field(
        None, description="Stage between model and steps; null: the guidance that sampling asks for"
    )
    training: Training = Field(default_factory=Training)
    sampling: Sampling = Field(default_factory=Sampling)
    export: Exporting = Field(default_factory=Exporting)
    sweep: Sweeping = Field(default_factory=Sweeping)
    compare: Comparing = Field(default_factory=Comparing)
    optimize: Optimizing = Field(default_factory=Optimizing)
    metrics: Union[dict[str, Any], list[Component]] = Field(
        default_factory=dict,
        description="Figures of merit, each with name and arguments, or arguments of those that the data have",
    )

    def _components(self):
        found = [*super()._components(), ("scheduler", "scheduler", self.scheduler)]
        found += [
            (what, what, getattr(self, what)) for what in ("noise", "guidance") if getattr(self, what) is not None
        ]
        found += [("scheduler", f"compare.schedulers[{i}]", c) for i, c in enumerate(self.compare.schedulers)]
        found += [("scheduler", f"optimize.solvers[{i}]", c) for i, c in enumerate(self.optimize.solvers)]
        if isinstance(self.metrics, list):
            found += [("metrics", f"metrics[{i}]", component) for i, component in enumerate(self.metrics)]
        return found


class PatchedRun(SampledRun):
    """What every run has whose samples may be larger than what the model is given."""

    patches: Optional[Patches] = Field(None, description="Patches of the samples; null: whole samples")


class DiffusionRun(PatchedRun):
    """A diffusion model trained with one noise schedule."""

    run: Literal["diffusion"] = Field("diffusion", description="Kind of the run")
    training: DiffusionTraining = Field(default_factory=DiffusionTraining)


class FlowMatchingRun(PatchedRun):
    """A rectified flow."""

    run: Literal["flow_matching"] = Field("flow_matching", description="Kind of the run")
    training: FlowMatchingTraining = Field(default_factory=FlowMatchingTraining)


class FrozenRegression(Section):
    """A regression that was trained before."""

    weights: Optional[Text] = Field(
        None,
        description="The output of a regression run, or its weights: what it leaves is learned, and what is drawn is "
        "added to it; null: the samples themselves are learned",
    )


class EDMRun(PatchedRun):
    """A network inside an EDM denoiser."""

    run: Literal["edm"] = Field(description="Kind of the run")
    regression: FrozenRegression = Field(default_factory=FrozenRegression)
    training: EDMTraining = Field(default_factory=EDMTraining)


class PyramidFlowRun(SampledRun):
    """A flow over growing resolutions."""

    run: Literal["pyramid_flow"] = Field("pyramid_flow", description="Kind of the run")
    training: PyramidFlowTraining = Field(default_factory=PyramidFlowTraining)
    sampling: PyramidFlowSampling = Field(default_factory=PyramidFlowSampling)
