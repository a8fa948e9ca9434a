"""Where the infrastructure check says why it refused a model."""

REASONS = "reasons.txt"  # in the blessing's folder, one line per problem
