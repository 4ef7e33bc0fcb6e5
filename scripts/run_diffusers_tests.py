"""Runs the scheduler tests of a diffusers checkout against :mod:`mindscience_diffuser.compat`.

    python scripts/run_diffusers_tests.py CHECKOUT [pytest arguments]

CHECKOUT is a folder of diffusers' repository (its tests/ folder is enough); diffusers itself, PyTorch and torchsde must
be installed. Without a path among the arguments all of tests/schedulers runs. Every scheduler class of diffusers that
this package offers too is replaced by a bridge, which converts tensors at the boundary and does nothing else; the tests
run unchanged. Ends with the failures, grouped by cause.
"""

import collections
import inspect
import sys
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from mindspore import Tensor

from mindscience_diffuser import compat, set_noise_function
from mindscience_diffuser.compat.scheduler import StepOutput

NAMES = [*compat.CLASSES, *compat.TOKEN_CLASSES]


def to_mindspore(value):
    """Returns torch tensors, alone or in containers, as MindSpore's, and generators as sources of noise."""
    if isinstance(value, torch.Tensor):
        return Tensor(value.detach().cpu().contiguous().numpy())
    if isinstance(value, torch.Generator):
        return TorchNoise(value)
    if isinstance(value, (list, tuple)):
        return type(value)(to_mindspore(item) for item in value)
    return value


def to_torch(value):
    """Returns MindSpore tensors, alone or in containers, as torch's."""
    if isinstance(value, Tensor):
        return torch.from_numpy(np.array(value.asnumpy()))
    if isinstance(value, StepOutput):
        return type(value)((name, to_torch(item)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(to_torch(item) for item in value)
    return value


class TorchNoise:
    """Noise from a torch generator, so that the tests' expected sums can be met."""

    def __init__(self, generator):
        self.generator = generator

    def standard_normal(self, shape):
        """Returns standard normal noise, float32."""
        return torch.randn(tuple(shape), generator=self.generator).numpy()


class Bridge:
    """A scheduler of :mod:`mindscience_diffuser.compat` for torch tensors."""

    ours = None

    def __init__(self, *args, **kwargs):
        self.__dict__["scheduler"] = self.ours(*to_mindspore(args), **{k: to_mindspore(v) for k, v in kwargs.items()})

    def __getattr__(self, name):
        if name == "compatibles":
            return [getattr(diffusers, c.__name__) for c in self.scheduler.compatibles]
        value = getattr(self.scheduler, name)
        return bridged(value) if inspect.ismethod(value) else to_torch(value)

    def __setattr__(self, name, value):
        setattr(self.scheduler, name, to_mindspore(value))

    def __len__(self):
        return len(self.scheduler)

    @classmethod
    def _wrapped(cls, scheduler):
        new = cls.__new__(cls)
        new.__dict__["scheduler"] = scheduler
        return new

    @classmethod
    def from_config(cls, *args, **kwargs):
        """Bridges the scheduler that `from_config` returns."""
        return cls._bridge_result(cls.ours.from_config(*args, **kwargs))

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """Bridges the scheduler that `from_pretrained` returns."""
        return cls._bridge_result(cls.ours.from_pretrained(*args, **kwargs))

    @classmethod
    def _bridge_result(cls, result):
        return (cls._wrapped(result[0]), *result[1:]) if isinstance(result, tuple) else cls._wrapped(result)


def bridged(method):
    """Returns a method that takes and returns torch tensors; equal for the same method, as bound methods are."""
    key = (id(method.__self__), method.__name__)
    if key not in BRIDGED:
        BRIDGED[key] = (converting(method), method)
    return BRIDGED[key][0]


def converting(function):
    """Returns a function that takes and returns torch tensors."""

    def call(*args, **kwargs):
        return to_torch(function(*to_mindspore(args), **{k: to_mindspore(v) for k, v in kwargs.items()}))

    call.__signature__ = inspect.signature(function)
    return call


BRIDGED = {}


def replace_classes():
    """Puts bridges in the place of diffusers' classes, wherever they are found; returns their names."""
    replaced = {}
    for name in NAMES:
        ours = getattr(compat, name)
        members = {
            "ours": ours,
            "_compatibles": ours._compatibles,
            "_deprecated_kwargs": ours._deprecated_kwargs,
            "order": getattr(ours, "order", 1),
        }
        members["has_compatibles"] = True
        static = [n for n in dir(ours) if isinstance(inspect.getattr_static(ours, n), staticmethod)]
        members.update({n: staticmethod(converting(getattr(ours, n))) for n in static if not n.startswith("__")})
        bridge = type(name, (Bridge,), members)
        bridge.__init__ = _with_signature(ours)
        replaced[name] = bridge
    for module in [m for key, m in list(sys.modules.items()) if key.split(".")[0] == "diffusers"]:
        for name, bridge in replaced.items():
            if inspect.isclass(vars(module).get(name)):
                setattr(module, name, bridge)
        for name, value in list(vars(module).items()):
            # What their steps return has a class for each scheduler there, and one for all here.
            if inspect.isclass(value) and value.__name__.removesuffix("Output") in NAMES:
                setattr(module, name, StepOutput)
    for name, bridge in replaced.items():
        setattr(diffusers, name, bridge)
    return replaced


def _with_signature(ours):
    def constructor(self, *args, **kwargs):
        Bridge.__init__(self, *args, **kwargs)

    constructor.__signature__ = inspect.signature(ours.__init__)
    return constructor


class Causes:
    """Collects the causes of failures for a summary."""

    def __init__(self):
        self.failures = collections.defaultdict(list)

    def pytest_runtest_logreport(self, report):
        """Notes the last line of each failure."""
        if report.failed:
            cause = report.longrepr.reprcrash.message.splitlines()[0] if report.longrepr else "?"
            self.failures[cause[:150]].append(report.nodeid.split("::", 1)[1])

    def pytest_terminal_summary(self, terminalreporter):
        """Prints the failures by cause."""
        terminalreporter.section("failures by cause")
        for cause, tests in sorted(self.failures.items(), key=lambda item: -len(item[1])):
            terminalreporter.write_line(f"{len(tests)} x {cause}")
            for test in tests:
                terminalreporter.write_line(f"      {test}")


def main():
    """Runs the tests and returns pytest's exit code."""
    checkout = Path(sys.argv[1]).resolve()
    for name in NAMES:
        getattr(diffusers, name, None)  # Loads the module that holds it.
    replaced = replace_classes()
    drawn = set_noise_function()
    set_noise_function(lambda shape, source: torch.randn(shape).numpy() if source is None else drawn(shape, source))
    print(f"{len(replaced)} schedulers of diffusers {diffusers.__version__} are replaced.")
    sys.path.insert(0, str(checkout))
    arguments = sys.argv[2:]
    if not any(Path(argument.split("::")[0]).exists() for argument in arguments):
        arguments.append(str(checkout / "tests" / "schedulers"))
    return pytest.main(
        ["--rootdir", str(checkout), "-q", "--tb=short", "-p", "no:cacheprovider", *arguments], plugins=[Causes()]
    )


if __name__ == "__main__":
    sys.exit(main())
