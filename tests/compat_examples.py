"""Arguments for the classes of diffusers that cannot be built, or have few steps, without any."""

ONE_STAGE = {"stages": 1, "stage_range": [0, 1]}

EXAMPLES = {
    "HeliosDMDScheduler": ONE_STAGE,
    "HeliosScheduler": ONE_STAGE,
    "RFD4ProteinaScheduler": {
        "schedule_mode": "log",
        "noise_mode": "1/t",
        "tsr_k": 2.0,
        "tsr_sigma": 0.5,
        "tail_steps": 0,
    },
}


def example(name):
    """Returns the arguments of a class by name; most need none."""
    return EXAMPLES.get(name, {})


TWO_STEPS = ("ConsistencyDecoderScheduler", "SCMScheduler")


def steps_of(name, count):
    """Returns the number of steps of a class where others take `count`."""
    return 2 if name in TWO_STEPS else count
