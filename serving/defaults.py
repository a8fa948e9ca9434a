"""Numbers that options, client and command line share. It imports nothing, so that `cxr --help` stays quick."""

LARGEST_VERSION = 2**63 - 1  # the protocol's int64
LARGEST_MESSAGE = 2**31 - 1  # bytes: TensorFlow Serving's own limit, and gRPC's
LARGEST_MESSAGE_MB = LARGEST_MESSAGE // 2**20
