"""The trainer: Ray Train starts and restarts the workers, DeepSpeed shards the optimizer, peft makes the adapters.

A run is a plan of examples in OUTPUT (`examples.py`) gone through in a seeded order (`order.py`), so that a step number
says all about a position. `worker.py` is what each worker does; `checkpoint.py` is what survives it.
"""
