"""Floor 6, the live shell round ClusterScheduler: Ray cluster, endpoints, links, metrics."""
