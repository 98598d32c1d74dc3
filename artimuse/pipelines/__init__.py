"""The work of scoring and describing images: as Ray Data graphs over a cluster, or in this process."""
