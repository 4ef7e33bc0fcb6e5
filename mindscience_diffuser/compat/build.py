"""The drop-in classes, built from the list of what diffusers' schedulers offer."""

import warnings

from mindscience_diffuser.compat.attributes import MEMORIES, memory
from mindscience_diffuser.compat.conventions import CONVENTIONS
from mindscience_diffuser.compat.description import defaults_of, described, names_of_any, signature_of
from mindscience_diffuser.compat.in_graph import InGraph, graph_form
from mindscience_diffuser.compat.membership import Absent, CountingAsPeers, watch
from mindscience_diffuser.compat.outputs import to_tensor
from mindscience_diffuser.compat.peer import peer_class
from mindscience_diffuser.compat.scheduler import SchedulerMixin
from mindscience_diffuser.step import compiles_as

RENAMED = {"set_alpha_to_zero": "set_alpha_to_one"}
"""Present names of deprecated constructor arguments."""


def drop_in(name):
    """Returns the drop-in class of this name."""
    return drop_in_class(name, described()[name], CONVENTIONS.get(name, SchedulerMixin), peer_class(name))


def drop_in_class(name, facts, base, native_class):
    """Returns a drop-in class over a native one.

    Args:
        name (str): Name of the class.
        facts (dict): What it offers, in the form of the list of what diffusers' schedulers offer.
        base (type): Base of the class, whose methods are those that `facts` names.
        native_class (type): Class of the scheduler that does the work.
    """
    members = {
        "__doc__": f"{name} with the conventions of diffusers, see :class:`SchedulerMixin`.\n\n"
        "Where results differ from those of diffusers, docs_cn/deviations.md tells how and why.",
        "__module__": "mindscience_diffuser.compat",
        "__init__": _constructor(facts["arguments"]),
        "native_class": native_class,
        "facts": facts,
        "arguments": defaults_of(facts["arguments"]),
        **({"order": facts["order"]} if "order" in facts["attributes"] else {}),
        "_compatibles": facts["compatibles"],
        "_deprecated_kwargs": facts["deprecated"],
    }
    members.update(InGraph.graph_facts(members["native_class"], facts))
    for attribute in MEMORIES.keys() & set(facts["attributes"]):
        members[attribute] = memory(attribute)
    for method, parameters in facts["methods"].items():
        implementation = getattr(base, method, None)
        if implementation is None and hasattr(members["native_class"], method):
            implementation = _delegate(method)
        if implementation is not None:
            shared = implementation is getattr(SchedulerMixin, method, None) or (
                method in ("step", "scale_model_input") and base.steps_in_graph
            )
            in_graph = graph_form(method, parameters) if shared else InGraph.other_method_in_graph
            swallowed = facts["swallowed"].get(method, ())
            members[method] = compiles_as(in_graph)(_method(method, parameters, implementation, swallowed))
    members.update({other: value for other, value in facts["private"].items() if value is not None})
    for other in names_of_any().difference(members, *(facts[kind] for kind in ("methods", "attributes", "private"))):
        if hasattr(base, other):  # Pipelines ask by hasattr what a scheduler is capable of.
            members[other] = Later(other, getattr(base, other)) if other in facts["later"] else Absent(other)
    return CountingAsPeers(name, (base,), members)


class Later(Absent):
    """Stands for an attribute that a scheduler has as soon as it has a schedule."""

    def __init__(self, name, attribute):
        super().__init__(name)
        self.attribute = attribute

    def __get__(self, instance, owner):
        if instance is None or not instance.native.scheduled:
            return super().__get__(instance, owner)
        return self.attribute.__get__(instance, owner)


def _constructor(parameters):
    """Returns the constructor with these arguments; deprecated ones, under ``**kwargs``, stand for others."""
    signature = signature_of(parameters)

    def constructor(self, *args, **kwargs):
        given = dict(signature.bind(self, *args, **kwargs).arguments)
        given.pop("self")
        for name, value in given.pop("kwargs", {}).items():
            if name in RENAMED:
                warnings.warn(f"{name!r} is deprecated: use {RENAMED[name]!r}.", FutureWarning, stacklevel=2)
                given[RENAMED[name]] = value
        self._construct(given)

    constructor.__name__, constructor.__signature__ = "__init__", signature
    return constructor


def _method(name, parameters, implementation, swallowed):
    """Returns a method with these parameters that passes them on by name, but for those that diffusers ignores.

    `swallowed` are the positions under ``*args`` of arguments that have a name too.
    """
    signature = signature_of(parameters)
    ignored = [name.lstrip("*") for name, *_ in parameters if name.startswith("*")]
    always = {name: default[0] for name, *default in parameters if name == "return_dict"}  # Not the same everywhere.

    def method(self, *args, **kwargs):
        given = {**always, **signature.bind(self, *args, **kwargs).arguments}
        for position, argument in swallowed:
            if given.get(argument) is None:
                if len(given.get("args", ())) <= position:
                    raise ValueError(f"'{name}' needs '{argument}': give it by name.")
                given[argument] = given["args"][position]
        with self.unchanged_by_errors():
            self._follow()
            return implementation(**{name: value for name, value in given.items() if name not in ignored})

    method.__name__, method.__signature__, method.__doc__ = name, signature, implementation.__doc__
    return method


def _delegate(name):
    """Returns a method that calls the native one, with and for Tensors."""

    def delegate(self, **given):
        self._schedule_training()
        return to_tensor(getattr(self.native, name)(**given))

    return delegate


watch()
