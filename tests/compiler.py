"""The module of MindSpore that compiles graphs, where tests count or refuse compilations."""

try:
    from mindspore.graph import api
except ImportError:  # where it was in MindSpore 2.7
    from mindspore.common import api

__all__ = ["api"]
