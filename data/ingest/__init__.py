"""From labelled images to TFRecords per split: `cxr ingest`."""
