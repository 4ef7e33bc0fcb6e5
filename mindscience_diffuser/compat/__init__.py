"""diffusers' schedulers by name, on MindSpore tensors: changing the import of a pipeline is enough.

Each class has the constructor, the call conventions and the stateful step index of diffusers over the scheduler of the
same name in :mod:`mindscience_diffuser`, which does the work: ``scheduler.native``, to be given to a `Sampler` or put
into a graph. The classes are built when they are first asked for, from one list of what diffusers offers.
`LearnedScheduler`, which diffusers does not have, has the conventions of its solvers.
"""

from mindscience_diffuser.compat.description import ays_schedules, described

CLASSES = sorted(described())
"""Names of the schedulers."""

AysSchedules = ays_schedules()
"""Timesteps and sigmas of Align Your Steps for ``set_timesteps``, as diffusers exports them."""

TOKEN_CLASSES = (
    "AmusedScheduler",
    "BlockRefinementScheduler",
    "DiscreteDDIMScheduler",
    "EntropyBoundScheduler",
    "VQDiffusionScheduler",
)
"""Names of the schedulers of tokens, which share no sample with the others."""

__all__ = [*CLASSES, "AysSchedules", "LearnedScheduler", "SchedulerMixin", *TOKEN_CLASSES, "TokenMixin"]


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from mindscience_diffuser.compat import learned, tokens
    from mindscience_diffuser.compat.build import drop_in
    from mindscience_diffuser.compat.membership import join
    from mindscience_diffuser.compat.scheduler import SchedulerMixin

    own = {name: getattr(tokens, name)} if name in TOKEN_CLASSES else {}
    own.update(TokenMixin=tokens.TokenMixin, LearnedScheduler=learned.LearnedScheduler)
    classes = {"SchedulerMixin": SchedulerMixin, **own, **({name: drop_in(name)} if name in CLASSES else {})}
    globals().update(classes)
    for kind in classes.values():
        join(kind)
    return classes[name]


def __dir__():
    return sorted({*globals(), *__all__})
