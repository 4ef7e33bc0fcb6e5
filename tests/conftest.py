"""What all tests share: which cases run, how garbage is collected, and the other mode of MindSpore.

A test function with many slow cases runs some of them, evenly spread; how many follows from the seconds that a case of
it takes, as scripts/measure_tests.py has written them down. Those that use a fixture which alone takes longer than any
function may do not run. With ``--thorough`` all cases run, with ``--quick`` those functions only whose cases take next
to nothing. Tests that are named by ``file::function`` run in any case, and so do all cases of a function with the mark
``every_case``, which show different things, but with ``--quick``.
"""

import gc
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import pytest

SECONDS = Path(__file__).with_name("seconds.json")
"""Seconds that a case of each test function takes on average; functions that are not in it count as free."""


class Tier(NamedTuple):
    """How long a test function may take, in seconds.

    Attributes:
        seconds (float): What each function may take.
        share (float): What it may take besides, as a share of all its cases.
        longest (float): One case at the most: functions above it do not run.
        cheap (float): A case that takes so little always runs.
    """

    seconds: float
    share: float
    longest: float
    cheap: float


USUAL, QUICK = Tier(1.0, 0.05, 2.5, 0.05), Tier(0.1, 0.0, 0.1, 0.0)
SHARED = 3
"""How many times longer than a case a fixture of a whole file may take."""


def pytest_addoption(parser):
    """Adds the two other choices of cases."""
    parser.addoption("--thorough", action="store_true", help="run all cases of all tests")
    parser.addoption("--quick", action="store_true", help="run a few cases of the tests that take next to nothing")


def pytest_configure(config):
    """Makes the mark known."""
    config.addinivalue_line("markers", "every_case: its cases show different things, so that all of them run")


@pytest.hookimpl(trylast=True)  # After -k, so that what it names is what is chosen from.
def pytest_collection_modifyitems(config, items):
    """Leaves cases out, except where all are asked for or tests are named."""
    if config.getoption("thorough") or any("::" in argument for argument in config.args):
        return
    tier = QUICK if config.getoption("quick") else USUAL
    measured = json.loads(SECONDS.read_text(encoding="utf-8"))
    functions = defaultdict(list)
    for item in items:
        functions[item.nodeid.split("[")[0]].append(item)
    kept = set()
    for name, cases in functions.items():
        whole = tier is USUAL and cases[0].get_closest_marker("every_case")
        seconds = measured.get(name, 0.0)
        for fixture in cases[0].fixturenames:
            seconds = max(seconds, measured.get(fixture_name(name, fixture), 0.0) / SHARED)
        kept.update(cases if whole else chosen(cases, seconds, tier))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def fixture_name(test, fixture):
    """Returns the name in the table of a fixture of a file, of which a test has this name."""
    return f"{test.split('::')[0]}::fixture {fixture}"


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    """Writes into the report how long the fixtures of whole files take."""
    began = time.perf_counter()
    result = yield
    item = getattr(request, "_pyfuncitem", None)
    if fixturedef.scope == "module" and item is not None:
        seconds = round(time.perf_counter() - began, 2)
        item.user_properties.append((fixture_name(item.nodeid, fixturedef.argname), seconds))
    return result


def chosen(cases, seconds, tier):
    """Returns the cases of a function that run, evenly spread, if a case of it takes so many seconds."""
    if seconds > tier.longest:
        return []
    allowed = tier.seconds + tier.share * seconds * len(cases)
    count = len(cases) if seconds < tier.cheap or seconds * len(cases) <= allowed else max(1, int(allowed / seconds))
    return [cases[i * len(cases) // count] for i in range(count)]


def pytest_collection_finish():
    """Each compilation of a cell collects garbage: it passes over what was imported, which stays, from here on."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def graph_mode():
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=mode)
