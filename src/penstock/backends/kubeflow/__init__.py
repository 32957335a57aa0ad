"""Kubeflow Pipelines: it orders and places containers; each container runs one node by Penstock's own rules."""
