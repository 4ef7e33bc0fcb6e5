"""What a user assigns to an object of the package after it was built takes effect, or is refused."""

import copy
import functools
import importlib
import inspect
import pickle
import warnings
from collections.abc import Mapping

import numpy as np
import pytest
from all_schedulers import CLASSES
from mindspore import Tensor, nn

import mindscience_diffuser as md
from mindscience_diffuser import guidance, models, training
from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.schedulers.learned.learned import save_learned
from mindscience_diffuser.settings import Settings

PLACES = ("", ".guidance", ".models", ".noise", ".sampling", ".schedulers", ".training")
BASES = ("DiffusionScheduler", "Scheduler", "TokenScheduler")


class Model(nn.Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4, 4)

    def construct(self, x, timestep, *conditions):
        return 0.3 * self.dense(x)


class Plain(nn.Cell):
    """A model of no primitives, which do not pickle."""

    def construct(self, x, timestep, *conditions):
        return 0.3 * x


def public_classes():
    """Returns all classes among the public names, by their names."""
    modules = [importlib.import_module(f"mindscience_diffuser{place}") for place in PLACES]
    found = {name: getattr(module, name) for module in modules for name in module.__all__}
    return {name: kind for name, kind in found.items() if isinstance(kind, type)}


CELLS = {n: k for n, k in public_classes().items() if issubclass(k, PublicCell) and n not in BASES}


def scheduled(kind=md.DDIMScheduler, **options):
    scheduler = kind(**options)
    scheduler.set_timesteps(2)
    return scheduler


def unet():
    return md.UNet(1, 1, hidden_channels=4, multipliers=(1,), blocks=1)


def posterior(model=None):
    stochastic = scheduled(md.DPMSolverMultistepScheduler, algorithm_type="sde-dpmsolver++")
    return md.PosteriorGuidance(model or Model(), stochastic, md.Coarsen(2), 0.1)


def distillation():
    scheduler = md.LCMScheduler()
    return md.ConsistencyDistillation(Model(), Model(), Model(), scheduler, Tensor(np.zeros(3, np.float32)))


def learned(folder):
    solver = scheduled()
    save_learned(folder, solver, solver.plan_for(), solver.init_noise_sigma)
    return md.LearnedScheduler(folder)


TOKENS = {
    kind: functools.partial(getattr(models, kind), 4, 4, 3, 8, 1, 2)
    for kind in ("ConditionDiffusionTransformer", "FlowMapTransformer", "GuidanceDiffusionTransformer")
}
NONE = np.zeros((3, 4, 4), np.float32)
BUILT = {
    **TOKENS,
    "DiffusionTransformer": lambda: md.DiffusionTransformer(4, 4, 8, 1, 2),
    "PositionalTransformer": lambda: md.PositionalTransformer(4, 4, 8, 1, 2),
    "PositionalConditionTransformer": lambda: md.PositionalConditionTransformer(4, 4, 3, 8, 1, 2),
    "PatchDiffusionTransformer": lambda: md.PatchDiffusionTransformer(1, 1, 4, 16, 1, 2),
    "FrameOperator": lambda: models.FrameOperator(2, 5, 8, 4, 1, 3),
    "FrameTransformer": lambda: models.FrameTransformer(2, 5, 8, 16, 1, 2, patch=4),
    "ResidualDenoiser": lambda: models.ResidualDenoiser(Model(), md.EDMPreconditioning()),
    "UNet": unet,
    "Stage": lambda: md.Stage(Model()),
    "AutoGuidance": lambda: md.AutoGuidance(Model(), unet(), 2.0),
    "AmusedScheduler": lambda: md.AmusedScheduler(5),
    "VQDiffusionScheduler": lambda: md.VQDiffusionScheduler(5),
    "Blur": lambda: md.Blur(1.0, (4, 4)),
    "Coarsen": lambda: md.Coarsen(2),
    "DistilledGuidance": lambda: md.DistilledGuidance(Model(), 2.0),
    "Fourier": lambda: md.Fourier(np.ones((4, 4))),
    "GridPolicy": lambda: md.GridPolicy(Model()),
    "Mask": lambda: md.Mask([1, 0]),
    "PatchedModel": lambda: md.PatchedModel(Model(), (4, 4), 1, 2),
    "PosteriorGuidance": posterior,
    "PriorCovariance": lambda: guidance.PriorCovariance(1.0),
    "Stack": lambda: md.Stack([md.Coarsen(2)], (3, 4, 4)),
    "DiffusionSampler": lambda: md.DiffusionSampler(Model(), md.DiffusionSamplerConfig(num_steps_denoising=2)),
    "PyramidSampler": lambda: md.PyramidSampler(Model(), md.PyramidFlowMatchEulerDiscreteScheduler(), 2),
    "ResidualSampler": lambda: md.ResidualSampler(md.Sampler(Model(), scheduled()), Model()),
    "Sampler": lambda: md.Sampler(Model(), scheduled()),
    "TwistedSampler": lambda: md.TwistedSampler(posterior(), 2),
    "ConsistencyDistillation": distillation,
    "ConsistencyTuningTrainer": lambda: md.ConsistencyTuningTrainer(Model(), md.CMStochasticIterativeScheduler()),
    "DiffusionTrainer": lambda: md.DiffusionTrainer(Model(), scheduled()),
    "EDMTrainer": lambda: md.EDMTrainer(Model()),
    "ExponentialMovingAverage": lambda: training.ExponentialMovingAverage(Model().trainable_params()),
    "FlowMatchingTrainer": lambda: md.FlowMatchingTrainer(Model()),
    "MeanFlowTrainer": lambda: md.MeanFlowTrainer(Model()),
    "PyramidFlowTrainer": lambda: md.PyramidFlowTrainer(Model(), md.PyramidFlowMatchEulerDiscreteScheduler()),
}


@pytest.fixture(scope="module")
def cell_of(tmp_path_factory):
    """How a cell of a public class is built: guidance beside its "no condition", and what has no entry by itself."""

    @functools.cache
    def build(name):
        if name == "LearnedScheduler":
            return learned(tmp_path_factory.mktemp("plan"))
        if name in BUILT:
            return BUILT[name]()
        kind = CELLS[name]
        return kind(Model(), 2.0, Tensor(NONE)) if "unconditional" in arguments_of(kind) else kind()

    return build


def arguments_of(kind):
    """Returns the names of the named arguments of a constructor."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


@pytest.mark.every_case
@pytest.mark.parametrize("name", CELLS)
def test_each_argument_of_a_public_cell_is_refused_when_it_is_assigned_what_it_cannot_be(name, cell_of):
    cell = cell_of(name)
    for argument in arguments_of(CELLS[name]):
        before = vars(cell).get(argument)
        with pytest.raises((AttributeError, TypeError, ValueError), match=f"'{argument}'"):
            setattr(cell, argument, object())
        assert vars(cell).get(argument) is before


def test_a_scheduler_and_its_options_are_as_they_were_built():
    scheduler = scheduled(md.DPMSolverMultistepScheduler)
    sampler = md.Sampler(Model(), scheduled())
    settings = (scheduler, "use_karras_sigmas"), (scheduler, "solver_order"), (scheduler, "eta"), (sampler, "eta")
    for cell, name in settings:
        with pytest.raises(AttributeError, match=f"'{name}' of {type(cell).__name__}.*build a new"):
            setattr(cell, name, 1)


def tables():
    """Returns cells with the names of Parameters that the package alone writes."""
    return [
        *((md.Sampler(Model(), scheduled()), name) for name in ("rows", "timesteps", "count")),
        *((posterior(), name) for name in ("table", "timesteps")),
        (BUILT["PyramidFlowTrainer"](), "timesteps"),
        (md.AmusedScheduler(5), "rows"),
    ]


@pytest.mark.parametrize(
    "cell, name", tables(), ids=lambda value: value if isinstance(value, str) else type(value).__name__
)
def test_tables_that_only_the_package_writes_are_refused(cell, name):
    before = getattr(cell, name).asnumpy()
    with pytest.raises(AttributeError, match=f"'{name}' of {type(cell).__name__} is a table"):
        setattr(cell, name, getattr(cell, name) * 0)
    assert np.array_equal(getattr(cell, name).asnumpy(), before)


def arrays_in(value, name):
    """Yields the arrays of a value, also inside tuples and mappings, and what to call them."""
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from arrays_in(part, f"{name}.{key}")
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from arrays_in(part, f"{name}[{i}]")


def public_arrays(cell):
    plan = getattr(cell, "plan", None)
    held = {name: value for name, value in vars(cell).items() if not name.startswith("_")}
    return {
        **dict(arrays_in(held, type(cell).__name__)),
        **(dict(arrays_in(vars(plan), "plan")) if plan is not None else {}),
    }


def chosen(kind, count, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = kind(*arguments)
        scheduler.set_timesteps(count, **options)
    return scheduler


WITH_ARRAYS = {
    **{name: functools.partial(chosen, kind, 2) for name, kind in CLASSES.items()},
    "PyramidFlowMatchEulerDiscreteScheduler": lambda: chosen(
        md.PyramidFlowMatchEulerDiscreteScheduler, 2, stage_index=1
    ),
    **{kind.__name__: functools.partial(chosen, kind, 2, 5) for kind in (md.AmusedScheduler, md.VQDiffusionScheduler)},
    "Sampler": BUILT["Sampler"],
    "DiffusionSampler": BUILT["DiffusionSampler"],
    "ConsistencyDistillation": distillation,
}


@pytest.mark.parametrize("name", WITH_ARRAYS)
def test_arrays_of_public_cells_cannot_be_written_into_in_copies_too(name):
    cell = WITH_ARRAYS[name]()
    copies = (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))) if name in CLASSES else ()
    for each in (cell, *copies):
        arrays = public_arrays(each)
        assert arrays.keys() == public_arrays(cell).keys() and arrays
        for place, array in arrays.items():
            with pytest.raises(ValueError, match="read-only"):
                array[...] = array
                pytest.fail(f"{place} was written into.")


def test_options_and_sums_of_a_plan_cannot_be_set():
    sampler = md.Sampler(Model(), scheduled(), "step", eta=0.5)
    for again in (sampler.step_options, copy.deepcopy(sampler.plan).states, sampler.plan.states["sample"]):
        name = next(iter(again))
        with pytest.raises(TypeError, match=f"'{name}' cannot be set here"):
            again[name] = 0.0
    assert dict(sampler.step_options) == {"eta": 0.5}


def test_arrays_of_a_user_stay_writable():
    class Mine(md.EulerDiscreteScheduler):
        def __init__(self):
            super().__init__()
            self.mine = np.zeros(2)

    cell, given = Mine(), np.array([3.0, 1.0])
    cell.mine[0] = 1
    cell.set_timesteps(sigmas=given)
    given[0] = 2
    assert cell.sigmas[0] == 3


GUIDED = "ClassifierFreeGuidance"
WRONG = [
    ("DiffusionTrainer", "loss_weights", [np.ones(3), np.full(1000, np.nan), -np.ones(1000), "no"], np.zeros(1000)),
    ("ExponentialMovingAverage", "updates", [[1, 2], -1, np.nan, "no"], 7),
    (GUIDED, "unconditional_0", [NONE * np.nan, "no"], NONE + 2),
    ("ConsistencyDistillation", "unconditional", [np.full(3, np.nan), "no"], np.ones(3)),
    ("Mask", "mask", [[0.5, 1], [1, 0, 1], [np.nan, 1], "no"], [0, 1]),
    ("Fourier", "mask", [np.full((4, 4), 0.5), np.ones((2, 2)), np.full((4, 4), np.nan), "no"], np.eye(4)),
    ("FrameTransformer", "positions", [np.ones(3), "no"], None),
]


@pytest.mark.parametrize("name, parameter, wrong, right", WRONG, ids=[case[0] for case in WRONG])
def test_a_parameter_that_is_set_is_checked_as_the_constructor_checks_it(name, parameter, wrong, right, cell_of):
    cell = cell_of(name)
    before = getattr(cell, parameter).asnumpy()
    for value in wrong:
        with pytest.raises((TypeError, ValueError), match=f"'{parameter}' must"):
            setattr(cell, parameter, value)
    assert np.array_equal(getattr(cell, parameter).asnumpy(), before)
    right = before + 1 if right is None else right
    setattr(cell, parameter, right)
    assert np.array_equal(getattr(cell, parameter).asnumpy(), np.asarray(right, np.float32))


SETTINGS = {
    "CentredNoise": lambda: md.CentredNoise([1, 0]),
    "EDMPreconditioning": md.EDMPreconditioning,
    "FrameSchedule": lambda: md.FrameSchedule(3),
    "GaussianFieldNoise": md.GaussianFieldNoise,
    "RigidMotion": md.RigidMotion,
    "SphericalNoise": lambda: md.SphericalNoise([-45, 45], [0, 90, 180, 270]),
    "StudentTNoise": lambda: md.StudentTNoise(3.0),
}


def test_all_public_settings_are_known_here():
    public = {name for name, kind in public_classes().items() if issubclass(kind, Settings)}
    assert public - {"NoiseLaw", "WhiteNoise"} == set(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_stay_as_they_were_built_in_copies_too(name):
    if name == "SphericalNoise":
        pytest.importorskip("ducc0")
    built = SETTINGS[name]()
    for settings in (built, copy.deepcopy(built), pickle.loads(pickle.dumps(built))):
        held = dict(vars(settings))
        assert held.keys() == vars(built).keys()
        for attribute in held:
            with pytest.raises(AttributeError, match=f"'{attribute}' of {name} .* Build a new {name}"):
                setattr(settings, attribute, held[attribute])
        assert all(vars(settings)[attribute] is value for attribute, value in held.items())


def test_an_interval_of_levels_can_be_set_where_one_was_given():
    for given in ((0.1, 1.0), None):
        guided = md.ClassifierFreeGuidance(Model(), 2.0, Tensor(NONE), sigma_interval=given)
        if given is None:
            with pytest.raises(AttributeError, match="'sigma_interval' of ClassifierFreeGuidance.*build a new"):
                guided.sigma_interval = (0.2, 0.5)
        else:
            guided.sigma_interval = (0.2, 0.5)
            assert np.allclose(guided.sigma_interval.asnumpy(), (0.2, 0.5))


@pytest.mark.parametrize("name", ["Blur", "Fourier", "PosteriorGuidance", "PriorCovariance", "TwistedSampler"])
def test_cells_with_primitives_can_be_copied_and_pickled(name):
    if name in ("PosteriorGuidance", "TwistedSampler"):
        guided = posterior(Plain())
        cell = guided if name == "PosteriorGuidance" else md.TwistedSampler(guided, 2)
    else:
        cell = BUILT[name]()
    for again in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert type(again) is type(cell)
        assert again._locked == cell._locked


class Counted(md.StudentTNoise):
    """A law of a user that counts its draws."""

    def __init__(self, nu):
        super().__init__(nu)
        self.drawn = 0


def test_a_law_of_a_user_keeps_what_it_likes():
    law = Counted(3.0)
    law.drawn = 5
    assert law.drawn == 5
    with pytest.raises(AttributeError, match="'nu' of Counted"):
        law.nu = 4.0


class Named(md.Sampler):
    """A class of a user that keeps under the name of an argument what it was given, and has an argument of its own."""

    def __init__(self, model, scheduler, mine):
        super().__init__(model, scheduler)
        self.model = model
        self.mine = mine


def test_the_constructor_of_a_user_sets_what_it_likes_and_its_own_arguments_are_free():
    model = Model()
    cell = Named(model, scheduled(), 3)
    assert cell.model is model
    cell.mine = 4
    assert cell.mine == 4
    for name in ("model", "inpaint", "noise_law", "eta"):
        with pytest.raises(AttributeError, match=f"'{name}' of Named"):
            setattr(cell, name, 1)
