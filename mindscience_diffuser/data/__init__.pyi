# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

__all__ = ["Arrays", "Copied", "Fields", "Images", "Normalisation", "as_data", "write_samples"]

class Arrays:
    path: Any
    samples: Any
    conditions: Any
    numbers: Any
    def __init__(
        self,
        path: str,
        samples: str | None = None,
        conditions: Sequence[str] = (),
        split: Literal["train", "test"] = "train",
        held_out: float | Sequence[int] | NDArray[Any] = 0.1,
    ) -> None: ...
    def __len__(self) -> Any: ...
    def __getitem__(self, k: Any) -> Any: ...

class Copied:
    columns: Any
    numbers: Any
    def __init__(
        self,
        dataset: Any,
        split: Literal["train", "test"] = "train",
        held_out: float | Sequence[int] | NDArray[Any] = 0.1,
    ) -> None: ...
    def __len__(self) -> Any: ...
    def __getitem__(self, k: Any) -> Any: ...

class Fields:
    variables: Any
    grid: Any
    vector: Any
    field: Any
    numbers: Any
    path: Any
    samples: Any
    def __init__(
        self,
        path: str,
        variables: Sequence[str],
        samples: str = "time",
        conditions: Sequence[str] = (),
        split: Literal["train", "test"] = "train",
        held_out: float | Sequence[int] | NDArray[Any] = 0.1,
    ) -> None: ...
    def __len__(self) -> Any: ...
    def __getitem__(self, k: Any) -> Any: ...
    @property
    def coordinates(self) -> Any: ...
    @property
    def times(self) -> Any: ...
    @property
    def units(self) -> Any: ...
    def write(self, directory: str | Path, samples: NDArray[Any]) -> list[Any]: ...

class Images:
    path: Any
    files: Any
    class_names: Any
    numbers: Any
    grey: Any
    size: Any
    def __init__(
        self,
        path: str,
        classes: bool = False,
        split: Literal["train", "test"] = "train",
        held_out: float | Sequence[int] | NDArray[Any] = 0.1,
    ) -> None: ...
    def __len__(self) -> Any: ...
    def __getitem__(self, k: Any) -> Any: ...
    def write(self, directory: str | Path, samples: NDArray[Any]) -> list[Any]: ...

class Normalisation:
    axes: Any
    mean: Any
    deviation: Any
    def __init__(
        self, mean: Sequence[float] | NDArray[Any], deviation: Sequence[float] | NDArray[Any], axes: int = 0
    ) -> None: ...
    @classmethod
    def fit(cls, data: Any, place: int = 0) -> Any: ...
    def apply(self, samples: Any) -> Any: ...
    def undo(self, samples: Any) -> Any: ...
    def save(self, path: Any) -> None: ...
    @classmethod
    def load(cls, path: Any) -> Any: ...

def as_data(source: Any, split: str = "train", held_out: float | Sequence[int] | NDArray[Any] = 0.1) -> Any: ...
def write_samples(data: Any, directory: str | Path, samples: NDArray[Any]) -> list[Any]: ...
