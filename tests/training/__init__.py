"""Tests of training, compared with Darknet step by step."""
