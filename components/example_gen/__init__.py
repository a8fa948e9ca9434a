"""ImportExampleGen: the shards that `cxr ingest` wrote become the run's examples."""
