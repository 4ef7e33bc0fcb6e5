"""Writes down how long a case of each test function takes, from the report of a run of all of them.

    bash scripts/test.sh --thorough --junitxml=report.xml
    python scripts/measure_tests.py report.xml

The seconds are written to tests/seconds.json, from which tests/conftest.py chooses the cases that run. The report of
a run of some tests changes those alone: functions that it lacks keep their seconds, if they still exist.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
LEAST = 0.05
"""Seconds below which a function is not written down."""


def mean_seconds(report):
    """Returns the mean seconds of the cases of each function, ``"tests/file.py::function"``, and those of fixtures."""
    seconds = defaultdict(list)
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        file = case.get("classname").replace(".", "/") + ".py"
        taken = float(case.get("time"))
        for fixture in case.iter("property"):
            seconds[fixture.get("name")].append(float(fixture.get("value")))
            taken -= float(fixture.get("value"))
        seconds[f"{file}::{case.get('name').split('[')[0]}"].append(max(taken, 0.0))
    return {name: round(sum(values) / len(values), 2) for name, values in seconds.items()}


def exists(name):
    """Returns whether there is such a function."""
    file, function = name.split("::")
    text = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).exists() else ""
    return f"def {function.removeprefix('fixture ')}(" in text


def main():
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="the file that --junitxml has written")
    path = ROOT / "tests" / "seconds.json"
    before = json.loads(path.read_text(encoding="utf-8"))
    seconds = {**before, **mean_seconds(parser.parse_args().report)}
    table = {name: seconds[name] for name in sorted(seconds) if seconds[name] >= LEAST and exists(name)}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(table, indent=0) + "\n", encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
