"""The processes that a run is spread over."""
