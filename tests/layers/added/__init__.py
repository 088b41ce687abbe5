"""Kinds, an activation and a fork that darkparse does not have, each as one file of `layers` would state it."""
