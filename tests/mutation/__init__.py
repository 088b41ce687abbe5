"""Mutation run: plants faults in a folder of the package and reports which of them no fast test notices."""
