"""What the YAML file of a ``forecast`` run may hold, with types, ranges and defaults."""

from typing import Annotated, Literal, Optional, Union

from pydantic import Field

from mindscience_diffuser.runs.config.schema import Count, NonNegative, Positive, Run, Section, Text
from mindscience_diffuser.runs.config.world_model_schema import Denoising, Preconditioning, WorldModelTraining


class ForecastTraining(WorldModelTraining):
    """How the network is trained: as a denoiser, or as the deterministic model that an ensemble is measured against."""

    objective: Literal["denoiser", "mean"] = Field(
        "denoiser", description="What is learned: a denoiser of the next frame, or the mean of the next frame"
    )


class Perturbation(Section):
    """Noise that each member sees on its own past frames, for what the model does not know of its own error."""

    std: NonNegative = Field(0.0, description="Its standard deviation, in units of the frames as the model sees them")
    memory: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Its correlation from one frame to the next: errors of a model last"
    )


class ForecastPreconditioning(Preconditioning):
    """How the network becomes a denoiser, by what the training films are like where nothing is said."""

    sigma_data: Union[Positive, Annotated[list[Positive], Field(min_length=1)], None] = Field(
        None, description="Standard deviation of what is denoised, of each channel; null: that of the training films"
    )


class Forecasting(Denoising):
    """How many films, frames and members are drawn, how a frame is denoised, and against what they are measured."""

    films: Count = Field(16, description="Films to forecast")
    members: Annotated[int, Field(ge=2)] = Field(16, description="Members of the ensemble of each film")
    initial_noise: Literal["sigma_scaled", "observation"] = Field(
        "observation", description="What a frame starts from, around 0 or around the frame before it"
    )
    perturbation: Perturbation = Field(default_factory=Perturbation)
    deterministic: Optional[Text] = Field(
        None, description="Weights of a training with 'training.objective' mean: a file or shipped ones"
    )
    area_weights: bool = Field(
        False, description="Whether scores weigh a grid point by the cosine of its latitude, the coordinate of the rows"
    )
    threshold_quantile: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="Quantile of the training values whose exceedance is what reliability is about"
    )
    save_members: bool = Field(False, description="Whether all members are written, a file for each film")


class ForecastRun(Run):
    """Ensembles of films that a denoiser of the next frame draws, measured against films that no training has seen."""

    run: Literal["forecast"] = Field(description="Kind of the run")
    preconditioning: ForecastPreconditioning = Field(default_factory=ForecastPreconditioning)
    training: ForecastTraining = Field(default_factory=ForecastTraining)
    forecast: Forecasting = Field(default_factory=Forecasting)

    def _components(self):
        return [("films", "data", self.data), ("model", "model", self.model)]
