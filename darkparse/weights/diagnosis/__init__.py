"""Why a weights file does not fit a network."""
