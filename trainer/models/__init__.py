"""Networks: adapter, backbone, pooling and head, and where their weights come from."""
