"""`cxr prune`: which runs, artifacts and pushed versions a pipeline no longer needs, and how they go without a trace in the cache."""
