"""Training and sampling runs that a YAML file describes.

The folders, each importing only those before it: ``config`` (the YAML with the values from the command line, checked),
``distributed`` (the processes of a run), ``storage`` (weights, checkpoints, samples in numbered files), ``data``
(batches), ``evaluation`` (figures of merit), ``pictures``, ``kinds`` (what a kind of run trains and how it draws) and
``commands``. What goes wrong is raised as one of ``errors``.
"""
