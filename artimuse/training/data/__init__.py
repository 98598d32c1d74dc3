"""From the annotation table to micro-batches: plan, examples, sampler, and `collate.py` with `packing.py`."""
