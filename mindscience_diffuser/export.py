"""Graphs as files: export to MINDIR and reload."""

import inspect
import json
import re
import tempfile
from pathlib import Path

import mindspore as ms
from mindspore import Tensor, nn
from mindspore.train import mind_ir_pb2

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.inputs import check_is_tensor, type_name
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.recent import RecentlyUsed
from mindscience_diffuser.sampling import ModelStep, PyramidSampler, ResidualSampler, Sampler
from mindscience_diffuser.schedulers import Scheduler
from mindscience_diffuser.step import StepKernel
from mindscience_diffuser.validation import check_bool, check_path

SUFFIX = ".mindir"
# What MindSpore's export takes as a path.
PATH_CHARACTERS = re.compile(r"[0-9a-zA-Z@_\-.:/\\]+")
INFO_KEY = "mindscience_diffuser"


def export_mindir(cell, path, *example_inputs, dynamic_batch=True, input_names=None, overwrite=False, portable=True):
    """Writes a cell as one MINDIR file.

    Args:
        cell (nn.Cell): A :class:`Sampler` or :class:`PyramidSampler` of method ``"loop"`` or ``"unrolled"``, a
            scheduler (one step), or any cell that calls them, such as a model with its step.
        path (str or Path): File to write, ending in ``.mindir``; its folder must exist. It is written in the folder for
            temporary files first.
        *example_inputs (Tensor or tuple[Tensor]): Inputs of ``cell.construct``, in order; only shapes and dtypes
            matter. A file has Tensors only: each entry of a tuple becomes an input of its own.
        dynamic_batch (bool): Whether the file takes any batch size. The batch is the first axis of every input but
            ``seed``, and the second of a Sampler's ``step_noise`` and ``step_motions``. The file is run once with
            another batch size before it is kept. Default: ``True``.
        input_names (Sequence[str], optional): Names of the inputs when the file is called, one for each Tensor, all
            different. Default: those of ``construct``; a Sampler's conditions are ``condition_0``, ``condition_1``,
            ..., and the entries of a tuple ``condition_0_0``, ``condition_0_1``, ...
        overwrite (bool): Whether an existing file may be replaced. Default: ``False``.
        portable (bool): Whether to write the step without the fused add, whose factor is a host scalar: free on CPU,
            but on Ascend every step would wait for the device. Default: ``True``.

    Returns:
        Path, the file.

    Raises:
        FileExistsError: If the file exists and `overwrite` is not set.
        FileNotFoundError: If its folder does not exist.
        TypeError: If `cell` is no Cell, an input no Tensor or tuple of Tensors, or another argument has the wrong type.
        ValueError: If the suffix is another, a Sampler has method ``"step"``, the names do not match the inputs, the
            cell cannot take another batch size though `dynamic_batch` is set, or MindSpore does not take the path of
            the folder for temporary files.
    """
    path = _checked_target(path, check_bool("overwrite", overwrite))
    check_bool("dynamic_batch", dynamic_batch)
    check_bool("portable", portable)
    _check_temporary_folder()
    if not isinstance(cell, nn.Cell):
        raise TypeError(f"'cell' must be an nn.Cell, but is {type(cell).__name__}.")
    if isinstance(cell, (PyramidSampler, ResidualSampler, Sampler)) and cell.method == "step":
        raise ValueError("'cell' is a Sampler with method='step', which is no single graph: use 'loop' or 'unrolled'.")
    for i, value in enumerate(example_inputs):
        for part in value if isinstance(value, tuple) else (value,):
            check_is_tensor(f"example_inputs[{i}]", part)
    names = _names(cell, example_inputs, input_names)
    counts = [len(value) if isinstance(value, tuple) else None for value in example_inputs]
    example_inputs = _flat(example_inputs)
    inputs = [_dynamic(value, name) for name, value in zip(names, example_inputs)] if dynamic_batch else example_inputs
    info = {"inputs": list(names), "plan": cell.plan.fingerprint if getattr(cell, "plan", None) is not None else None}

    def write(temporary):
        model = mind_ir_pb2.ModelProto()
        with tempfile.TemporaryDirectory() as folder:
            exported = Path(folder, f"graph{SUFFIX}")
            with _Settings(cell, dynamic_batch, portable), _TakesAnyBatch(dynamic_batch):
                ms.export(_Exported(cell, counts), *inputs, file_name=str(exported), file_format="MINDIR")
                if dynamic_batch:
                    nn.GraphCell(ms.load(str(exported)))(*_with_more(example_inputs, names))
            model.ParseFromString(exported.read_bytes())
        write_note(model, INFO_KEY, json.dumps(info))
        temporary.write_bytes(model.SerializeToString())

    write_atomically(path, write)
    return path


class ExportedGraph:
    """A reloaded MINDIR file, called with its inputs in order or by name; a tuple stands for its entries.

    Args:
        path (Path): The file.
        info (dict): What :func:`export_mindir` noted in it: names of the inputs and fingerprint of the plan.
    """

    def __init__(self, path, info):
        self.path = path
        self.input_names = tuple(info["inputs"])
        self.plan = info["plan"]
        self._graphs = RecentlyUsed()

    def __reduce__(self):
        # A compiled graph can be neither copied nor pickled: the file is loaded again.
        return ExportedGraph, (self.path, {"inputs": self.input_names, "plan": self.plan})

    def __call__(self, *inputs, **named):
        """Runs the graph.

        Raises:
            TypeError: If an input is missing, unknown, given twice, or no Tensor.
        """
        inputs = _flat(inputs)
        for name in [name for name, value in named.items() if isinstance(value, (tuple, list))]:
            named.update({f"{name}_{i}": value for i, value in enumerate(named.pop(name))})
        given = dict(zip(self.input_names, inputs))
        twice = [name for name in named if name in given]
        unknown = [name for name in named if name not in self.input_names]
        missing = [name for name in self.input_names if name not in given and name not in named]
        if len(inputs) > len(self.input_names) or twice or unknown or missing:
            raise TypeError(
                f"The graph takes {', '.join(self.input_names)}; got {len(inputs)} inputs in order and "
                f"{', '.join(named) or 'none'} by name."
            )
        given.update(named)
        values = [given[name] for name in self.input_names]
        for name, value in given.items():
            check_is_tensor(name, value)
        # A loaded graph with a loop inside can be compiled for one set of shapes only, so each gets its own.
        key = tuple((value.shape, value.dtype) for value in values)
        graph = self._graphs.made(key, lambda: nn.GraphCell(ms.load(str(self.path))))
        return graph(*(value.contiguous() for value in values))


def load_mindir(path, plan=None):
    """Reloads a file that :func:`export_mindir` wrote.

    Args:
        path (str or Path): The file.
        plan (StepPlan, optional): The plan that the caller relies on, such as ``sampler.plan``.

    Returns:
        :class:`ExportedGraph`.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `path` is no path or `plan` no plan.
        ValueError: If it is no MINDIR file of this package, or holds another plan than `plan`.
    """
    path = check_path("path", path)
    if plan is not None and not isinstance(plan, StepPlan):
        raise TypeError(f"'plan' must be a StepPlan, such as sampler.plan, but is {type_name(plan)}.")
    info = read_info(path)
    if plan is not None and info["plan"] != plan.fingerprint:
        raise ValueError(
            f"'{path}' was exported with another plan (fingerprint {info['plan']}) than the one asked for "
            f"({plan.fingerprint}, {len(plan)} steps), or before fingerprints counted every field of a plan: export "
            "again after set_timesteps."
        )
    return ExportedGraph(path, info)


def read_graph(path):
    """Returns the protobuf of a MINDIR file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file '{path}'.")
    model = mind_ir_pb2.ModelProto()
    try:
        model.ParseFromString(Path(path).read_bytes())
    except Exception as error:  # protobuf's own error class moved between its versions
        raise ValueError(f"'{path}' is not a MINDIR file: {error}.") from error
    return model


def read_info(path):
    """Returns what :func:`export_mindir` noted in a file."""
    text = read_note(read_graph(path), INFO_KEY)
    if not text:
        raise ValueError(f"'{path}' was not written by mindscience_diffuser.export_mindir.")
    return json.loads(text)


def write_note(model, key, text):
    """Puts a text into the protobuf of a MINDIR file, which keeps it under `key`."""
    # The same bytes are declared as a map in newer versions of MindSpore, and as repeated entries in 2.7.
    if hasattr(model.user_info, "add"):
        model.user_info.add(key=key, value=text)
    else:
        model.user_info[key] = text


def read_note(model, key):
    """Returns the text that :func:`write_note` put into the protobuf, or None."""
    if hasattr(model.user_info, "add"):
        return {entry.key: entry.value for entry in model.user_info}.get(key)
    return model.user_info.get(key)


class _Exported(nn.Cell):
    """A new cell around the exported one, because a cell that was compiled before keeps its old settings."""

    def __init__(self, cell, counts):
        super().__init__(auto_prefix=False)
        self.cell = cell
        # How many of the Tensors are one tuple; -1: a Tensor by itself.
        self.counts = tuple(-1 if count is None else count for count in counts)

    def construct(self, *inputs):
        grouped, first = (), 0
        for count in self.counts:
            if count < 0:
                grouped += (inputs[first],)
                first += 1
            else:
                grouped += (inputs[first : first + count],)
                first += count
        return self.cell(*grouped)


class _TakesAnyBatch:
    """Turns what the compiler says about an open batch axis into an error that names the way out."""

    def __init__(self, dynamic_batch):
        self.dynamic_batch = dynamic_batch

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if self.dynamic_batch and isinstance(error, (RuntimeError, ValueError, TypeError, IndexError)):
            raise ValueError(
                "'cell' does not compile with an open batch size; if it works with fixed shapes, pass "
                f"dynamic_batch=False. The compiler says: {str(error).strip().splitlines()[0]}"
            ) from error


class _Settings:
    """Sets, while a graph is exported, what its cells otherwise take from the present device and fixed shapes."""

    def __init__(self, cell, dynamic_batch, portable):
        cells = [part for _, part in cell.cells_and_names()]
        for part in cells:
            # An eager call of a compiled method makes it what the graph compiler reads, in place of construct.
            part.__parse_method__ = "construct"
        self.kernels = [part for part in cells if isinstance(part, StepKernel)]
        self.checking = [part for part in cells if isinstance(part, (ModelStep, ResidualSampler, Scheduler))]
        self.fused = [kernel.fused and not portable for kernel in self.kernels]
        self.fixed_shape = not dynamic_batch

    def __enter__(self):
        self.before = [kernel.fused for kernel in self.kernels]
        self._set(self.fused, self.fixed_shape)

    def __exit__(self, *exception):
        self._set(self.before, True)

    def _set(self, fused, fixed_shape):
        for kernel, value in zip(self.kernels, fused):
            kernel.fused = value
        for part in self.checking:
            part.fixed_shape = fixed_shape


def _checked_target(path, overwrite):
    path = check_path("path", path)
    if path.suffix != SUFFIX:
        raise ValueError(f"'path' must end in '{SUFFIX}', but is '{path}'.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder '{path.parent}' does not exist; make it first.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"'{path}' exists; choose another path, or pass overwrite=True to replace it.")
    return path


def _check_temporary_folder():
    folder = tempfile.gettempdir()
    if not PATH_CHARACTERS.fullmatch(folder):
        raise ValueError(
            f"The folder for temporary files is '{folder}', but MindSpore exports only to paths of the characters a-z, "
            "A-Z, 0-9, @ _ - . : / \\: set the environment variable TMPDIR to another folder before the program starts."
        )


def _names(cell, inputs, given):
    """Returns one name for each Tensor among the inputs."""
    if given is not None:
        if not isinstance(given, (tuple, list)) or not all(isinstance(name, str) for name in given):
            raise TypeError(f"'input_names' must be a list of str, but is {given!r}.")
        names = tuple(given)
    else:
        if hasattr(cell, "input_names"):
            own = cell.input_names
            names = (*own, *(f"condition_{i}" for i in range(len(inputs) - len(own))))
        else:
            names = tuple(inspect.signature(cell.construct).parameters)[: len(inputs)]
        parts = [
            [f"{name}_{i}" for i in range(len(value))] if isinstance(value, (tuple, list)) else [name]
            for name, value in zip(names, inputs)
        ]
        names = (*(part for those in parts for part in those), *names[len(inputs) :])
    count = len(_flat(inputs))
    if len(names) != count or len(set(names)) != count:
        raise ValueError(
            f"'input_names' must hold {count} different names, one for each Tensor of the example inputs, but are "
            f"{', '.join(map(str, names)) or 'none'}."
        )
    return names


def _flat(values):
    """Returns the values with the entries of tuples in place of these."""
    return [part for value in values for part in (value if isinstance(value, (tuple, list)) else (value,))]


def batch_axis(name):
    """Returns the axis of an input that is the batch, by its name: None for a seed, 1 for what comes step by step."""
    return None if name == "seed" else 1 if name in ("step_noise", "step_motions") else 0


def _with_more(values, names):
    """Returns inputs whose batch is larger by one; an axis of another size than the batch, such as 1, stays."""
    axes = [batch_axis(name) for name in names]
    leading = [(value, axis) for value, axis in zip(values, axes) if axis is not None][:1]
    batch = next((value.shape[axis] for value, axis in leading if value.ndim > axis), None)
    larger = []
    for value, axis in zip(values, axes):
        shape = list(value.shape)
        if axis is not None and value.ndim > axis and shape[axis] == batch:
            shape[axis] += 1
        larger.append(ms.ops.zeros(tuple(shape), value.dtype))
    return larger


def _dynamic(value, name):
    """Returns a placeholder whose batch axis is open; scalars stay."""
    if value.ndim == 0:
        return value
    axis = batch_axis(name)
    shape = [None if i == axis else size for i, size in enumerate(value.shape)]
    return Tensor(shape=shape, dtype=value.dtype)
