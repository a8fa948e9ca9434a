"""Defaults and bounds that options, client and command line share. It imports nothing, so that `cxr --help` stays quick."""

# === Addresses ===
LOOPBACK = "127.0.0.1"
GRPC_PORT = 8500  # TensorFlow Serving's
REST_PORT = 8501
PAGE_PORT = 8502
LARGEST_PORT = 65535
SERVER = f"{LOOPBACK}:{GRPC_PORT}"  # of gRPC, where nobody names one

# === What a client does ===
REQUEST_SECONDS = 60.0  # for one request, retries included
REQUEST_IMAGES = 16  # in one request
REQUESTS_AT_A_TIME = 4
LOAD_SECONDS = 120.0  # for a version to load that is promoted

# === What the protocol holds ===
LARGEST_MESSAGE = 2**31 - 1  # bytes: TensorFlow Serving's own limit, and gRPC's
LARGEST_MESSAGE_MB = LARGEST_MESSAGE // 2**20
# Bytes of values that a shape announces and the message does not hold. Every value counts, but for the last one, which TensorFlow repeats:
# 30 bytes can announce terabytes. No answer to a signature of ours is as large.
LARGEST_FILLED = 2**20
