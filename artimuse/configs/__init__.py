"""Every command's configuration: frozen dataclasses, checked when made. Their docstrings become `--help`."""
