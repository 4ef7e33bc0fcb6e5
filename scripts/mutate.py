"""Changes one place of the package at a time and looks whether the tests notice.

    python scripts/mutate.py                  # all mutations of scripts/mutations.txt
    python scripts/mutate.py --list           # number, file and change of each; runs nothing
    python scripts/mutate.py --only 3 7-9     # some of them
    python scripts/mutate.py --only sigmas    # those whose file has this in its name

Each mutation is made in a copy of the package, where the tests that should notice it run until the first one fails. A
mutation that no test notices has survived: either a test is missing, or the changed code does the same, which its entry
says with the reason. The exit code is 1 if a mutation survived without a reason, or was noticed though it has one.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "scripts" / "mutations.txt"
COPIED = ("mindscience_diffuser", "tests", "configs", "scripts", "docs_cn")
SECONDS = 900
NOTHING_RAN = 5


class Mutation(NamedTuple):
    """One change: a text of a file, what stands in its place, the words for pytest, and why it changes nothing."""

    number: int
    file: str
    tests: str
    old: str
    new: str
    reason: str

    def __str__(self):
        return f"{self.number:3} {self.file}: {self.old}  ->  {self.new}"


def read_mutations(path=TABLE):
    """Returns the mutations of a table, whose form its head describes."""
    mutations, lines = [], [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    for entry in "\n".join(lines).split("\n\n"):
        parts = entry.strip("\n").split("\n")
        if parts == [""]:
            continue
        signs = [part[:2] for part in parts[1:]]
        if " :: " not in parts[0] or signs not in (["- ", "+ "], ["- ", "+ ", "= "]):
            raise SystemExit(f"An entry of '{path}' has not the form that its head describes:\n{entry}")
        file, tests = parts[0].split(" :: ")
        texts = [part[2:] for part in parts[1:]]
        mutations.append(Mutation(len(mutations) + 1, file, tests, texts[0], texts[1], "".join(texts[2:])))
    return mutations


def changed(mutation, root=ROOT):
    """Returns the text of the file with the mutation in it.

    Raises:
        SystemExit: If the old text does not stand in the file exactly once.
    """
    path = root / mutation.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    count = text.count(mutation.old)
    if count != 1:
        raise SystemExit(
            f"Mutation {mutation.number}: '{mutation.old}' stands {count} times in '{mutation.file}', but must stand "
            "there once. The code has changed: change scripts/mutations.txt too."
        )
    return text.replace(mutation.old, mutation.new)


def chosen(mutations, words):
    """Returns the mutations that the words of ``--only`` name: numbers, ranges of numbers, or parts of file names."""
    if not words:
        return mutations
    numbers, names = set(), []
    for word in words:
        first, dash, last = word.partition("-")
        if first.isdigit() and (last.isdigit() or not dash):
            numbers.update(range(int(first), int(last or first) + 1))
        else:
            names.append(word)
    return [m for m in mutations if m.number in numbers or any(name in m.file for name in names)]


def noticed(mutation, folder):
    """Runs the tests of a mutation in a copy of the package; returns whether one fails."""
    path = folder / mutation.file
    before = path.read_text(encoding="utf-8")
    path.write_text(changed(mutation, folder), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *shlex.split(mutation.tests)]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        finished = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(before, encoding="utf-8")
    if finished.returncode == NOTHING_RAN:
        raise SystemExit(f"Mutation {mutation.number}: no test is named by '{mutation.tests}'.")
    return finished.returncode != 0


def main():
    """Runs the mutations that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="N|N-M|FILE", help="numbers, ranges, or parts of file names")
    parser.add_argument("--list", action="store_true", help="list the mutations and check that each text is there")
    options = parser.parse_args()
    mutations = chosen(read_mutations(), options.only)
    for mutation in mutations:
        changed(mutation)
    if options.list:
        print("\n".join(map(str, mutations)))
        return 0
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in COPIED:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for mutation in mutations:
            killed = noticed(mutation, folder)
            verdict = (
                "killed" if killed else f"survived, equivalent: {mutation.reason}" if mutation.reason else "SURVIVED"
            )
            print(f"{mutation}\n      {verdict}", flush=True)
            if killed == bool(mutation.reason):
                wrong.append(mutation)
    print(f"{len(mutations)} mutations, {len(wrong)} not as expected{':' if wrong else ''}")
    print("\n".join(map(str, wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
