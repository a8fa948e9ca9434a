"""A client's TLS files, looked at before gRPC has them: it names none of them, and ends the process where a certificate's file is empty."""

from __future__ import annotations

import re
import ssl
import tempfile
from pathlib import Path

from cxr.core.errors import UsageError

_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----.*?-----END (?:X509 )?CERTIFICATE-----", re.DOTALL)
_WANTED = "name a PEM file that has -----BEGIN CERTIFICATE----- in it"


def _read(path: Path) -> bytes:
    """Reads a file, once: it may be a pipe.

    Raises:
      UsageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a PEM file") from None


def certificates(option: str, path: Path) -> bytes:
    """Reads a file of certificates.

    Args:
      option: that names it.
      path: the file.

    Returns:
      Its content.

    Raises:
      UsageError: it cannot be read, or holds none in PEM.
    """
    content = _read(path)
    found = b"\n".join(_CERTIFICATE.findall(content)).decode("ascii", "replace")
    if not found:
        is_der = content[:1] == b"\x30"  # a SEQUENCE, as every certificate is
        remedy = f"make one of it: openssl x509 -inform der -in {path} -out FILE.pem" if is_der else _WANTED
        raise UsageError(f"{option} {path}: no certificate in PEM; {remedy}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (ssl.SSLError, ValueError):
        raise UsageError(f"{option} {path}: a certificate in it is damaged; name another PEM file") from None
    return content


def key_of(certificate: bytes, path: Path) -> bytes:
    """Reads the key of a client's certificate, and tells whether it is that; of a pipe, which can be read once, gRPC has to.

    Args:
      certificate: PEM texts, the client's own first.
      path: the key's file.

    Returns:
      Its content.

    Raises:
      UsageError: it cannot be read, or is no key of that certificate in PEM without a password.
    """
    key, context = _read(path), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not path.is_file():
        return key
    try:
        with tempfile.NamedTemporaryFile(prefix="cxr-", suffix=".pem") as chain:  # Python wants files; no copy of a key is made
            chain.write(certificate)
            chain.flush()
            context.load_cert_chain(chain.name, path, password="")  # one with a password, which gRPC cannot read, is an error
    except (ssl.SSLError, ValueError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise UsageError(f"--key {path}: not the key of the certificate; name the one that belongs to --cert") from None
        remedy = f"if it has one: openssl pkey -in {path} -out FILE.pem"
        raise UsageError(f"--key {path}: no key in PEM without a password; {remedy}") from None
    return key
