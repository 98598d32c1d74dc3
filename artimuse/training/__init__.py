"""The trainer: Ray Train starts and restarts the workers, DeepSpeed shards the optimizer, peft makes the adapters.

`train.py` is the verb, read from top to bottom. `data/` makes examples and micro-batches of an annotation table: a plan
of examples in OUTPUT, and their seeded order. The number of a step says which examples it has. `worker.py` is
what each worker does, on Ray (`on_ray.py`) or in this process (`in_process.py`); `checkpoint.py` is what survives it;
`export/` makes a model of a checkpoint.
"""

import artimuse.runs  # noqa: F401 - before Ray: it sets what Ray reads on import
