"""Where mindone or diffusers is loaded, a drop-in class counts as its class of the same name.

Pipelines branch on ``isinstance(scheduler, DDIMScheduler)``. The class of the peer becomes the last base of the drop-in
one, whichever of the two was imported first; the drop-in class inherits nothing from it. Nothing is imported here.
"""

import importlib.abc
import sys

from mindscience_diffuser.compat.config import FrozenConfig

SCHEDULERS = ("mindone.diffusers.schedulers.", "diffusers.schedulers.")
"""Where the modules of the peers' schedulers are."""

CONVERTING = {
    f"{package}.pipelines.{module}": names
    for package in ("mindone.diffusers", "diffusers")
    for module, names in {
        "ddim.pipeline_ddim": ("DDIMScheduler",),
        "stable_diffusion_k_diffusion.pipeline_stable_diffusion_k_diffusion": ("LMSDiscreteScheduler",),
        "stable_diffusion_k_diffusion.pipeline_stable_diffusion_xl_k_diffusion": ("LMSDiscreteScheduler",),
        "ledits_pp.pipeline_leditspp_stable_diffusion": ("DPMSolverMultistepScheduler",),
        "ledits_pp.pipeline_leditspp_stable_diffusion_xl": ("DPMSolverMultistepScheduler",),
    }.items()
}
"""Modules of pipelines that make a scheduler of their own from the configuration of the one they are given."""

LEFT_ALONE = ("__annotations__", "__firstlineno__", "__static_attributes__")
"""What belongs to each class by itself."""


class Absent:
    """Stands for an attribute that only the peer's class has."""

    def __init__(self, name):
        self.name = name

    def __get__(self, instance, owner):
        raise AttributeError(f"'{owner.__name__}' object has no attribute '{self.name}'")


class CountingAsPeers(type):
    """The kind of drop-in classes: each equals the peers' classes that it counts as; pipelines compare types."""

    def __eq__(cls, other):
        return any(other is base for base in cls.__bases__ if base.__name__ == cls.__name__) or NotImplemented

    __hash__ = type.__hash__


def join(kind):
    """Lets a drop-in class count as the classes of its name in the modules of the peers that are loaded."""
    for name, module in list(sys.modules.items()):
        theirs = vars(module).get(kind.__name__) if name.startswith(SCHEDULERS) else None
        if isinstance(theirs, type) and theirs.__module__ == name and not issubclass(kind, theirs):
            _inherit_nothing(kind, theirs)
            kind.__bases__ += (theirs,)


def _inherit_nothing(kind, theirs):
    """Hides from a class what a new base would add to it."""
    own = {name for base in kind.__mro__[:-1] for name in vars(base)}
    added = {name for base in theirs.__mro__[:-1] for name in vars(base)} - own
    for name in added.difference(LEFT_ALONE):
        setattr(kind, name, vars(object).get(name) or Absent(name))


class Conversion(type):
    """The kind of a class that a module has in place of a peer's one, whose instances are those of the latter."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, cls.__bases__)


def keep_drop_in(module, drop_in):
    """Lets a module that converts schedulers to classes of its own make drop-in ones of drop-in ones."""
    for name in CONVERTING.get(module.__name__, ()):
        theirs = vars(module).get(name)
        if isinstance(theirs, type) and not isinstance(theirs, Conversion):
            setattr(module, name, _conversion(theirs, drop_in))


def _conversion(theirs, drop_in):
    def from_config(cls, config, **kwargs):
        kind = drop_in(cls.__name__) if isinstance(config, FrozenConfig) else theirs
        return kind.from_config(config, **kwargs)

    members = {"__module__": theirs.__module__, "from_config": classmethod(from_config)}
    return Conversion(theirs.__name__, (theirs,), members)


class Watcher(importlib.abc.MetaPathFinder):
    """Has modules of the peers taken note of as soon as they are loaded; other finders find them."""

    def find_spec(self, fullname, path, target=None):
        """Returns what the first of the other finders has."""
        if not fullname.startswith(SCHEDULERS) and fullname not in CONVERTING:
            return None
        finders = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in finders)), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                take_note(module)

            spec.loader.exec_module = exec_module
        return spec


def take_note(module):
    """Lets the drop-in classes that were used so far count as those of a module of a peer."""
    from mindscience_diffuser import compat

    for name in (*compat.CLASSES, *compat.TOKEN_CLASSES, "SchedulerMixin"):
        if name in vars(compat):
            join(vars(compat)[name])
    keep_drop_in(module, lambda name: getattr(compat, name))


def watch():
    """Takes note of the modules of the peers, those that are loaded and those that will be."""
    sys.meta_path.insert(0, Watcher())
    for name in CONVERTING.keys() & sys.modules.keys():
        take_note(sys.modules[name])
