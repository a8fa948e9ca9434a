"""Who may come to a server that listens for other machines, too: said where it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxr.core.console import Console
from cxr.serving.client.connection import is_loopback
from cxr.serving.server.options import host_and_port

if TYPE_CHECKING:
    from cxr.serving.server.options import ServerOptions


def warn_of_strangers(options: ServerOptions) -> None:
    """Says on stderr what a server lets everybody do who reaches it; nothing where only this machine does, or who shows a certificate."""
    if is_loopback(host_and_port(options.host, options.port)) or (options.tls is not None and options.tls.client_verify):
        return
    text = f"warning: anyone who reaches {options.host} can ask the models and change which are served: nobody is asked for a password"
    if options.tls is None:
        text += "; pictures travel in plaintext. --ssl-config-file encrypts them, and asks for certificates with client_verify"
    else:
        text += "; client_verify in --ssl-config-file asks for certificates"
    Console(stderr=True).print(text, style="yellow", highlight=False, soft_wrap=True)
