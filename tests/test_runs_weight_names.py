"""Weights keep their names in a run, also where a call of the model would change them."""

import textwrap

import numpy as np
import yaml
from mindspore import Tensor

from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.kinds.models import predicting

NET = """
    from mindspore import nn

    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.layers = nn.CellList([nn.Dense(3, 3), nn.Dense(3, 3)])

        def construct(self, x, t):
            for layer in self.layers[1:]:
                x = layer(x)
            return x
"""


def test_a_model_that_takes_part_of_its_layers_keeps_their_names(tmp_path):
    (tmp_path / "net.py").write_text(textwrap.dedent(NET), encoding="utf-8")
    model = {"name": "net.py:Net"}
    content = {"output": "out", "data": {"name": "Digits"}, "model": model, "scheduler": {"name": "DDIMScheduler"}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    config = load_config(tmp_path / "run.yaml")
    namespace = {}
    exec(compile(textwrap.dedent(NET), "net", "exec"), namespace)
    net = namespace["Net"]()
    before = [parameter.name for parameter in net.get_parameters()]
    samples = np.zeros((2, 4, 3), np.float32)
    predicting(config, net, samples, np.zeros(2, np.float32), [])
    assert [parameter.name for parameter in net.get_parameters()] == before
    net.construct(*(Tensor(values) for values in (samples, samples)))
    assert [parameter.name for parameter in net.get_parameters()] != before
