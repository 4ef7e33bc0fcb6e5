"""The configuration of a run: its file, its keys, what a run can be made of."""
