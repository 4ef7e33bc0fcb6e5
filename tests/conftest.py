"""What all tests share."""

import gc


def pytest_collection_finish():
    """Each compilation of a cell collects garbage: it passes over what was imported, which stays, from here on."""
    gc.collect()
    gc.freeze()
