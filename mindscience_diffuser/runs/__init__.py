"""Training and sampling runs that a YAML file describes.

In reading order: ``registry`` (what a run can be made of), ``schema`` (what its YAML holds), ``config`` (the YAML with
the values from the command line, checked), ``digits`` (the data), ``build`` (data, model and scheduler of a
configuration), ``objective`` (what a kind of run hands to the training loop), ``diffusion``, ``flow_matching``,
``consistency_distillation`` and ``pyramid_flow`` (such kinds), ``batches``, ``train``, ``present``, ``cost``,
``pixel_pyramid``, ``draw``, ``shards`` and ``sample``, ``sweep``, ``export``, ``metrics`` and ``features``,
``pictures``, ``weights``, ``identity`` (when earlier results may be gone on with), ``ranks`` (the processes of a run).
"""
