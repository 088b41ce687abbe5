"""Many pictures and videos: read, detected and written down, on one machine or a cluster."""
