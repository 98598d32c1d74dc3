"""From a checkpoint to a model of its own: adapters merged, read again, compared with the trained network."""
