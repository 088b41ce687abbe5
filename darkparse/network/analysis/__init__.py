"""What can be asked of a network: reductions, bottlenecks, repeats, scales, receptive fields."""
