"""Where the checks between the gate and the push say why they refused a model."""

REASONS = "reasons.txt"  # in the blessing's folder, one line per problem
