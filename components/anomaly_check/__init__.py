"""AnomalyCheck: stops the run where the data break the schema, or have drifted where the configuration forbids it."""
