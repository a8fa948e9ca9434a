"""DriftCheck: how far a run's data lie from those of the run before."""
