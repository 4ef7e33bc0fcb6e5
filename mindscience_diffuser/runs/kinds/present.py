"""What a freshly trained model of digits can do: a picture of samples and their figures."""

from mindscience_diffuser.runs.commands.sample import measure
from mindscience_diffuser.runs.kinds.build import build_data, build_scheduler, build_trained_model
from mindscience_diffuser.runs.kinds.cost import sampling_flops
from mindscience_diffuser.runs.kinds.draw import draw
from mindscience_diffuser.runs.pictures.curves import save_sample_grid


def present_digits(config, directory):
    """Draws the samples that the ``sample`` command would draw, writes ``samples.png`` and returns their figures."""
    data = build_data(config)
    scheduler = build_scheduler(config, config.sampling.compute_dtype)
    model, _ = build_trained_model(config, data)
    images, labels = draw(config, data, scheduler, model)
    save_sample_grid(directory / "samples.png", images, labels, data, config.sampling.picture_per_class)
    flops = sampling_flops(config, data, scheduler, model)
    return {"model_flops_per_sample": flops, **measure(config, data, images, labels)}
