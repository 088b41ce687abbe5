"""Analysis of networks: reductions, bottlenecks, repeats, scales, receptive fields."""
