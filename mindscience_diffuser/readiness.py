"""What can be told without an NPU about whether an exported graph will run on Ascend."""

import re
from collections import Counter

import mindspore.mint
import mindspore.ops
from mindspore.ops import auto_generate, operations
from mindspore.train import mind_ir_pb2

from mindscience_diffuser.export import read_graph

# Resolved by the graph compiler or the runtime itself; no device kernel stands behind them.
CONTROL = {"Constant", "Depend", "Load", "MakeTuple", "Partial", "Switch", "TensorMove", "TupleGetItem", "UpdateState"}

# Calls back into Python, or brings a device value to the host.
FORBIDDEN = {"PyExecute", "PyInterpret", "PyFunc", "TensorToScalar", "raise"}

# Primitives whose own page names no function that lists platforms: the documented function that they implement.
IMPLEMENTS = {
    "AddExt": "mint.add",
    "ClampScalar": "ops.clamp",
    "LessScalar": "ops.less",
    "Muls": "ops.mul",
    "UnstackExtView": "mint.unbind",
}


def primitives(path):
    """Returns how often each primitive stands in a MINDIR file.

    Args:
        path (str or Path): A file that :func:`~mindscience_diffuser.export.export_mindir` wrote.

    Returns:
        collections.Counter by name.
    """
    names = Counter()
    model = read_graph(path)
    subgraphs = {function.name for function in model.functions}
    for graph in (model.graph, *model.functions):
        for node in graph.node:
            # "REF::Mul:38" for a primitive, "REF::graph" or "REF::graph:CNode_7:15" for the call of a subgraph.
            name, *rest = node.op_type.replace("REF::", "").split(":")
            if name and name not in subgraphs and not (rest and rest[0].startswith("CNode")):
                names[name] += 1
    return names


def documented_platforms(primitive):
    """Returns the platforms that MindSpore's documentation lists for a primitive, as text; empty if none are."""
    own = _documentation(getattr(operations, primitive, None) or getattr(auto_generate, primitive, None))
    if _platforms(own):
        return _platforms(own)
    candidates = re.findall(r":func:`mindspore\.((?:ops|mint)\.\w+)`", own)
    candidates += re.findall(r"\b(ops\.\w+)\(", own)
    if primitive in IMPLEMENTS:
        candidates.append(IMPLEMENTS[primitive])
    for candidate in candidates:
        module, name = candidate.split(".")
        found = _platforms(_documentation(getattr(getattr(mindspore, module), name, None)))
        if found:
            return found
    return ""


def ascend_problems(path):
    """Returns what speaks against running an exported graph on Ascend, one sentence each.

    Looked for are primitives that MindSpore does not document for Ascend, calls back into Python, values read by the
    host, float64, and inputs with an open axis other than the batch.

    Args:
        path (str or Path): A file that :func:`~mindscience_diffuser.export.export_mindir` wrote.

    Returns:
        list of str, empty where nothing was found.
    """
    problems = []
    for name in sorted(primitives(path)):
        if name in FORBIDDEN:
            problems.append(f"The primitive {name} makes the device wait for the host.")
        elif name not in CONTROL and "Ascend" not in documented_platforms(name):
            problems.append(f"The primitive {name} is not documented for Ascend.")
    model = read_graph(path)
    for graph in (model.graph, *model.functions):
        tensors = [*graph.parameter, *(part for value in (*graph.input, *graph.output) for part in value.tensor)]
        for node in graph.node:
            tensors += [part for attribute in node.attribute for part in attribute.tensors]
        if any(tensor.data_type == mind_ir_pb2.TensorProto.DOUBLE for tensor in tensors):
            problems.append(f"The graph {graph.name} holds float64.")
    for value in model.graph.input:
        for tensor in value.tensor:
            if sum(size < 0 for size in tensor.dims) > 1:
                problems.append(f"An input has the shape {list(tensor.dims)}, open in more than the batch.")
    return problems


def _documentation(function):
    return getattr(function, "__doc__", None) or ""


def _platforms(text):
    found = re.search(r"Supported Platforms:\s*\n\s*(.*)", text)
    return found.group(1).replace("``", "").strip() if found else ""
