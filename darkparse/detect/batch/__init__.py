"""Batch detection in images and videos, on one machine or a cluster, with results on disk."""
