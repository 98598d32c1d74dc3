"""The work of scoring and describing images: as Ray Data graphs over a cluster, or in this process."""

import artimuse.runs  # noqa: F401 - before Ray: it sets what Ray reads on import
