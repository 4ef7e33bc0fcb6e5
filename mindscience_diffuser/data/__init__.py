"""Readers of data sets: arrays, fields, folders of images and MindSpore's data sets, one sample at a time.

A reader has ``__len__`` and ``__getitem__(k)``, which returns one sample, a float32 ndarray with the channels first, or
a tuple of the sample and its conditions. None of them holds the data set in memory.
"""

from mindscience_diffuser.data.arrays import Arrays
from mindscience_diffuser.data.copied import Copied, as_data
from mindscience_diffuser.data.fields import Fields
from mindscience_diffuser.data.images import Images
from mindscience_diffuser.data.normalisation import Normalisation
from mindscience_diffuser.data.writing import write_samples

__all__ = ["Arrays", "Copied", "Fields", "Images", "Normalisation", "as_data", "write_samples"]
