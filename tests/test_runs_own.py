"""Runs of a user's own data and model: every kind of condition, from training to an exported file, and bad input."""

import json
import textwrap

import mindspore as ms
import numpy as np
import pytest
import yaml

from mindscience_diffuser.cli import main
from mindscience_diffuser.noise import NoiseSource, draw_noise
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.data.batches import TrainingBatches
from mindscience_diffuser.runs.data.dataset import build_data, training_data
from mindscience_diffuser.runs.data.noise_law import noise_law
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.draw import Trajectories, draw_ranges
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_model, build_scheduler, first_sentence
from mindscience_diffuser.runs.storage.weights import save_weights
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

FILES = {
    "fields.py": """
        import numpy as np

        class Fields:
            def __init__(self, count=40, conditions="", bad=""):
                self.count, self.conditions, self.bad = count, conditions.split(), bad

            def __len__(self):
                return self.count

            def __getitem__(self, k):
                generator = np.random.default_rng(k)
                sample = 3 + 2 * generator.standard_normal((2, 4, 3)).astype(np.float32)
                made = {
                    "class": k % 3,
                    "vector": generator.standard_normal(5),
                    "field": generator.standard_normal((1, 4, 3)),
                    "sequence": generator.standard_normal((6, 2)),
                    "mask": np.arange(6) < 1 + k % 6,
                }
                conditions = [made[name] for name in self.conditions]
                if self.bad == "integers":
                    sample = sample.astype(int)
                if self.bad == "raises" and k == 35:
                    raise IndexError("there is no field 35")
                if self.bad == "nan" and k == 35:
                    sample[0, 0, 0] = np.nan
                if self.bad == "huge" and k == 35:
                    conditions[0] = 5 * 10**9
                if self.bad == "list" and k == 35:
                    return sample.tolist()
                if self.bad == "number" and k == 35:
                    conditions.append(1.0)
                if self.bad == "shape" and k == 35:
                    conditions = [np.zeros(3)]
                if self.bad == "grows" and k == 35:
                    sample = np.zeros((2, 4, 4), np.float32)
                return (sample, *conditions) if conditions else sample

        class Split(Fields):
            def __init__(self, split, bad=""):
                super().__init__(bad=bad)

        class Given(Fields):
            def __init__(self, unconditional=None, drawn=None):
                super().__init__(conditions="class vector")
                if unconditional is not None:
                    self.unconditional = unconditional
                if drawn is not None:
                    self.drawn_conditions = lambda numbers: eval(drawn, {"np": np, "numbers": numbers})

        class Batched(Fields):
            def batch(self, numbers):
                return (np.zeros((1, 2, 4, 3), np.float32),)

        class Empty:
            pass

        def function():
            return Fields()

        class Shifted:
            def draw(self, shape, generator):
                return 10 + generator.standard_normal(shape)

        class Count:
            def __call__(self, drawn, held_out):
                return {"drawn": np.float32(len(drawn["samples"])), "held_out": np.array(len(held_out["samples"]))}
    """,
    "net.py": """
        import numpy as np
        from mindspore import Tensor, nn, ops

        class Net(nn.Cell):
            unconditional = None

            def __init__(self, form="tensor", widths=(24, 24)):
                super().__init__()
                self.dense, self.told, self.form = nn.Dense(*widths), nn.Dense(1, 24), form

            def construct(self, x, t, *conditions):
                told = ops.log(ops.abs(t.astype(x.dtype).reshape(-1, 1)) + 1)
                for condition in conditions:
                    told = told + condition.astype(x.dtype).reshape(x.shape[0], -1).mean(1, True)
                out = (self.dense(x.reshape(x.shape[0], -1)) + self.told(told)).reshape(x.shape)
                if self.form == "tuple":
                    return out, t
                if self.form == "short":
                    return out[:, :1]
                if self.form == "number":
                    return 1.0
                return out

        class Dictionary(Net):
            def construct(self, x, t, return_dict=True):
                out = super().construct(x, t)
                return {"sample": out} if return_dict else (out,)

        class Classed(Net):
            # Class 3 stands for none.
            unconditional = (3, np.zeros(5))

        class Partial(Net):
            unconditional = (3,)

        class TakesOne(Net):
            def construct(self, x, t, vector):
                return x

        class Fails(Net):
            def construct(self, x, t):
                raise RuntimeError("the tank is empty")

        class LooksUp(Net):
            def __init__(self):
                super().__init__()
                self.table = nn.Embedding(1000, 1)

            def construct(self, x, t):
                return x + self.table(t).reshape((-1, 1, 1, 1))

        class NoCell:
            pass
    """,
    "broken.py": "import numpy\n\nclass Net(nn.Cell):\n    pass\n",
}
SCHEDULERS = {
    "diffusion": "DDIMScheduler",
    "flow_matching": "FlowMatchEulerDiscreteScheduler",
    "edm": "EDMHeunScheduler",
}
FEW = {
    "training": {"steps": 3, "batch_size": 8, "warmup_steps": 1},
    "sampling": {"samples": 6, "num_inference_steps": 2, "batch_size": 4},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder outside the package with a user's modules."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def write(folder, output, run="diffusion", **values):
    """Writes a configuration beside the modules."""
    content = {
        "run": run,
        "output": str(output),
        "data": {"name": "fields.py:Fields"},
        "model": {"name": "net.py:Net"},
        "scheduler": {"name": SCHEDULERS.get(run)},
        **FEW,
    }
    path = folder / f"{output.name}.yaml"
    path.write_text(yaml.safe_dump({**content, **values}), encoding="utf-8")
    return path


def run(command, path, *overrides):
    assert main([command, "--config", str(path), *overrides]) == 0


def samples_of(output):
    with np.load(output / "sample" / "samples.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("kind", "conditions", "model", "dtype"),
    [
        ("diffusion", "class vector", "Classed", "float32"),
        ("flow_matching", "field", "Net", "float16"),
        ("edm", "sequence mask", "Net", "float32"),
    ],
)
def test_own_data_and_model_are_trained_sampled_and_exported(folder, tmp_path, capsys, kind, conditions, model, dtype):
    values = {"data": {"name": "fields.py:Fields", "conditions": conditions}, "model": {"name": f"net.py:{model}"}}
    if model == "Classed":
        # A class has no zero to stand for nothing, so the model says what does; a vector has.
        (folder / "net.py").write_text(
            (folder / "net.py")
            .read_text(encoding="utf-8")
            .replace("unconditional = 3", "unconditional = (3, [0] * 5)"),
            encoding="utf-8",
        )
    guided = {**FEW["sampling"], "guidance_scale": 1.0 if kind == "flow_matching" else 2.0, "compute_dtype": dtype}
    settings = {"sampling": guided, "metrics": [{"name": "fields.py:Count"}], "normalise": kind == "edm"}
    path = write(folder, tmp_path, kind, **values, **settings)
    run("train", path)
    run("sample", path)
    drawn = samples_of(tmp_path)
    assert drawn["samples"].shape == (6, 2, 4, 3) and drawn["samples"].dtype == np.float32
    assert np.isfinite(drawn["samples"]).all()
    held_out = build_data(load_config(path)).held_out_arrays(4)
    for i in range(len(conditions.split())):
        np.testing.assert_array_equal(drawn[f"condition_{i}"], held_out[f"condition_{i}"][[0, 1, 2, 3, 0, 1]])
    assert json.loads((tmp_path / "sample" / "metrics.json").read_text())["drawn"] == 6
    assert (tmp_path / "sample" / "samples.png").is_file()
    run("export", path)
    exported = f"sampling.exported={tmp_path / 'export' / 'sampler.mindir'}"
    run("sample", path, exported)
    near = 1e-5 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(samples_of(tmp_path)["samples"], drawn["samples"], rtol=near, atol=near)
    # The file knows the normalisation: it takes other data as the model knew them, and no other setting.
    run("sample", path, exported, "data.count=30", f"output={tmp_path / 'other'}")
    capsys.readouterr()
    assert main(["sample", "--config", str(path), exported, f"normalise={str(kind != 'edm').lower()}"]) == 2
    assert "given by 'sampling.exported', was trained on" in capsys.readouterr().err


def test_a_model_that_looks_up_integers_is_refused_fractional_timesteps_before_the_training(folder, tmp_path):
    path = write(folder, tmp_path, model={"name": "net.py:LooksUp"})
    for scheduler, spacing in (("DDIMScheduler", {}), ("EulerDiscreteScheduler", {"use_karras_sigmas": True})):
        config = load_config(path, [f"scheduler={json.dumps({'name': scheduler, **spacing})}"])
        if not spacing:
            kind_of(config).objective(config)
            continue
        with pytest.raises(ConfigError, match=r"LooksUp at 'model' fails on samples, timesteps .* \(2,\) float32"):
            kind_of(config).objective(config)


def test_channels_that_a_model_needs_and_nobody_names_are_those_of_the_data(folder, tmp_path):
    model = {"name": "UNet", "hidden_channels": 4, "multipliers": [1], "blocks": 1, "heads": 1}
    path = write(folder, tmp_path, data={"name": "fields.py:Fields"}, model=model)
    built = build_model(load_config(path), build_data(load_config(path)))
    assert (built.in_channels, built.out_channels) == (2, 2)
    named = load_config(path, ["model.in_channels=5"])
    assert build_model(named, build_data(named)).in_channels == 5


@pytest.mark.parametrize(("count", "expected"), [(3, 3), (np.int64(3), 3), (True, 1), ("three", 1)])
def test_the_number_of_classes_may_be_an_integer_of_numpy(count, expected, folder, tmp_path):
    data = build_data(load_config(write(folder, tmp_path, data={"name": "fields.py:Fields"})))
    data.train.classes = count
    assert data.classes == expected


def test_normalisation_is_that_of_the_weights_and_undone_in_what_is_written(folder, tmp_path):
    path = write(folder, tmp_path, data={"name": "fields.py:Fields", "conditions": "vector class"}, normalise=True)
    data = build_data(load_config(path))
    samples, vectors, classes = data.batch(range(len(data)))
    for values in (samples, vectors):
        assert abs(values.mean()) < 1e-3 and abs(values.std() - 1) < 1e-3
    arrays = data.arrays(samples, (vectors, classes), np.arange(len(samples)))
    for name, place in (("samples", 0), ("condition_0", 1), ("condition_1", 2)):
        raw = np.stack([data.train[k][place] for k in range(len(data))])
        np.testing.assert_allclose(arrays[name], raw, atol=1e-5)
    (tmp_path / "train").mkdir()
    save_weights(tmp_path / "train" / "weights.safetensors", {}, **data.facts)
    fewer = build_data(load_config(path, ["data.count=30"]))
    np.testing.assert_allclose(fewer.arrays(fewer.batch([0])[0], (), [0])["samples"][0], fewer.train[0][0], atol=1e-5)
    assert fewer.facts == data.facts
    assert build_data(load_config(path, ["data.count=30", "output=none"])).facts != data.facts


def test_data_that_are_trained_on_are_normalised_by_themselves_or_as_for_the_weights_to_begin_with(folder, tmp_path):
    path = write(folder, tmp_path, data={"name": "fields.py:Fields", "conditions": "vector"}, normalise=True)
    fitted = training_data(load_config(path)).facts
    noted = {"0": [[100.0, 100.0], [2.0, 2.0], 2], "1": [[7.0] * 5, [3.0] * 5, 0]}
    older = tmp_path / "train" / "weights.safetensors"
    older.parent.mkdir()
    save_weights(older, {}, model={}, normalisation=noted)
    assert build_data(load_config(path)).facts != fitted
    # Weights of an older training in the folder, or at 'weights', are not what this training is about.
    for place in ((), (f"weights={older}", "output=none")):
        assert kind_of(load_config(path)).objective(load_config(path, place)).facts == fitted
    begins = load_config(path, [f"training.initial_weights={older}"])
    assert json.loads(json.dumps(kind_of(begins).objective(begins).facts)) == {"normalisation": noted}
    # Weights that know data as they were begin a training on normalised data as well as random ones do.
    save_weights(older, {}, model={})
    assert training_data(begins).facts == fitted


@pytest.mark.parametrize("kind", ["mean_flow", "consistency_distillation"])
def test_a_student_is_trained_on_data_as_its_teacher_knows_them(folder, tmp_path, capsys, kind):
    noted = {"0": [[100.0, 100.0], [2.0, 2.0], 2]}
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, {}, model={}, normalisation=noted)
    teacher = write(folder, tmp_path / "teacher", "flow_matching", weights=str(weights), normalise=True)
    scheduler = {"name": "FlowMapEulerDiscreteScheduler" if kind == "mean_flow" else "LCMScheduler"}
    path = write(folder, tmp_path / "out", kind, scheduler=scheduler, teacher=str(teacher), normalise=True)
    student = load_config(path)
    assert json.loads(json.dumps(kind_of(student).training_data(student).facts)) == {"normalisation": noted}
    assert main(["train", "--config", str(path), "normalise=false"]) == 2
    assert "given by 'teacher', was trained on normalised data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("facts", "normalise", "message"),
    [
        ({"model": {}, "normalisation": {"0": [[0, 0], [1, 1], 2]}}, False, "trained on normalised data: set it to"),
        ({"model": {}}, True, "trained on data as they are: set it to false"),
        ({"model": {}, "normalisation": {"0": [[0], [1], 2]}}, True, "the model knows data of other channels"),
        ({"model": {}, "normalisation": {"mean": [0], "deviation": [1]}}, True, "the model knows data of other"),
    ],
)
@pytest.mark.parametrize("command", ["sample", "compare", "export", "optimize", "sweep"])
def test_a_model_is_refused_data_that_are_normalised_otherwise(
    folder, tmp_path, capsys, command, facts, normalise, message
):
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, {}, **facts)
    compared = {"schedulers": [{"name": "DDIMScheduler"}]}
    path = write(folder, tmp_path / "out", weights=str(weights), normalise=normalise, compare=compared)
    assert main([command, "--config", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_data_are_asked_for_the_conditions_of_no_sample_that_is_not_drawn(folder, tmp_path):
    rows = "(np.arange(6)[numbers] % 3, np.ones((6, 5))[numbers])"
    config = load_config(write(folder, tmp_path, **drawing(rows)))
    data = build_data(config)
    repeated = Trajectories(1, lambda noise, conditions, source, advance: noise)
    # Six samples in batches of four.
    (arrays,) = draw_ranges(config, data, repeated, [(0, 6)], progress=False)
    np.testing.assert_array_equal(arrays["condition_0"], [0, 1, 2, 0, 1, 2])


def test_a_folder_holds_the_samples_of_the_last_run_alone(folder, tmp_path):
    config = load_config(path := write(folder, tmp_path))
    weights = {p.name: p.asnumpy() for p in build_model(config, build_data(config)).get_parameters()}
    save_weights(tmp_path / "any.safetensors", weights)
    at_once, shards = tmp_path / "sample" / "samples.npz", tmp_path / "sample" / "shards"
    few = ("sampling.samples=4", f"weights={tmp_path / 'any.safetensors'}")
    run("sample", path, *few)
    assert at_once.is_file() and not shards.exists()
    run("sample", path, *few, "sampling.shard_size=2")
    assert len(list(shards.glob("*.npz"))) == 2 and not at_once.exists()
    (tmp_path / "sample" / "manifest.json").unlink()
    run("sample", path, *few)
    assert at_once.is_file() and not shards.exists()


def test_conditions_are_dropped_together_for_what_stands_for_none(folder, tmp_path):
    data = build_data(
        load_config(write(folder, tmp_path, data={"name": "fields.py:Fields", "conditions": "class field"}))
    )
    nothing = (np.int32(3), np.full((1, 4, 3), -5, np.float32))
    batch = TrainingBatches(data, 1000, lambda seed, step, size: np.zeros(size), 0.25, 0, nothing).batch(0)
    dropped = batch.condition_0 == 3
    assert 0.2 < dropped.mean() < 0.3
    np.testing.assert_array_equal((batch.condition_1 == -5).all((1, 2, 3)), dropped)
    assert set(batch.condition_0[~dropped]) == {0, 1, 2}


def test_a_grid_of_one_axis_has_its_channels_first(folder, tmp_path):
    (folder / "line.py").write_text(
        textwrap.dedent(
            """
            import numpy as np

            class Line:
                def __len__(self):
                    return 8

                def __getitem__(self, k):
                    return np.full((2, 12), k, np.float32), np.float32(k)

                def drawn_conditions(self, numbers):
                    return np.asarray(numbers, np.float32)
            """
        ),
        encoding="utf-8",
    )
    model = {"name": "UNet", "axes": 1, "hidden_channels": 4, "multipliers": [1], "blocks": 1, "heads": 1}
    config = load_config(write(folder, tmp_path, data={"name": "line.py:Line"}, model=model, normalise=True))
    data = build_data(config)
    built = build_model(config, data)
    assert (built.in_channels, built.out_channels) == (2, 2)
    # Conditions that are drawn are not normalised like samples; one of them needs no tuple.
    np.testing.assert_array_equal(data.conditions(range(3))[0], [0, 1, 2])


def test_an_error_of_a_model_is_told_by_its_first_line_with_a_word():
    assert first_sentence(TypeError("-------\n- C++ Call Stack\n")) == "- C++ Call Stack"
    assert first_sentence(ValueError("'x' is 3")) == "'x' is 3"


def test_the_variance_of_the_law_reaches_the_scheduler(folder, tmp_path):
    config = load_config(write(folder, tmp_path, "edm", noise={"name": "StudentTNoise", "nu": 4}))
    assert build_scheduler(config).preconditioning.noise_variance == 2.0
    # Training and sampling take the law of the run, without being given one.
    heavy = write(folder, tmp_path, "edm", noise={"name": "StudentTNoise", "nu": 4})
    assert main(["train", "--config", str(heavy)]) == 0
    plain = load_config(write(folder, tmp_path, "edm"))
    assert build_scheduler(plain).preconditioning.noise_variance == 1.0


def test_law_of_noise_holds_for_the_training_and_for_what_is_drawn(folder, tmp_path):
    config = load_config(write(folder, tmp_path, noise={"name": "fields.py:Shifted"}))
    batches = kind_of(config).objective(config).batches
    with noise_law(config.noise):
        shifted, drawn = batches.batch(0), draw_noise((3, 4), NoiseSource(0, 3))
    plain = batches.batch(0)
    np.testing.assert_allclose(shifted.noise, plain.noise + 10, atol=1e-5)
    np.testing.assert_allclose(drawn, NoiseSource(0, 3).standard_normal((3, 4)) + 10, atol=1e-5)
    np.testing.assert_array_equal(shifted.samples, plain.samples)


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_scheduler_suits_a_kind_of_run_by_what_it_can_do(kind):
    suited = set()
    for name, scheduler in schedulers_by_name().items():
        if kind_of(load_kind(kind)).unsuited(scheduler()) is None:
            suited.add(name)
    assert SCHEDULERS[kind] in suited
    others = {other for name, other in SCHEDULERS.items() if name != kind}
    assert not suited & {*others, "PyramidFlowMatchEulerDiscreteScheduler", "DDIMInverseScheduler"}
    expected = {
        "diffusion": {
            "DPMSolverMultistepScheduler",
            "EulerDiscreteScheduler",
            "LCMScheduler",
            "UniPCMultistepScheduler",
        },
        "flow_matching": {"FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler"},
        "edm": {"EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"},
    }
    assert expected[kind] <= suited


def load_kind(kind):
    class Named:
        run = kind

    return Named


def test_one_number_may_stand_for_no_condition(folder, tmp_path):
    path = write(folder, tmp_path, data={"name": "fields.py:Given", "unconditional": [3, -1.0]})
    data = build_data(load_config(path))
    label, vector = data.unconditional(build_model(load_config(path), data))
    assert label == 3
    np.testing.assert_array_equal(vector, np.full(5, -1.0))


def drawing(expression):
    """Values of a run whose data give these conditions of drawn samples."""
    return {
        "data": {"name": "fields.py:Given", "drawn": expression},
        "training": {**FEW["training"], "condition_dropout": 0},
    }


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"data": {"name": "fields.py:Field"}}, ["'data.name'", "has no 'Field'; did you mean 'Fields'?"]),
        ({"data": {"name": "field.py:Fields"}}, ["field.py', which does not exist; did you mean 'fields.py'?"]),
        ({"data": {"name": "fields.py:Empty"}}, ["'data.name' must name a class with the method '__len__'"]),
        ({"data": {"name": "Fields2"}}, ["unknown data set 'Fields2' at 'data.name'; did you mean 'Fields'?"]),
        ({"model": {"name": "net.py:NoCell"}}, ["'model.name' must name a class derived from mindspore.nn.Cell"]),
        ({"model": {"name": "nett.models:Net"}}, ["'model.name' is 'nett.models:Net', but there is no module 'nett'"]),
        ({"model": {"name": "fields.py:function"}}, ["'model.name' must name a class, but"]),
        ({"model": {"name": "broken.py:Net"}}, ["NameError: name 'nn' is not defined", "broken.py, line 3"]),
        ({"model": {"name": "net.py:Net", "forme": "x"}}, ["unknown key 'model.forme'; did you mean 'form'?"]),
        ({"model": {"name": "net.py:TakesOne"}}, ["but takes (x, t, vector) and the data give 0 conditions"]),
        ({"model": {"name": "net.py:Fails"}}, ["fails on samples", "RuntimeError: the tank is empty"]),
        ({"model": {"name": "net.py:Net", "form": "short"}}, ["returns the shape (2, 1, 4, 3) for samples of (2, 2,"]),
        (
            {"model": {"name": "net.py:Net", "form": "number"}},
            ["must return a Tensor or a plain tuple", "but returns float"],
        ),
        ({"data": {"name": "fields.py:Fields", "bad": "integers"}}, ["at 'data' gives samples of int64"]),
        (
            {"data": {"name": "fields.py:Fields", "bad": "raises"}},
            ["at 'data' fails to give sample number 35: IndexError: there is no field 35"],
        ),
        (
            {"data": {"name": "fields.py:Fields", "bad": "nan"}},
            ["'data' gives sample number 35 with a value that is not"],
        ),
        ({"data": {"name": "fields.py:Split", "bad": "nan"}}, ["gives sample number 35 of split='train' with a value"]),
        (
            {"data": {"name": "fields.py:Fields", "bad": "list"}},
            ["fails to give sample number 35: TypeError: it is a list of numbers: give an array"],
        ),
        ({"data": {"name": "fields.py:Batched"}}, ["must give a tuple of arrays by 'batch', with as many rows as"]),
        (
            {"data": {"name": "fields.py:Fields", "conditions": "class", "bad": "huge"}},
            ["gives condition 0 of sample number 35 with the value 5000000000, which does not fit int32"],
        ),
        (
            {"data": {"name": "fields.py:Given", "unconditional": [3]}},
            ["'data' gives 2 conditions, but 'unconditional' of", "fields.py:Given has 1: give a tuple"],
        ),
        (
            {"data": {"name": "fields.py:Given"}, "model": {"name": "net.py:Partial"}},
            ["'data' gives 2 conditions, but 'unconditional' of Partial has 1: give a tuple of one array for each"],
        ),
        (
            {"data": {"name": "fields.py:Given", "unconditional": [3, [0.0] * 4]}},
            ["entry 1 of 'unconditional' of", "must have the shape (5,), but it has (4,)"],
        ),
        (
            {"data": {"name": "fields.py:Given", "unconditional": [2.5, [0] * 5]}},
            ["entry 0 of 'unconditional' of", "with the value 2.5, which does not fit int32"],
        ),
        (drawing("numbers % 3"), ["gives 2 conditions, but 'drawn_conditions' has 1"]),
        (drawing("{'class': numbers, 'vector': np.zeros((len(numbers), 5))}"), ["gives 2 conditions, but 'drawn_"]),
        (
            drawing("(np.arange(3), np.zeros((3, 5)))"),
            ["entry 0 of 'drawn_conditions' must have the shape (4,), but it has (3,)"],
        ),
        (
            drawing("(numbers % 3, np.zeros((len(numbers), 4)))"),
            ["entry 1 of 'drawn_conditions' must have the shape (4, 5), but it has (4, 4)"],
        ),
        (
            drawing("(numbers + 0.5, np.zeros((len(numbers), 5)))"),
            ["entry 0 of 'drawn_conditions' with the value 0.5, which does not fit int32"],
        ),
        (
            drawing("(numbers, np.full((len(numbers), 5), np.nan))"),
            ["entry 1 of 'drawn_conditions' with the value nan, which does not fit float32"],
        ),
        (drawing("(numbers.astype(str), np.zeros((len(numbers), 5)))"), ["entry 0 of 'drawn_conditions' of <U"]),
        (drawing("numbers.nothing"), ["fails to give 'drawn_conditions' of 4 samples: AttributeError: "]),
        (
            {"data": {"name": "fields.py:Fields", "bad": "number"}},
            ["gives 0 conditions with sample", "but 1 with"],
        ),
        (
            {"data": {"name": "fields.py:Fields", "conditions": "vector", "bad": "shape"}},
            ["'data' gives condition 0 of sample number", "of shape (5,), but number", "of (3,)"],
        ),
        ({"data": {"name": "fields.py:Fields", "bad": "grows"}}, ["of shape (2, 4, 3), but number", "of (2, 4, 4)"]),
        (
            {"data": {"name": "fields.py:Fields", "conditions": "class"}},
            ["condition 0 of 'data' is an integer, which cannot be left out as zero"],
        ),
        ({"data": {"name": "fields.py:Fields", "count": 8}}, ["'training.batch_size' is 8, but there are 7 training"]),
        ({"scheduler": {"name": "EDMEulerScheduler"}}, ["'scheduler' does not suit a run of the kind 'diffusion'"]),
        (
            {"metrics": [{"name": "fields.py:Empty"}]},
            ["'metrics[0].name' must name", "the method '__call__'"],
        ),
        ({"metrics": [{"name": "Spectra"}]}, ["unknown figure of merit 'Spectra' at 'metrics[0].name'; did you mean"]),
        ({"metrics": {"neighbours": 3}}, ["unknown key 'metrics.neighbours'; Moments takes no arguments"]),
        ({"noise": {"name": "fields.py:Empty"}}, ["'noise.name' must name a class with the method 'draw'"]),
        (
            {"sampling": {"guidance_scale": 2.0}},
            ["'sampling.guidance_scale' is 2.0, but the data give no condition to guide by"],
        ),
    ],
)
def test_a_mistake_is_told_with_its_key_and_line_before_anything_is_compiled(folder, tmp_path, capsys, values, parts):
    path = write(folder, tmp_path / "out", **values)
    assert main(["train", "--config", str(path)]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mindscience_diffuser: error")]
    for part in (f"{path}, line ", *parts):
        assert part in said
    assert not (tmp_path / "out").exists()


def test_solvers_train_under_their_own_process_and_models_return_plain_tensors(folder, tmp_path):
    scheduler = {"name": "EulerDiscreteScheduler", "beta_end": 0.03}
    config = load_config(write(folder, tmp_path, scheduler=scheduler, model={"name": "net.py:Dictionary"}))
    objective = kind_of(config).objective(config)
    batch = objective.batches.batch(0)
    loss, of_samples = objective.loss(*(ms.Tensor(values) for values in batch))
    assert np.isfinite(loss.asnumpy()) and of_samples.shape == (8,)
    assert build_scheduler(config).betas[-1] == pytest.approx(0.03)


def test_shipped_readers_and_data_sets_of_mindspore_are_data_too(folder, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"samples": rng.standard_normal((30, 2, 4)).astype(np.float32), "labels": np.arange(30) % 3}
    np.savez(tmp_path / "arrays.npz", **arrays)
    (folder / "pipeline.py").write_text(
        "import mindspore.dataset as ds\nimport numpy as np\n\ndef pipeline(path):\n"
        "    with np.load(path) as arrays:\n"
        "        return ds.NumpySlicesDataset(dict(arrays), shuffle=False)\n",
        encoding="utf-8",
    )
    path = str(tmp_path / "arrays.npz")
    for values in (
        {"name": "Arrays", "path": path, "samples": "samples", "conditions": ["labels"]},
        {"name": "pipeline.py:pipeline", "path": path},
    ):
        data = build_data(load_config(write(folder, tmp_path, data=values)))
        assert (len(data.train), len(data.test)) == (27, 3)
        samples, labels = data.batch(range(27))
        for sample, label in zip(samples, labels):
            (place,) = np.flatnonzero((arrays["samples"] == sample).all((1, 2)))
            assert label == place % 3 and label.dtype == np.int32
