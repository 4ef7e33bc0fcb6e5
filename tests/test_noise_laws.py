"""Laws of noise: their moments against the closed forms, and one object for start, steps, training and YAML."""

import copy
import pickle

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from scipy.special import eval_legendre

from mindscience_diffuser import (
    AlphaFold3Scheduler,
    CentredNoise,
    DDPMPipeline,
    DDPMScheduler,
    DiffusionTrainer,
    DiffusionTransformer,
    EDMEulerScheduler,
    EDMHeunScheduler,
    EDMPreconditioning,
    EDMTrainer,
    GaussianFieldNoise,
    NoiseSource,
    Sampler,
    SphericalNoise,
    StudentTNoise,
    WhiteNoise,
)

DRAWS = 100_000


def close(found, expected, deviation, sigmas=5.0):
    """Asserts that estimates lie within some of their standard deviations of what is expected."""
    assert np.all(np.abs(np.asarray(found) - expected) < sigmas * deviation)


def check_moments(values, covariance):
    """Asserts that draws ``(N, points)`` have mean 0 and a covariance, within the error of sampling."""
    count, variance = len(values), np.diag(covariance)
    close(values.mean(0), 0, np.sqrt(variance / count) + 1e-12)
    spread = np.sqrt((covariance**2 + np.outer(variance, variance)) / count) + 1e-12
    close(values.T @ values / count, covariance, spread, sigmas=6.0)


def power(k, alpha, tau):
    return (k**2 + tau**2) ** -alpha


@pytest.mark.parametrize(
    ("grid", "options"),
    [
        ((12,), {"alpha": 2.0, "tau": 1.0}),
        ((9,), {"spectrum": [0.0, 2.0, 1.0, 0.5, 0.1]}),
        ((4, 6), {"alpha": 1.5, "tau": 0.5}),
        ((2, 3, 4), {"alpha": 1.0, "tau": 2.0}),
    ],
)
def test_periodic_fields_have_their_spectrum(grid, options):
    law = GaussianFieldNoise(**options)
    values = law.draw((DRAWS, 1, *grid), np.random.default_rng(0)).reshape(DRAWS, -1).astype(np.float64)
    k = np.sqrt(sum(a**2 for a in np.meshgrid(*[np.fft.fftfreq(n) * max(grid) for n in grid], indexing="ij")))
    spectrum = options.get("spectrum")
    shape = np.interp(k, np.arange(len(spectrum)), spectrum) if spectrum else power(k, options["alpha"], options["tau"])
    # The covariance of a periodic field is circulant: the transform of the power.
    correlation = np.fft.ifftn(shape / shape.mean()).real
    places = np.stack(np.unravel_index(np.arange(k.size), grid))
    apart = (places[:, :, None] - places[:, None, :]) % np.reshape(grid, (-1, 1, 1))
    check_moments(values, correlation[tuple(apart)])
    found = np.abs(np.fft.fftn(values.reshape(-1, *grid), axes=range(1, len(grid) + 1), norm="ortho")) ** 2
    # The power of a wave is exponentially distributed, or chi-squared where the wave is real.
    close(found.mean(0), shape / shape.mean(), np.sqrt(2 / DRAWS) * shape / shape.mean() + 1e-12)


def test_a_field_that_is_not_periodic_does_not_join_its_ends():
    values = (
        GaussianFieldNoise(2.0, 1.0, periodic=False)
        .draw((DRAWS, 1, 8), np.random.default_rng(0))[:, 0]
        .astype(np.float64)
    )
    k = np.fft.fftfreq(16) * 8
    correlation = np.fft.ifft(power(k, 2.0, 1.0) / power(k, 2.0, 1.0).mean()).real
    check_moments(values, correlation[np.abs(np.subtract.outer(np.arange(8), np.arange(8)))])
    assert correlation[7] < 0.2 * correlation[1]


@pytest.mark.parametrize("spectrum", [None, [0.0, 1.0, 0.5, 0.25, 0.1]])
def test_spherical_noise_is_isotropic_with_its_spectrum(spectrum):
    latitudes, longitudes = np.linspace(90, -90, 6), 5 + np.arange(10) * 36.0
    law = SphericalNoise(latitudes, longitudes, spectrum)
    values = law.draw((20_000, 5, 6, 10), np.random.default_rng(0)).reshape(DRAWS, -1).astype(np.float64)
    polar, around = np.deg2rad(90 - latitudes)[:, None], np.deg2rad(longitudes)
    points = np.stack(
        np.broadcast_arrays(np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)), -1
    ).reshape(-1, 3)
    cosine = np.clip(points @ points.T, -1, 1)
    share = np.ones(5) / 5 if spectrum is None else np.divide(spectrum, np.sum(spectrum))
    check_moments(values, sum(c * eval_legendre(degree, cosine) for degree, c in enumerate(share)))


def test_centred_noise_has_the_covariance_of_the_subspace():
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 1]])
    values = CentredNoise(mask).draw((2, 4, DRAWS), 0).astype(np.float64)
    for each, known in zip(values, mask):
        check_moments(each.T, np.diag(known) - np.outer(known, known) / known.sum())
    assert np.abs(values.sum(1)).max() < 1e-5


@pytest.mark.parametrize("nu", [6.0, 12.5])
def test_student_t_has_heavy_tails(nu):
    values = StudentTNoise(nu).draw((DRAWS, 2), np.random.default_rng(0)).astype(np.float64)
    law = StudentTNoise(nu)
    assert law.variance == nu / (nu - 2)
    # One chi2 a sample: the squares of its values go together.
    squares = values**2
    fourth = law.variance**2 * (nu - 2) / (nu - 4)
    assert np.isclose(values.var(), law.variance, rtol=0.03)
    assert np.isclose((squares[:, 0] * squares[:, 1]).mean(), fourth, rtol=0.15)
    if nu > 10:
        assert np.isclose((values**4).mean() / law.variance**2, 3 * (nu - 2) / (nu - 4), rtol=0.1)
    assert np.isclose(np.corrcoef(values.T)[0, 1], 0, atol=0.02)


EXTREME = {
    **{
        f"alpha {alpha:g}, tau {tau:g}": (GaussianFieldNoise(alpha, tau), (2, 1, 16))
        for alpha in (60.0, 1e3, 1e300)
        for tau in (0.0, 1e-9, 0.01, 1e300)
    },
    "least spectrum": (GaussianFieldNoise(spectrum=[0, 5e-324, 5e-324]), (2, 1, 4)),
    "largest spectrum": (GaussianFieldNoise(spectrum=[0, 1e308, 1e308]), (2, 1, 4)),
    "largest spectrum of a sphere": (SphericalNoise([-45, 45], [0, 90, 180, 270], [1e308, 1e308]), (2, 2, 4)),
}


@pytest.mark.parametrize(("law", "shape"), EXTREME.values(), ids=EXTREME)
def test_powers_of_any_size_give_fields_of_variance_one(law, shape):
    values = law.draw((4000, *shape[1:]), 0)
    assert np.isfinite(values).all()
    assert np.isclose(values.var(), 1, atol=0.1)


LAWS = {
    "white": (WhiteNoise(), (4, 6, 3)),
    "field": (GaussianFieldNoise(), (4, 2, 8)),
    "cut field": (GaussianFieldNoise(periodic=False), (4, 2, 8)),
    "sphere": (SphericalNoise(np.linspace(-90, 90, 5), np.arange(8) * 45.0), (4, 2, 5, 8)),
    "centred": (CentredNoise(), (4, 6, 3)),
    "student": (StudentTNoise(5), (4, 6, 3)),
}


@pytest.mark.parametrize("name", LAWS)
def test_noise_of_a_sample_does_not_depend_on_the_batch(name):
    law, shape = LAWS[name]
    source = law.source(NoiseSource(7, 4))
    together = [source.standard_normal(shape) for _ in range(2)]
    source = law.source(NoiseSource(7, [2]))
    alone = [source.standard_normal((1, *shape[1:])) for _ in range(2)]
    assert together[0].dtype == np.float32 and not np.array_equal(*together)
    for whole, part in zip(together, alone):
        np.testing.assert_allclose(whole[2:3], part, atol=1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_laws_can_be_copied_and_pickled(name):
    law, shape = LAWS[name]
    for copied in (copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        np.testing.assert_array_equal(copied.draw(shape, 3), law.draw(shape, 3))


class Halved(nn.Cell):
    """A denoiser that keeps the centre."""

    def construct(self, x, sigma):
        return 0.5 * x


@pytest.mark.parametrize("method", ["step", "loop", "unrolled"])
def test_the_centre_stays_at_zero_in_every_step(method):
    law = CentredNoise()
    scheduler = AlphaFold3Scheduler(sigma_max=80.0)
    scheduler.set_timesteps(8)
    sampler = Sampler(Halved(), scheduler, method, method != "loop", noise_law=law)
    noise = sampler.initial_noise((2, 5, 3), 3)
    assert np.isclose(noise.asnumpy().std(), scheduler.init_noise_sigma * np.sqrt(0.8), rtol=0.5)
    found = sampler(noise, generator=3)
    for samples in found if method != "loop" else [found]:
        values = samples.asnumpy()
        assert np.abs(values.mean(-2)).max() <= 1e-6 * max(np.abs(values).max(), 1)
    plain = Sampler(Halved(), scheduler, "step")(noise, generator=3).asnumpy()
    assert np.abs(plain.mean(1)).max() > 1e-4


def test_pipeline_draws_start_and_steps_by_the_law():
    model = DiffusionTransformer(3, 3, 8, 1, 1)
    law = CentredNoise()
    pipeline = DDPMPipeline(model, DDPMScheduler(clip_sample=False), 2, 6, 3, noise_law=law)
    plain = DDPMPipeline(model, DDPMScheduler(clip_sample=False), 2, 6, 3)
    one, other = (p(seed=1, progress=False).asnumpy() for p in (pipeline, plain))
    assert not np.allclose(one, other)
    pipeline.noise_law = WhiteNoise()
    np.testing.assert_array_equal(pipeline(seed=1, progress=False).asnumpy(), other)


def test_student_t_changes_preconditioning_weights_and_loss():
    law = StudentTNoise(4)
    sigma = np.array([0.3, 2.0])
    student = EDMPreconditioning(0.5, noise_variance=law.variance).scalings(sigma)
    gaussian = EDMPreconditioning(0.5).scalings(sigma * np.sqrt(2))
    np.testing.assert_allclose(student, gaussian)
    scheduler = EDMHeunScheduler(noise_variance=2.0)
    scheduler.set_timesteps(4)
    np.testing.assert_allclose(scheduler.timesteps[0], np.log(80 * np.sqrt(2)) / 4, rtol=1e-6)

    class Zero(nn.Cell):
        def construct(self, x, noise_level):
            return 0 * x

    # With the right variance the target of the network has unit variance at every level: a network of 0 has the loss 1.
    trainer = EDMTrainer(Zero(), EDMPreconditioning(0.5, noise_variance=law.variance), noise_law=law)
    clean = 0.5 * NoiseSource(1, 4000).standard_normal((4000, 4))
    for level in (0.05, 0.5, 5.0):
        sigmas = np.full(4000, level, np.float32)
        noise = trainer.draw_noise(sigmas, clean.shape, 0)
        loss = float(trainer.get_loss(Tensor(clean), Tensor(noise), Tensor(sigmas)).asnumpy())
        assert np.isclose(loss, 1, atol=0.25)
    plain = DiffusionTrainer(Zero(), DDPMScheduler(), min_snr_gamma=5.0)
    heavy = DiffusionTrainer(Zero(), DDPMScheduler(), min_snr_gamma=5.0, noise_law=law)
    snr = np.cumprod(1 - plain.scheduler.betas)
    snr = snr / (1 - snr)
    ratio = (np.minimum(snr / 2, 5) / (snr / 2)) / (np.minimum(snr, 5) / snr)
    np.testing.assert_allclose(heavy.loss_weights.asnumpy() / plain.loss_weights.asnumpy(), ratio, rtol=1e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GaussianFieldNoise(alpha=-1.0), r"'alpha' must be in \[0, inf\), but is -1.0"),
        (lambda: GaussianFieldNoise(spectrum=[0, 0]), "'spectrum' must hold numbers of at least 0, some of them above"),
        (
            lambda: GaussianFieldNoise(spectrum=[1.0, 1.0]).draw((1, 1, 8)),
            "'spectrum' must have 5 numbers .* but has 2",
        ),
        (lambda: GaussianFieldNoise().draw((4, 8)), r"'shape' must be \(B, C, \*grid\)"),
        (lambda: SphericalNoise([0, 10], [0, 10]), "'longitudes' must ascend in equal steps all around"),
        (lambda: SphericalNoise([0, 100], [0, 180]), "'latitudes' must be at least two degrees from -90 to 90"),
        (
            lambda: SphericalNoise([-60, 0, 60], np.arange(6) * 60.0, [1.0]),
            "'spectrum' must have 3 numbers .* but has 1",
        ),
        (lambda: SphericalNoise([-60, 0, 60], np.arange(6) * 60.0).draw((1, 3, 5)), r"must end with the grid \(3, 6\)"),
        (lambda: CentredNoise([[1, 1], [0, 0]]), "'mask' leaves sample 1 without any particle"),
        (lambda: CentredNoise([[1, 2]]), r"'mask' must be \(N,\) or \(B, N\) of 0 and 1"),
        (lambda: CentredNoise([1, 1, 1]).draw((2, 4, 3)), "'mask' is for 1 samples of 3 particles"),
        (lambda: StudentTNoise(2.0), r"'nu' must be in \(2, inf\), but is 2.0"),
        (lambda: Sampler(Halved(), set_steps(), noise_law=StudentTNoise(4)), "counts on 1: give noise_variance=2"),
        (lambda: EDMTrainer(Halved(), noise_law=StudentTNoise(4)), "counts on 1: give noise_variance=2"),
        (lambda: Sampler(Halved(), set_steps(), noise_law="white"), "'noise_law' must be a law of noise"),
    ],
)
def test_mistakes_are_named(build, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build()


def set_steps():
    scheduler = EDMEulerScheduler()
    scheduler.set_timesteps(2)
    return scheduler


def test_laws_have_registered_names():
    from mindscience_diffuser.runs.config.registry import registered

    assert {type(law).__name__ for law, _ in LAWS.values()} <= set(registered("noise"))


def test_a_seed_gives_the_same_in_both_modes():
    law, shape = LAWS["field"]
    scheduler = EDMHeunScheduler(prediction_type="sample", s_churn=5.0)
    scheduler.set_timesteps(3)
    found = []
    for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
        ms.set_context(mode=mode)
        sampler = Sampler(Halved(), scheduler, "step", noise_law=law)
        found.append(sampler(sampler.initial_noise(shape, 5), generator=5).asnumpy())
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5)
