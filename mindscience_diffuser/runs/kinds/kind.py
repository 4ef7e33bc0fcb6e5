"""A kind of run whose samples a scheduler draws: what it trains, how it samples, and where kinds may differ."""

from mindspore import Tensor

from mindscience_diffuser.guidance import ClassifierFreeGuidance
from mindscience_diffuser.guidance.patches import PatchedModel, patch_count
from mindscience_diffuser.noise import draw_steps
from mindscience_diffuser.runs.config.components import build, key_of
from mindscience_diffuser.runs.config.registry import lookup
from mindscience_diffuser.runs.data.batches import Cropping, TrainingBatches, white_noise
from mindscience_diffuser.runs.data.dataset import training_data
from mindscience_diffuser.runs.data.loss_weights import loss_weights, loss_weights_facts
from mindscience_diffuser.runs.errors import ConfigError, nearest
from mindscience_diffuser.runs.evaluation.measuring import Measuring
from mindscience_diffuser.runs.kinds.frames import check_frames, frame_schedule, plan_by_frames
from mindscience_diffuser.runs.kinds.models import (
    TRIED,
    Prediction,
    build_model,
    build_scheduler,
    check_batch_size,
    predicting,
    setting_up,
    training_of,
)
from mindscience_diffuser.runs.kinds.objective import Objective
from mindscience_diffuser.runs.kinds.patches import on_patches, patches_of, whole
from mindscience_diffuser.runs.kinds.present import present
from mindscience_diffuser.sampling import Sampler
from mindscience_diffuser.schedulers import LearnedScheduler
from mindscience_diffuser.schedulers.base.conversion import process_difference


def kind_of(config):
    """Returns the :class:`Kind` of a configuration."""
    return lookup("kind", config.run)()


class Kind:
    """Base of the kinds of runs. A kind says what a scheduler must be able to do, and gives loss and noise levels."""

    model_calls_guided = 2
    """Model calls of a guided step, in units of those of one that is not guided."""

    def unsuited(self, scheduler):
        """Returns why a scheduler, with its timesteps, does not suit this kind of run, or None if it does."""
        raise NotImplementedError

    def loss(self, config, data, model, scheduler):
        """Returns the loss, a function of samples, noise, levels and conditions, see :class:`Objective`."""
        raise NotImplementedError

    def level_bins(self, config, scheduler):
        """Returns the LevelBins in which the loss is followed, or None for a loss of the batch alone."""
        return

    def levels(self, config, data, scheduler):
        """Returns the function of seed, step and batch size that draws the noise levels of a batch."""
        raise NotImplementedError

    def told(self, levels):
        """Returns what the model is told at the noise levels of a batch."""
        return levels

    def model_conditions(self, config, samples, conditions):
        """Returns what the model is given beside samples and levels, for a batch of samples and their conditions."""
        return conditions

    def training_noise(self, scheduler):
        """Returns the function of levels, shape and generator that draws the noise of a batch."""
        return white_noise

    def objective(self, config):
        """Returns the :class:`~mindscience_diffuser.runs.kinds.objective.Objective`; raises ConfigError, see there."""
        data = self.training_data(config)
        scheduler = build_scheduler(config)
        self.check_sampling(config, scheduler)
        Measuring(config, data)
        training = config.training
        check_batch_size(config, data)
        weights = loss_weights(config, data)
        model = build_model(config, data)
        with setting_up(config):
            check_frames(config, data)
            draw_levels = self.levels(config, data, scheduler)
            samples, *conditions = data.batch(range(TRIED))
            conditions = self.model_conditions(config, samples, conditions)
            samples, conditions = on_patches(config, data, model, samples, conditions)
            patches = patches_of(config)
            batches = TrainingBatches(
                data,
                training.batch_size,
                draw_levels,
                training.condition_dropout,
                config.seed,
                data.unconditional(model) if training.condition_dropout else (),
                self.training_noise(scheduler),
                patches and Cropping(tuple(patches.size), patches.positions, config.noise is not None),
            )
            told = self.told(draw_levels(config.seed, 0, TRIED))
            called = predicting(config, model, samples, told, conditions)
            # A network that looks timesteps up as integers would fail after the training, at fractional ones.
            predicting(config, model, samples, told.astype(scheduler.timesteps.dtype), conditions)
            self.unconditional(config, data, model)
            loss = weighed(self.loss(config, data, called, scheduler), weights)
        bins = self.level_bins(config, scheduler)
        return Objective(
            model, loss, batches, present, facts={**data.facts, **loss_weights_facts(config)}, level_bins=bins
        )

    def training_data(self, config):
        """Returns the data that a model is trained on."""
        return training_data(config)

    def plan(self, config, scheduler):
        """Sets the scheduler's timesteps and returns the plan of a whole trajectory."""
        scheduler.set_timesteps(config.sampling.num_inference_steps)
        return plan_by_frames(config, scheduler)

    def sampler(self, config, data, scheduler, model, method):
        """Returns a Sampler of the model, guided as the configuration says."""
        guided = self.guided(config, data, scheduler, self.called(config, data, scheduler, model))
        scheduler.set_timesteps(config.sampling.num_inference_steps)
        frames = frame_schedule(config)
        options = {"frames": frames, "noise_in_graph": config.sampling.noise_in_graph, **config.sampling.step}
        return Sampler(guided.set_train(False), scheduler, method, **options)

    def called(self, config, data, scheduler, model):
        """Returns the model as the sampler calls it, tried on the held-out data."""
        samples, *conditions = data.batch(range(min(TRIED, len(data.test))), data.test)
        check_frames(config, data)
        told = self.plan(config, scheduler).timesteps[:1].repeat(len(samples), axis=0)
        conditions = self.model_conditions(config, samples, conditions)
        samples, conditions = on_patches(config, data, model, samples, conditions)
        called = predicting(config, model, samples.astype(config.sampling.compute_dtype), told, conditions)
        return whole(config, called)

    def guided(self, config, data, scheduler, model):
        """Returns the model with its guidance."""
        sampling = config.sampling
        own = model
        while isinstance(own, (PatchedModel, Prediction)):
            own = own.model
        unconditional = self.unconditional(config, data, own)
        if config.guidance is not None:
            given = {"model": model, "scheduler": scheduler, "unconditional": unconditional, "data": data.train}
            return build("guidance", config.guidance, **given)
        if not unconditional:
            return model
        return ClassifierFreeGuidance(
            model, sampling.guidance_scale, unconditional, sampling.guidance_rescale, sampling.guidance_interval
        )

    def unconditional(self, config, data, model):
        """Returns what the guidance takes for no condition, a Tensor for each; nothing where it does not guide."""
        scale = config.sampling.guidance_scale
        if config.guidance is None and scale == 1:
            return ()
        if config.guidance is None and not data.condition_shapes:
            raise ConfigError(
                f"'sampling.guidance_scale' is {scale}, but the data give no condition to guide by: set it to 1",
                "sampling.guidance_scale",
            )
        return tuple(Tensor(value) for value in data.unconditional(model))

    def further_noise(self, config, data, scheduler, plan, batch):
        """Returns what gives a trajectory its noise besides its start: shape, dtype and how a source makes it."""
        if not plan.stochastic:
            return []
        if config.sampling.noise_in_graph:
            return [
                ((2,), "int32", lambda source: source.seed_words),
                ((batch,), "int32", lambda source: source.sample_numbers),
            ]
        shape, dtype = (batch, *data.sample_shape), config.sampling.compute_dtype
        return [((len(plan), *shape), dtype, lambda source: draw_steps(plan.needs_noise, shape, source).astype(dtype))]

    def flops(self, config, data, scheduler, model):
        """Returns the operations of the model's matrix products for one sample, or None where the model has no count.

        They are counted by the model's method ``flops``, which takes the size of each axis of the grid.
        """
        if not hasattr(model, "flops"):
            return None
        calls = 1 if config.sampling.guidance_scale == 1 else self.model_calls_guided
        count, grid = 1, data.grid
        if patches_of(config) is not None:
            size = config.patches.size
            count, grid = patch_count(grid, size, config.patches.overlap), size
        return calls * len(self.plan(config, scheduler)) * count * model.flops(*grid)

    def exported_values(self, config):
        """Returns what an exported file holds besides model, guidance and plan, by dotted key, ready for JSON."""
        return {} if patches_of(config) is None else {"patches": config.patches.model_dump()}

    def check_sampling(self, config, scheduler):
        """Sets the scheduler's timesteps; raises ConfigError unless scheduler and sampling suit one another."""
        place, name = config.scheduler.place, config.scheduler.name
        self.check_guidance(config)
        reason = self.unsuited(scheduler)
        if reason is not None:
            raise ConfigError(
                f"{name} at '{place}' does not suit a run of the kind '{config.run}': {reason}", f"{place}.name"
            )
        if isinstance(scheduler, LearnedScheduler):
            trained = training_of(config)
            if trained is not None:
                check_process(config.scheduler, build_scheduler(trained), scheduler)
        _check_step_options(config, scheduler)
        if config.sampling.noise_in_graph and config.noise is not None and config.noise.name != "WhiteNoise":
            raise ConfigError(
                f"'sampling.noise_in_graph' is true, but 'noise' is {config.noise.name}: a graph draws white noise "
                "only. Set it to false",
                "sampling.noise_in_graph",
            )
        try:
            plan = self.plan(config, scheduler)
        except (TypeError, ValueError) as error:
            key = key_of(error, "sampling.step", config.sampling.step)
            if key == "sampling.step":
                key = key_of(error, "sampling", type(config.sampling).model_fields)
            raise ConfigError(f"{name} at '{place}' refuses what is set under 'sampling': {error}", key) from error
        if "variance" in plan.inputs:
            raise ConfigError(
                f"{name} at '{place}' needs a model that predicts a variance, which {config.model.name} does not: use "
                "a fixed variance_type",
                f"{place}.variance_type",
            )

    def check_guidance(self, config):
        """Raises ConfigError if the guidance that ``sampling`` asks for contradicts itself."""
        interval = config.sampling.guidance_interval
        if interval is not None and not interval[0] < interval[1]:
            raise ConfigError(
                f"'sampling.guidance_interval' must be [low, high] with low below high, but is {interval}",
                "sampling.guidance_interval",
            )


def check_process(component, base, scheduler):
    """Raises ConfigError unless a scheduler follows the noise process of another one, that of the trained model."""
    difference = process_difference(base, scheduler)
    if difference is None:
        return
    name, own, other = difference
    place = component.place
    if isinstance(scheduler, LearnedScheduler):
        raise ConfigError(
            f"{component.name} at '{place}': '{name}' is {own!r}, but the plan of '{scheduler.settings.folder}' was "
            f"learned with {other!r}: learn a plan for this model with the command optimize",
            f"{place}.folder",
        )
    raise ConfigError(
        f"{component.name} at '{place}' does not follow the noise process of the run's {type(base).__name__}: its "
        f"'{name}' is {other!r}, not {own!r}. Give it the same, or leave it out",
        place,
    )


def weighed(loss, weights):
    """Returns a loss whose elements have weights, an array or None, that are the same for all batches."""
    if weights is None:
        return loss
    fixed = Tensor(weights)

    def weighed_loss(*batch):
        return loss(*batch, weights=fixed)

    return weighed_loss


def _check_step_options(config, scheduler):
    options = scheduler.step_options
    for name in config.sampling.step:
        if name not in options:
            hint = nearest(name, options) if options else "its step has no options: remove the key"
            raise ConfigError(
                f"unknown key 'sampling.step.{name}' for {config.scheduler.name} at '{config.scheduler.place}'; {hint}",
                f"sampling.step.{name}",
            )
