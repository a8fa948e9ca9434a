"""TLS of a server's ports: whether key and certificates can be used is found out here, with OpenSSL's reason, which gRPC does not give."""

import ssl
import tempfile
from pathlib import Path

from cxr.core.errors import CxrError
from cxr.serving.server.options import Tls


def server_context(tls: Tls) -> ssl.SSLContext:
    """Returns what Python's own TLS needs.

    Raises:
      CxrError: the PEM texts cannot be used, or do not fit together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with tempfile.TemporaryDirectory(prefix="cxr-tls-") as folder:  # Python reads a key from a file only; the folder is the owner's
            pem = Path(folder) / "server.pem"
            pem.write_text(f"{tls.key}\n{tls.certificate}\n", encoding="utf-8")
            context.load_cert_chain(pem, password="")  # an encrypted key, which gRPC cannot read, is an error and no question
        if tls.client_verify:
            context.load_verify_locations(cadata=tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, ValueError) as error:
        raise CxrError(
            f"the TLS key, certificate or client_ca cannot be used ({error}); they must be PEM texts that fit together"
        ) from error
    return context
