"""Where mindone or diffusers is loaded, drop-in schedulers count as theirs: shown on a small stand-in of mindone."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
from mindspore import Tensor

import mindscience_diffuser
from mindscience_diffuser import compat

MODULES = {
    **dict.fromkeys(
        ("../__init__.py", "__init__.py", "schedulers/__init__.py"), ""
    ),  # Also where mindone is installed.
    "schedulers/scheduling_utils.py": """
class SchedulerMixin:
    def __repr__(self):
        return "theirs"
    def push_away(self):
        return "theirs"
    def save_pretrained(self, folder):
        return "theirs"
""",
    **{
        f"schedulers/scheduling_{file}.py": f"""
from .scheduling_utils import SchedulerMixin
class {name}(SchedulerMixin):
    def __init__(self, **config):
        self.config = config
    @classmethod
    def from_config(cls, config):
        return cls(**config)
    def _threshold_sample(self):
        return "theirs"
"""
        for file, name in [("ddim", "DDIMScheduler"), ("tcd", "TCDScheduler"), ("pndm", "PNDMScheduler")]
    },
    "pipelines/__init__.py": "",
    "pipelines/ddim/__init__.py": "",
    "pipelines/ddim/pipeline_ddim.py": """
from ...schedulers.scheduling_ddim import DDIMScheduler
class DDIMPipeline:
    def __init__(self, scheduler: DDIMScheduler):
        self.scheduler = DDIMScheduler.from_config(scheduler.config)
""",
}

CHECKS = """
import sys
from mindscience_diffuser import compat
from mindscience_diffuser.compat import DDIMScheduler, PNDMScheduler

before = DDIMScheduler()
assert not [name for name in sys.modules if name.startswith(("mindone", "diffusers"))]

from mindone.diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from mindone.diffusers.schedulers.scheduling_ddim import DDIMScheduler as Theirs
from mindone.diffusers.schedulers.scheduling_tcd import TCDScheduler as TheirTCD
from mindone.diffusers.schedulers.scheduling_utils import SchedulerMixin
assert "mindone.diffusers.schedulers.scheduling_pndm" not in sys.modules
"TCDScheduler" in vars(compat) and sys.exit("the class must be new to show this order")

# Made before and after the import of the peer, of classes that were built before and after it.
for scheduler, theirs in [(before, Theirs), (DDIMScheduler(), Theirs), (compat.TCDScheduler(), TheirTCD)]:
    assert isinstance(scheduler, theirs) and issubclass(type(scheduler), theirs)
    assert isinstance(scheduler, SchedulerMixin) and scheduler.__class__ is type(scheduler)
    assert scheduler.__class__.__name__ == theirs.__name__
    assert type(scheduler) == theirs and not type(scheduler) != theirs and type(scheduler) != SchedulerMixin
    assert type(scheduler) == scheduler.__class__ and type(scheduler) != str and {type(scheduler)} == {type(scheduler)}
    # Nothing is inherited from it.
    assert not hasattr(scheduler, "push_away") and not hasattr(type(scheduler), "_threshold_sample")
    assert "theirs" not in repr(scheduler)
    assert scheduler.save_pretrained.__func__ is not theirs.save_pretrained
assert not isinstance(before, TheirTCD) and issubclass(PNDMScheduler, SchedulerMixin)
assert not issubclass(Theirs, DDIMScheduler) and not isinstance(Theirs(), DDIMScheduler)

# A pipeline that converts its scheduler keeps the kind that it is given; whoever asks for the peer's class has it.
assert type(DDIMPipeline(PNDMScheduler(num_train_timesteps=50)).scheduler) is DDIMScheduler
assert DDIMPipeline(PNDMScheduler(num_train_timesteps=50)).scheduler.config.num_train_timesteps == 50
assert type(DDIMPipeline(Theirs(a=1)).scheduler) is Theirs
assert type(Theirs.from_config(before.config)) is Theirs

from mindone.diffusers.schedulers.scheduling_pndm import PNDMScheduler as TheirPNDM
assert issubclass(PNDMScheduler, TheirPNDM)
"""


def test_drop_in_classes_count_as_those_of_a_peer_in_both_orders_of_imports(tmp_path):
    for path, text in MODULES.items():
        file = tmp_path / "mindone" / "diffusers" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    package = Path(mindscience_diffuser.__file__).parents[1]
    search = os.pathsep.join([str(tmp_path), str(package), os.environ.get("PYTHONPATH", "")])
    finished = subprocess.run(
        [sys.executable, "-c", CHECKS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert finished.returncode == 0, finished.stderr


def test_a_pipeline_writes_down_a_scheduler_that_can_be_loaded_without_this_package():
    scheduler = compat.DDIMScheduler()
    # What DiffusionPipeline.register_modules writes into model_index.json.
    assert (scheduler.__module__.split(".")[0], type(scheduler).__name__) == ("diffusers", "DDIMScheduler")
    assert type(scheduler).__module__ == "mindscience_diffuser.compat"


def test_copies_go_on_where_the_scheduler_is():
    rng = np.random.default_rng(0)
    output, sample = (Tensor(rng.standard_normal((1, 3, 4, 4)).astype(np.float32)) for _ in range(2))
    for name in ("UniPCMultistepScheduler", "DDIMScheduler"):
        scheduler = getattr(compat, name)()
        scheduler.set_timesteps(4)
        following = scheduler.step(output, scheduler.timesteps[0], sample, return_dict=False)[0]
        copies = [copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))]
        expected = scheduler.step(output, scheduler.timesteps[1], following, return_dict=False)[0].asnumpy()
        for made in copies:
            assert type(made) is type(scheduler) and dict(made.config) == dict(scheduler.config)
            result = made.step(output, made.timesteps[1], following, return_dict=False)[0].asnumpy()
            assert np.array_equal(result, expected)
