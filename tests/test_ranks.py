"""Two processes on CPU give what one gives, and a launch that fails says why."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

WORKER = Path(__file__).with_name("ranks_worker.py")


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def environment(**values):
    """The environment of a fresh process, with this interpreter as the ``python`` that msrun starts."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path), **values}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Results of the worker alone and on two ranks."""
    alone, two = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("two")
    launch = ["msrun", "--worker_num", "2", "--local_worker_num", "2", "--master_port", str(free_port())]
    launch += ["--log_dir", str(two / "logs"), "--join", "True", "python", str(WORKER), str(two)]
    # At the same time: much of both is waiting for processes to start and to end.
    started = [subprocess.Popen(command, env=environment()) for command in ([sys.executable, WORKER, alone], launch)]
    assert [process.wait() for process in started] == [0, 0]
    return alone, two


def test_losses_on_two_ranks_are_those_on_one(outputs):
    alone, two = (np.load(output / "train" / "trained.npz") for output in outputs)
    assert len(alone["losses"]) == 50
    assert alone["losses"][-10:].mean() < 0.9 * alone["losses"][:10].mean()
    np.testing.assert_allclose(two["losses"], alone["losses"], atol=1e-4)
    for name in alone.files:
        np.testing.assert_allclose(two[name], alone[name], atol=1e-3)


def test_samples_on_two_ranks_are_those_on_one_byte_for_byte(outputs):
    alone, two = (
        {path.name: path.read_bytes() for path in (output / "sample" / "shards").iterdir()} for output in outputs
    )
    assert len(alone) == 2 * 4
    assert two == alone


def test_figures_on_two_ranks_are_those_on_one(outputs):
    alone, two = (json.loads((output / "sample" / "metrics.json").read_text(encoding="utf-8")) for output in outputs)
    for name in ("samples", "class_accuracy", "precision", "recall"):
        assert two[name] == alone[name]
    name = "frechet_distance_of_pixels"
    assert two[name]["samples"] == pytest.approx(alone[name]["samples"], abs=1e-5)


def test_scores_of_forecasts_on_two_ranks_are_those_on_one(outputs):
    alone, two = (
        json.loads((output / "forecast" / "sample" / "metrics.json").read_text(encoding="utf-8")) for output in outputs
    )
    for name, scores in alone["scores"].items():
        for key in set(scores) - {"reliability", "members_left_out", "films_left_out"}:
            np.testing.assert_allclose(two["scores"][name][key], scores[key], rtol=1e-5, err_msg=key)
    for key in ("correlation", "spectrum_error"):
        for name, course in alone[key].items():
            np.testing.assert_allclose(two[key][name]["mean"], course["mean"], atol=1e-5)


def test_every_rank_has_the_arrays_of_all(outputs):
    for rank in (0, 1):
        np.testing.assert_array_equal(np.load(outputs[1] / f"gathered-{rank}.npy"), [[0, 1, 2], [1, 2, 3]])


def test_patches_shared_by_two_ranks_are_those_of_one_byte_for_byte(outputs):
    alone = np.load(outputs[0] / "patched-0.npy")
    assert np.abs(alone).max() > 0.1
    for rank in (0, 1):
        assert np.load(outputs[1] / f"patched-{rank}.npy").tobytes() == alone.tobytes()


def test_only_one_rank_writes_and_nothing_temporary_is_left(outputs):
    alone, two = (
        {str(path.relative_to(output)) for path in output.rglob("*") if "logs" not in path.parts} for output in outputs
    )
    assert two - {"logs"} == alone | {"gathered-1.npy", "patched-1.npy"}
    assert not [name for name in two if ".partial-" in name]


def test_a_scheduler_that_cannot_be_reached_is_one_sentence(tmp_path):
    port = str(free_port())
    cluster = {"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "2", "MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": port}
    node = {"MS_NODE_ID": "0", "RANK_ID": "0", "DEVICE_ID": "0", "MS_TOPO_TIMEOUT": "2"}
    config = WORKER.parents[1] / "configs" / "digits_ddim.yaml"
    ended = subprocess.run(
        [sys.executable, "-m", "mindscience_diffuser", "train", "--config", config, f"output={tmp_path}"],
        env=environment(**cluster, **node),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]
    assert (
        f"the 2 processes of this launch did not find each other: check that the scheduler at 127.0.0.1:{port}" in said
    )
    assert list(tmp_path.iterdir()) == []


def test_other_commands_are_not_spread(tmp_path):
    config = WORKER.parents[1] / "configs" / "digits_ddim.yaml"
    ended = subprocess.run(
        [sys.executable, "-m", "mindscience_diffuser", "export", "--config", config, f"output={tmp_path}"],
        env=environment(MS_ROLE="MS_WORKER"),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "'export' runs in one process: start it without msrun" in ended.stderr
