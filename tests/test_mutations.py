"""The table of scripts/mutate.py follows the code: the text that each mutation changes stands in its file once."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "mutate.py"


def test_every_mutation_finds_its_text():
    script = runpy.run_path(str(SCRIPT))
    mutations = script["read_mutations"]()
    assert len(mutations) > 80
    for mutation in mutations:
        text = (script["ROOT"] / mutation.file).read_text(encoding="utf-8")
        assert text.count(mutation.old) == 1, mutation
        assert script["changed"](mutation) != text
