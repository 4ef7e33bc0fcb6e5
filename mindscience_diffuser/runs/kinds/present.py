"""What a freshly trained model can do: a picture of samples and their figures."""

from mindscience_diffuser.runs.config.registry import lookup
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.evaluation.measuring import Measuring
from mindscience_diffuser.runs.kinds.draw import draw
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model
from mindscience_diffuser.runs.kinds.patches import alone
from mindscience_diffuser.runs.pictures.samples import save_samples


def present(config, directory):
    """Draws the samples that the ``sample`` command would draw, writes ``samples.png`` and returns their figures."""
    config = alone(config)
    data = build_data(config)
    scheduler = build_scheduler(config, config.sampling.compute_dtype)
    kind = lookup("kind", config.run)()
    kind.check_sampling(config, scheduler)
    model, _ = build_trained_model(config, data)
    arrays = draw(config, data, kind, scheduler, model)
    save_samples(directory / "samples.png", arrays, data, config)
    flops = kind.flops(config, data, scheduler, model)
    cost = {} if flops is None else {"model_flops_per_sample": flops}
    return {**cost, **Measuring(config, data).of(arrays)}
