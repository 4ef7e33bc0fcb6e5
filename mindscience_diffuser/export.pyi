# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindspore import Tensor, nn

from mindscience_diffuser.plan import StepPlan

class ExportedGraph:
    path: Any
    input_names: Any
    plan: Any
    def __init__(self, path: Path, info: dict[str, Any]) -> None: ...
    def __call__(self, *inputs: Any, **named: Any) -> Any: ...

def export_mindir(
    cell: nn.Cell,
    path: str | Path,
    *example_inputs: Tensor | float | tuple[Any, ...],
    dynamic_batch: bool = True,
    input_names: Sequence[str] | None = None,
    overwrite: bool = False,
    portable: bool = True,
) -> Path: ...
def load_mindir(path: str | Path, plan: StepPlan | None = None) -> ExportedGraph: ...
def read_graph(path: Any) -> Any: ...
def read_info(path: Any) -> Any: ...
def write_note(model: Any, key: Any, text: Any) -> None: ...
def read_note(model: Any, key: Any) -> Any: ...
def batch_axis(name: Any) -> Any: ...
