"""Components of a run, found by their names and built with the arguments that the file gives.

A name is a registered one, ``package.module:Class``, or ``file.py:Class`` beside the YAML file.
"""

import importlib.util
import inspect
import re
import sys
import traceback
from pathlib import Path

from mindscience_diffuser.runs.config.registry import registered
from mindscience_diffuser.runs.errors import ConfigError, nearest

WHAT = {"data": "data set", "films": "data set of films", "metrics": "figure of merit", "noise": "law of noise"}
"""What the user calls a component of these kinds."""
BASES = {"model": "mindspore.nn.Cell", "scheduler": "mindscience_diffuser.schedulers.Scheduler"}
"""What a component must be derived from."""
METHODS = {
    "data": ("__len__", "__getitem__"),
    "films": ("test",),
    "metrics": ("__call__",),
    "noise": ("draw",),
}
"""Methods that a component must have."""
_FILES = {}
"""Modules that were imported from a file, by its path."""
FORMS = "'package.module:Class' or 'file.py:Class' names a class of your own"


def located_beside(name, folder):
    """Returns the name of a component, the path of a ``file.py:Class`` made absolute as seen from `folder`."""
    file, colon, attribute = name.rpartition(":")
    return f"{(Path(folder) / file).resolve()}:{attribute}" if colon and file.endswith(".py") else name


def find_class(what, component):
    """Imports and returns the class that a component names.

    Args:
        what (str): ``data``, ``films``, ``model``, ``scheduler``, ``metrics``, ``guidance`` or ``noise``.
        component (Component): Its `name` is found, its `place` is told.

    Raises:
        ConfigError: If there is no such name, file, module or attribute, if the module fails when it is imported, or
            if the attribute is no class or not one for this place.
    """
    name, key = component.name, f"{component.place}.name"
    module, colon, attribute = name.rpartition(":")
    if not colon:
        known = registered(what)
        if name not in known:
            hint = nearest(name, known) if known else "none is registered"
            raise ConfigError(f"unknown {WHAT.get(what, what)} {name!r} at '{key}'; {hint} ({FORMS})", key)
        module, attribute = known[name].split(":")
    imported = _imported(module, name, key)
    if not hasattr(imported, attribute):
        own = [n for n, value in vars(imported).items() if inspect.isclass(value)]
        hint = nearest(attribute, own) if own else "it has no class"
        raise ConfigError(f"'{key}' is {name!r}, but '{module}' has no '{attribute}'; {hint}", key)
    found = getattr(imported, attribute)
    if what == "data" and inspect.isfunction(found):
        return found
    if not inspect.isclass(found):
        raise ConfigError(f"'{key}' must name a class, but {name!r} is {found!r} of type {type(found).__name__}", key)
    _check_kind(what, found, name, key)
    return found


def check_components(config):
    """Finds the class of each component of a configuration; ConfigError for the first that cannot be found."""
    for what, component in config.components():
        find_class(what, component)


def build(what, component, **given):
    """Calls the class of a component with the file's arguments and those that the run gives, as far as it takes them.

    Raises:
        ConfigError: If it cannot be found, or refuses its arguments.
    """
    constructor, parameters = checked(what, component, given)
    given = {name: value for name, value in given.items() if name in parameters}
    place = component.place
    try:
        return constructor(**component.arguments, **given)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"{component.name} at '{place}': {error}", key_of(error, place, component.arguments)
        ) from error


def checked(what, component, given=()):
    """Returns the class of a component and its parameters by name; ConfigError unless the file gives those needed.

    Args:
        what (str): See :func:`find_class`.
        component (Component): The component.
        given (Collection[str]): Parameters that the run gives, which the file must not have.
    """
    constructor, place = find_class(what, component), component.place
    named = parameters_of(constructor)
    allowed = [name for name in named if name not in given]
    for name in component.arguments:
        if name in given and name in named:
            raise ConfigError(f"'{place}.{name}' must not be set: the run gives it", f"{place}.{name}")
        if name not in allowed and not takes_any(constructor):
            hint = nearest(name, allowed) if allowed else f"{component.name} takes no arguments"
            raise ConfigError(f"unknown key '{place}.{name}'; {hint}", f"{place}.{name}")
    for name in allowed:
        if named[name].default is inspect.Parameter.empty and name not in component.arguments:
            raise ConfigError(f"the key '{place}.{name}' is missing; {component.name} needs it", place)
    return constructor, named


def parameters_of(constructor):
    """Returns the parameters of a class that have names of their own."""
    found = inspect.signature(constructor).parameters
    return {name: p for name, p in found.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def takes_any(constructor):
    """Returns whether a class takes keyword arguments of any name."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(constructor).parameters.values())


def key_of(error, place, names):
    """Returns the key below `place` of the first of `names` that a message has in quotes, else `place` itself."""
    named = [quoted for quoted in re.findall(r"'(\w+)'", str(error)) if quoted in names]
    return f"{place}.{named[0]}" if named else place


def _imported(module, name, key):
    """Imports a module by its name or by the path of its file."""
    if module.endswith(".py"):
        return _imported_file(Path(module), key)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # The module itself, or a package above it; another one is missing inside it.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"'{key}' is {name!r}, but there is no module '{error.name}'", key) from None
    except Exception as error:
        raise ConfigError(_failure(module, key, error), key) from error


def _imported_file(path, key):
    if not path.is_file():
        beside = sorted(other.name for other in path.parent.glob("*.py"))
        hint = nearest(path.name, beside) if beside else "there is no such file beside the YAML file"
        raise ConfigError(f"'{key}' names the file '{path}', which does not exist; {hint}", key)
    if path in _FILES:
        return _FILES[path]
    # Under the name that an import would give it, so that what it imports from beside it, and pickling, work too.
    if path.stem in sys.modules or importlib.util.find_spec(path.stem) is not None:
        name = f"{path.stem}_of_{path.parent.name}"
    else:
        name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(_failure(path, key, error), key) from error
    finally:
        sys.path.remove(str(path.parent))
    _FILES[path] = module
    return module


def _failure(module, key, error):
    """Says how the import of a module fails, in the words and at the line of its own error."""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}, line {last.lineno}"
    return f"'{module}' at '{key}' fails when it is imported: {type(error).__name__}: {error} ({where})"


def _check_kind(what, found, name, key):
    """Raises ConfigError unless a class is one for its place in a run."""
    if what in BASES:
        module, base = BASES[what].rsplit(".", 1)
        if not issubclass(found, getattr(importlib.import_module(module), base)):
            raise ConfigError(f"'{key}' must name a class derived from {BASES[what]}, but {name} is not", key)
    # A data set of MindSpore has no access to single samples; the run copies it.
    elif not hasattr(found, "create_dict_iterator"):
        for method in METHODS.get(what, ()):
            # Not by getattr: every class can be called, so that each seems to have '__call__'.
            if not any(method in vars(base) for base in found.__mro__):
                raise ConfigError(f"'{key}' must name a class with the method '{method}', which {name} lacks", key)
