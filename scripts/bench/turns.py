"""Takes turns between implementations, each alone in a process of its own.

In one process the threads of one implementation spin on while the next is measured, and the memory that one has
scattered slows the other down. MindSpore's CPU kernels try numbers of threads in their first 15 launches and keep the
best, and straight after a rest of 30 ms the same compiled graph takes three times as long as in a row. So every
implementation is prepared by FIRST_CALLS calls on an otherwise idle machine, and a turn is a rest, unmeasured calls
until it runs as it does in a row, then the measured ones.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from typing import Callable

REST = 0.03
"""Seconds before each turn, in which the idle threads of the last one stop spinning."""
FIRST_CALLS, FIRST_SECONDS = 20, 5.0
"""Unmeasured calls before the first turn, as long as they take no more than so many seconds."""
WARM_CALLS, WARM_SECONDS = 3, 0.03
MEASURED_CALLS = 3
SLOW_SECONDS, SLOW_TURNS = 1.0, 3
"""What takes longer than this a call needs no warming up and gets no more than so many turns of a single call."""


@dataclass(frozen=True)
class Job:
    """What is measured: ``make(*arguments)``, called in the process, returns a function that returns seconds."""

    process: str
    make: Callable
    arguments: tuple


class Processes:
    """One worker process for each implementation, started when first used."""

    def __init__(self):
        self.stack = ExitStack()
        self.pools = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stack.close()

    def call(self, process, function, *arguments):
        """Returns ``function(*arguments)``, called in the named process."""
        if process not in self.pools:
            pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            self.pools[process] = self.stack.enter_context(pool)
        return self.pools[process].submit(function, *arguments).result()

    def take_turns(self, jobs, turns, statistic=median):
        """Returns a statistic of the seconds of each job, without those whose maker returned None.

        Args:
            jobs (dict): A :class:`Job` by name.
            turns (int): How often each has its turn.
            statistic (Callable): Of a list of seconds. Default: the median.
        """
        first = {name: self.call(job.process, prepare, name, job.make, job.arguments) for name, job in jobs.items()}
        jobs = {name: job for name, job in jobs.items() if first[name] is not None}
        seconds = {name: [] for name in jobs}
        for k in range(turns):
            for name, job in jobs.items():
                slow = first[name] > SLOW_SECONDS
                if not slow or k < SLOW_TURNS:
                    seconds[name] += self.call(job.process, one_turn, name, slow)
        for process in {job.process for job in jobs.values()}:
            self.call(process, prepared.clear)
        return {name: statistic(values) for name, values in seconds.items()}


prepared = {}
"""In a worker: the functions that are being measured."""


def timed(run):
    """Returns the function that returns the seconds of a call of `run`."""

    def call():
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin

    return call


def warm_up(call, calls, seconds):
    """Makes so many calls, or stops after so many seconds; returns the seconds that the last one took."""
    time.sleep(REST)
    begin = time.perf_counter()
    for _ in range(calls):
        last = call()
        if time.perf_counter() - begin > seconds:
            break
    return last


def prepare(name, make, arguments):
    """In a worker: makes a function and warms it up; returns the seconds of its last call, None if there is none."""
    call = make(*arguments)
    if call is None:
        return None
    prepared[name] = call
    return warm_up(call, FIRST_CALLS, FIRST_SECONDS)


def one_turn(name, slow):
    """In a worker: returns the seconds of the measured calls of a turn."""
    if slow:
        return [prepared[name]()]
    warm_up(prepared[name], WARM_CALLS, WARM_SECONDS)
    return [prepared[name]() for _ in range(MEASURED_CALLS)]
