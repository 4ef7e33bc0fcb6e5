"""Data y = a c + noise in files beside a configuration, and linear models of them, for runs."""

import textwrap

import numpy as np
import yaml

from mindscience_diffuser.cli import main

SLOPES, SPREADS = np.array([2.0, -0.7]), np.array([1.5, 0.2])

FILES = {
    "fields.py": """
        import numpy as np

        class Line:
            # y = a c + noise, channel by channel; c is a field, constant over the grid.
            grid, coordinates = ("lat", "lon"), {"lat": np.array([-80.0, -10.0, 30.0, 60.0])}

            def __init__(self, count=600, slope=1.0, nothing=False):
                self.count, self.slope, self.nothing = count, slope, nothing

            def __len__(self):
                return self.count

            def __getitem__(self, k):
                generator = np.random.default_rng(k)
                c = np.ones((2, 4, 6)) * generator.standard_normal((2, 1, 1))
                noise = np.reshape([1.5, 0.2], (2, 1, 1)) * generator.standard_normal(c.shape)
                y = self.slope * np.reshape([2.0, -0.7], (2, 1, 1)) * c + noise
                return np.float32(y) if self.nothing else (np.float32(y), c)
    """,
    "net.py": """
        import mindspore as ms
        import numpy as np
        from mindspore import Parameter, Tensor, nn

        def weight(name):
            return Parameter(Tensor(np.zeros((1, 2, 1, 1)), ms.float32), name=name)

        class Linear(nn.Cell):
            # As a regression and as the network beside it alike; its Parameters have the same names in both.
            def __init__(self):
                super().__init__()
                self.of_x, self.of_c, self.of_expected = weight("of_x"), weight("of_c"), weight("of_expected")

            def construct(self, x, t, c, expected=None):
                out = self.of_x * x + self.of_c * c
                return out if expected is None else out + self.of_expected * expected

        class Unconditional(nn.Cell):
            def __init__(self):
                super().__init__()
                self.of_x = weight("of_x")

            def construct(self, x, t):
                return self.of_x * x
    """,
}


def write_files(folder):
    """Writes the modules of data and models; returns the folder."""
    for name, text in FILES.items():
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def write(folder, name, **values):
    """Writes a configuration beside the modules; returns it and its output."""
    output = folder / "outputs" / name
    content = {
        "output": str(output),
        "data": {"name": "fields.py:Line"},
        "model": {"name": "net.py:Linear"},
        **values,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path, output


def run(command, path, *overrides):
    assert main([command, "--config", str(path), *overrides]) == 0
