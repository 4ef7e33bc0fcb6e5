"""Runs of the kind ``pyramid_flow``: a flow over growing resolutions, for samples on a grid."""

import functools

from mindscience_diffuser.noise import block_noise
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.image_pyramid import ImagePyramidSampler, shapes_of_stages
from mindscience_diffuser.runs.kinds.kind import Kind
from mindscience_diffuser.training import PyramidFlowTrainer, training_timesteps


class PyramidFlow(Kind):
    """The scheduler must have stages, one for each resolution, and the model must take any of them."""

    def unsuited(self, scheduler):
        """Returns why the scheduler has no stages, or None."""
        if hasattr(scheduler, "plan_of_stages"):
            return None
        return "it has no stages, as PyramidFlowMatchEulerDiscreteScheduler has them"

    def loss(self, config, data, model, scheduler):
        """Returns the loss of a PyramidFlowTrainer."""
        training = config.training
        trainer = PyramidFlowTrainer(model, scheduler, training.sample_ratios, training.loss_type)
        if training.batch_size % trainer.bounds[-1]:
            raise ConfigError(
                f"'training.batch_size' must be a multiple of {trainer.bounds[-1]}, the sum of "
                f"'training.sample_ratios', but is {training.batch_size}",
                "training.batch_size",
            )
        return trainer.get_loss

    def levels(self, config, data, scheduler):
        """Returns the draw of positions in a stage."""
        sides, halvings = data.sample_shape[1:], 2 ** (scheduler.num_stages - 1)
        if len(sides) != 2 or any(side % halvings for side in sides):
            raise ConfigError(
                f"'data' must give samples (C, H, W) whose height and width can be halved {scheduler.num_stages - 1} "
                f"times, but gives {data.sample_shape}",
                "data",
            )
        return functools.partial(training_timesteps, num_train_timesteps=scheduler.num_train_timesteps)

    def plan(self, config, scheduler):
        """Returns the plan of the steps of all stages."""
        return scheduler.plan_of_stages(config.sampling.num_inference_steps)

    def sampler(self, config, data, scheduler, model, method):
        """Returns a sampler over all stages."""
        guided = self.guided(config, data, scheduler, self.called(config, data, scheduler, model))
        return ImagePyramidSampler(guided.set_train(False), scheduler, config.sampling.num_inference_steps, method)

    def further_noise(self, config, data, scheduler, plan, batch):
        """Returns the block noise of each stage but the first."""
        shapes = shapes_of_stages(data.sample_shape, scheduler)[1:]
        return [
            ((batch, *shape), "float32", functools.partial(block_noise, (batch, *shape), scheduler.gamma))
            for shape in shapes
        ]

    def flops(self, config, data, scheduler, model):
        """Returns the operations of all stages for one sample, see :meth:`Kind.flops`."""
        if not hasattr(model, "flops"):
            return None
        steps = scheduler.steps_of_stages(config.sampling.num_inference_steps)
        shapes = shapes_of_stages(data.sample_shape, scheduler)
        calls = 1 if config.sampling.guidance_scale == 1 else self.model_calls_guided
        return calls * sum(count * model.flops(*shape[1:]) for count, shape in zip(steps, shapes))
