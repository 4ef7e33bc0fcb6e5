"""Temperatures from stations: what is measured, optimal interpolation, and guidance by the stations."""

import numpy as np
import pytest
from mindspore import Tensor

from mindscience_diffuser import EDMDPMSolverMultistepScheduler, Sampler
from mindscience_diffuser.runs.evaluation.optimal_interpolation import gaussian_update

pytest.importorskip("iris_sample_data")
from mindscience_diffuser.examples.north_america.stations import (
    ComponentNetwork,
    NorthAmericaStations,
    StationGuidance,
)


@pytest.fixture(scope="module")
def data():
    return NorthAmericaStations("test")


def test_every_fourth_decade_is_held_out_and_measured_at_the_stations(data):
    assert len(data.truth["test"]) + len(data.truth["train"]) == 340
    assert set((data.years["test"] - 1860) // 10 % 4) == {3}
    assert not set(data.years["test"]) & set(data.years["train"])
    assert data.stations.sum() == 40 and np.isnan(data.measured[:, ~data.stations]).all()
    error = (data.measured - data.truth["test"])[:, data.stations]
    assert np.isclose(error.std(), 0.2, rtol=0.03)
    (y,) = data.drawn_conditions([0, 91])
    np.testing.assert_allclose(y[1], (data.measured[1] - data.mean)[data.stations], rtol=1e-5)


def test_components_are_uncorrelated_with_variance_one_and_give_the_fields_back():
    data = NorthAmericaStations("train")
    samples = np.stack([data[k] for k in range(len(data))])
    np.testing.assert_allclose(samples.T @ samples / (len(data) - 1), np.eye(249), atol=1e-3)
    fields = data.arrays(samples, (), range(len(data)))["samples"][:, 0]
    np.testing.assert_allclose(fields, data.truth["train"], atol=2e-3)
    fewer = NorthAmericaStations("train", components=20)
    assert 0.5 < np.var(fewer.arrays(samples[:, :20], (), range(len(data)))["samples"]) / fields.var() < 1


def test_optimal_interpolation_knows_its_error_and_beats_the_mean(data):
    means, deviations = data.interpolated()
    error = means - data.truth["test"]
    assert np.sqrt((error**2).mean()) < 0.4 * (data.truth["test"] - data.mean).std()
    assert 0.8 < np.sqrt((deviations**2).mean() / (error**2).mean()) < 1.25
    assert deviations[data.stations].max() < data.noise_std


def test_an_update_of_several_fields_is_that_of_each():
    generator = np.random.default_rng(0)
    root = generator.standard_normal((4, 4))
    y = generator.standard_normal((3, 4))
    y[:, 1] = np.nan
    together, left = gaussian_update(np.ones(4), root @ root.T, y, 0.1)
    for each, row in zip(together, y):
        mean, covariance = gaussian_update(np.ones(4), root @ root.T, row, 0.1)
        np.testing.assert_allclose(each, mean)
        np.testing.assert_allclose(left, covariance)


def test_untrained_network_gives_optimal_interpolation(data):
    scheduler = EDMDPMSolverMultistepScheduler(
        sigma_data=1.0, sigma_min=0.01, sigma_max=100.0, sigma_schedule="exponential"
    )
    scheduler.set_timesteps(30)
    guidance = StationGuidance(ComponentNetwork(249, 8), scheduler, data)
    members = 400
    y = Tensor(np.repeat(data.drawn_conditions([7])[0], members, axis=0))
    noise = np.random.default_rng(0).standard_normal((members, 249)).astype(np.float32)
    drawn = Sampler(guidance, scheduler)(Tensor(noise * np.float32(scheduler.init_noise_sigma)), y).asnumpy()
    fields = data.arrays(drawn, (), range(members))["samples"][:, 0]
    means, deviations = data.interpolated()
    # A mean of 400 members has an error of a twentieth of their deviation.
    assert np.sqrt(((fields.mean(0) - means[7]) ** 2).mean()) < 0.1 * deviations.mean()
    assert np.isclose(np.sqrt(fields.var(0).mean()), np.sqrt((deviations**2).mean()), rtol=0.05)
