"""What people do with a finished score table: select, compare, copy out, look at. Without Ray and without a model."""
