"""The kinds of runs: what each trains and how it draws samples."""
