"""AnomalyCheck: stops the run where ExampleValidator found the data to break the schema."""
