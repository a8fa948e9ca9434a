"""Everything a server can be told, with every default; the command line, the tests and `process` share it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cxr.core.features import MAX_PIXELS
from cxr.core.machine import cores
from cxr.serving.defaults import GRPC_PORT, LARGEST_MESSAGE, LARGEST_PORT, LOOPBACK, REST_PORT

LONGEST_SECONDS = 2_000_000.0  # 23 days: gRPC, the kernel and TensorFlow Serving count milliseconds in 32 bits
MOST_THREADS = 4096
ONE_OF_BOTH = "give either models_dir or model_config_file"
NOTHING_TO_READ = "model_config_file_poll_seconds needs model_config_file"


def host_and_port(host: str, port: int) -> str:
    """Returns "host:port", with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Batching(_Frozen):
    """Dynamic batching, with the names of TensorFlow Serving's BatchingParameters.

    Sizes count examples (the 0th dimension of the inputs). Without `allowed_batch_sizes` nothing is padded.

    Attributes:
      max_batch_size: the largest request; and, unless requests are split, the largest batch.
      enable_large_batch_splitting: requests are cut up for batches of `max_execution_batch_size`.
      max_execution_batch_size: the largest batch then; None: `max_batch_size`. Without splitting TensorFlow Serving does not look at
        it, and neither does this server.
    """

    enabled: bool = True
    max_batch_size: int = Field(default=32, ge=1)
    batch_timeout_micros: int = Field(default=0, ge=0)
    max_enqueued_batches: int = Field(default=100, ge=1)
    num_batch_threads: int = Field(default_factory=cores, ge=1, le=MOST_THREADS)
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = Field(default=None, ge=1)

    @property
    def largest_batch(self) -> int:
        """How many examples run at a time."""
        own = self.max_execution_batch_size if self.enable_large_batch_splitting else None
        return self.max_batch_size if own is None else own

    @model_validator(mode="after")
    def _sizes(self) -> "Batching":
        sizes = self.allowed_batch_sizes
        if self.largest_batch > self.max_batch_size:
            raise ValueError(f"max_execution_batch_size ({self.largest_batch}) must not be above max_batch_size ({self.max_batch_size})")
        # Of max_batch_size where requests are split, too: so does TensorFlow Serving (bundle_factory_util.cc).
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != self.max_batch_size):
            raise ValueError(f"allowed_batch_sizes must rise and end with max_batch_size ({self.max_batch_size}); got {list(sizes)}")
        return self


class Limits(_Frozen):
    """What one request may cost."""

    max_message_bytes: int = Field(default=256 * 2**20, ge=1024, le=LARGEST_MESSAGE)  # its clients' images are some hundred KB
    max_image_pixels: int = Field(default=MAX_PIXELS, ge=1)  # one image, decoded
    max_request_pixels: int = Field(default=400_000_000, ge=1)  # all images of a request, decoded: 1.2 GB as RGB bytes
    max_concurrent_requests: int = Field(default=256, ge=1)  # above: UNAVAILABLE


class Rest(_Frozen):
    """What one REST client may cost, beside `Limits`."""

    timeout_seconds: float = Field(default=30.0, gt=0, le=LONGEST_SECONDS)  # for inference; TensorFlow Serving's --rest_api_timeout_in_ms
    # From a connection, or the first byte of a request, to the end of its headers.
    header_seconds: float = Field(default=10.0, gt=0, le=LONGEST_SECONDS)
    body_seconds: float = Field(default=60.0, gt=0, le=LONGEST_SECONDS)  # to send a body; as long may an answer wait without being read
    max_connections: int = Field(default=512, ge=1)  # above: closed at once


class Tls(_Frozen):
    """PEM texts (not files), as in TensorFlow Serving's SSLConfig; with `client_verify` clients must show a certificate of `client_ca`."""

    key: str = Field(repr=False)
    certificate: str = Field(repr=False)
    client_ca: str | None = Field(default=None, repr=False)
    client_verify: bool = False

    @model_validator(mode="after")
    def _verifiable(self) -> "Tls":
        if self.client_verify and not self.client_ca:
            raise ValueError("client_verify needs client_ca (custom_ca in an SSLConfig)")
        return self


class RequestLog(_Frozen):
    """Where a sample of the answered requests is kept, and how much of them."""

    folder: Path
    sampling: float = Field(default=0.1, gt=0, le=1)  # share of the requests
    file_bytes: int = Field(default=64 * 2**20, ge=1)
    total_bytes: int = Field(default=1024 * 2**20, ge=2)  # of all files; the oldest go
    file_seconds: float = Field(default=600.0, gt=0, le=LONGEST_SECONDS)  # a file appears after that long, however small
    queue_bytes: int = Field(default=64 * 2**20, ge=1)  # requests that wait to be written; above, they are left out

    @model_validator(mode="after")
    def _room(self) -> "RequestLog":
        if self.total_bytes < 2 * self.file_bytes:
            raise ValueError(f"total_bytes must hold two files of file_bytes ({self.file_bytes}), else whole logs would go at a time")
        return self


class ServerOptions(_Frozen):
    """One server.

    Exactly one of `models_dir` (each sub-folder with version folders is a model) and `model_config_file` (text proto
    ModelServerConfig) names the models.

    Attributes:
      port, rest_port: 0 takes a free one; `rest_port` None means no REST.
      page_port: of the page to try a model (serving/page), on the loopback address whatever `host` is; None means no page.
      tls: for both ports.
      poll_seconds: pause between two looks for new versions.
      model_config_file_poll_seconds: pause between two looks at the file; None reads it once.
      load_retries, load_retry_seconds: a failed load is tried again that often, that far apart.
      start_seconds: gives up when not every model is loaded by then; None waits for ever, as TensorFlow Serving does.
      drain_seconds: after SIGTERM, how long requests already accepted may take.
      max_connection_age_seconds: gRPC clients are asked to connect again after about that long (what is under way has ten minutes to
        end), so that they find servers added meanwhile; None: an hour, or what TensorFlow Serving does.
      unchecked_models: loads models whose graph would do more than compute (core/graph_operations.py), too.
      request_log: None logs nothing.
    """

    models_dir: Path | None = None
    model_config_file: Path | None = None
    host: str = LOOPBACK
    port: int = Field(default=GRPC_PORT, ge=0, le=LARGEST_PORT)
    rest_port: int | None = Field(default=REST_PORT, ge=0, le=LARGEST_PORT)
    page_port: int | None = Field(default=None, ge=0, le=LARGEST_PORT)
    batching: Batching = Batching()
    limits: Limits = Limits()
    rest: Rest = Rest()
    tls: Tls | None = None
    poll_seconds: float = Field(default=1.0, gt=0, le=LONGEST_SECONDS)
    model_config_file_poll_seconds: float | None = Field(default=None, gt=0, le=LONGEST_SECONDS)
    load_retries: int = Field(default=5, ge=0)
    load_retry_seconds: float = Field(default=60.0, ge=0, le=LONGEST_SECONDS)
    load_threads: int = Field(default=2, ge=1, le=MOST_THREADS)
    start_seconds: float | None = Field(default=None, gt=0, le=LONGEST_SECONDS)
    drain_seconds: float = Field(default=30.0, ge=0, le=LONGEST_SECONDS)
    max_connection_age_seconds: float | None = Field(default=None, gt=0, le=LONGEST_SECONDS)
    warm_up: bool = True
    allow_version_labels_for_unavailable_models: bool = False
    unchecked_models: bool = False
    request_log: RequestLog | None = None
    intra_op_threads: int = Field(default=0, ge=0, le=MOST_THREADS)  # 0: TensorFlow's choice, the number of cores
    inter_op_threads: int = Field(default=0, ge=0, le=MOST_THREADS)

    @model_validator(mode="after")
    def _models(self) -> "ServerOptions":
        if (self.models_dir is None) == (self.model_config_file is None):
            raise ValueError(ONE_OF_BOTH)
        if self.page_port is not None and self.tls is not None:
            raise ValueError("a page beside a server with TLS needs certificates of its own; start it with: cxr page --server … --ca …")
        if self.model_config_file_poll_seconds is not None and self.model_config_file is None:
            raise ValueError(NOTHING_TO_READ)
        return self
