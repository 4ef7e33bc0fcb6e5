"""What drawing a sample costs, in operations of the model: a measure that no machine changes."""

from mindscience_diffuser.models import GuidanceDiffusionTransformer
from mindscience_diffuser.runs.kinds.build import plan_of
from mindscience_diffuser.runs.kinds.pixel_pyramid import sides_of_stages


def sampling_flops(config, data, scheduler, model):
    """Returns the floating-point operations of the model's matrix products for one sample, guidance included.

    Args:
        config (DigitsRun): Its sampling section says how many steps are made, and whether they are guided.
        data (Digits): Gives the number of tokens.
        scheduler (Scheduler): Gives the model calls.
        model (nn.Cell): The model, without guidance.

    Returns:
        int.
    """
    # Guidance calls the model twice, unless it was distilled into the model.
    calls = 1 if config.sampling.guidance_scale == 1 or isinstance(model, GuidanceDiffusionTransformer) else 2
    if config.run == "pyramid_flow":
        steps = scheduler.steps_of_stages(config.sampling.num_inference_steps)
        sides = sides_of_stages(scheduler)
        return calls * sum(count * model.flops(side, side) for count, side in zip(steps, sides))
    return calls * len(plan_of(config, scheduler)) * model.flops(data.length)
