"""Which cases of a test function run: a few of the slow ones, spread over all of them."""

import pytest
from conftest import QUICK, USUAL, chosen

CASES = list(range(40))


def test_quick_functions_run_all_their_cases():
    assert chosen(CASES, 0.0, USUAL) == CASES
    assert chosen(CASES, 0.02, USUAL) == CASES
    assert chosen(CASES, 0.04, USUAL) == CASES
    assert chosen(CASES, 0.0, QUICK) == CASES


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.0, 2.4])
def test_slow_functions_run_a_few_that_are_spread(seconds):
    few = chosen(CASES, seconds, USUAL)
    assert 1 <= len(few) < len(CASES)
    assert few == sorted(set(few))
    assert few[0] == 0
    assert len(few) * seconds <= max(USUAL.seconds + USUAL.share * seconds * len(CASES), seconds) + 1e-9
    gaps = {b - a for a, b in zip(few, few[1:])}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_functions_that_are_slow_in_one_case_are_left_to_the_thorough_run():
    assert chosen(CASES[:1], 2.4, USUAL) == CASES[:1]
    assert chosen(CASES[:1], 2.6, USUAL) == []
    assert chosen(CASES, 0.2, QUICK) == []
