"""Reads the kubeconfig, with one kind of error for all that is wrong with it."""

from __future__ import annotations

from typing import Any

import yaml


def load_kubeconfig(into: Any = None) -> None:
    """Reads where a cluster is, and who one is there.

    Args:
      into: kubernetes.client.Configuration to fill; None: the default of all clients made from now on.

    Raises:
      kubernetes.config.ConfigException: There is no kubeconfig, or what KUBECONFIG names is none.
      OSError: A file of it cannot be read.
    """
    import kubernetes

    try:
        kubernetes.config.load_kube_config(client_configuration=into)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise kubernetes.config.ConfigException(f"{_place()}: no YAML: {' '.join(str(error).split())}") from error
    except (TypeError, AttributeError, KeyError, ValueError) as error:  # the library takes the form of each value for granted
        raise kubernetes.config.ConfigException(f"{_place()}: not in the form of a kubeconfig ({error})") from error


def _place() -> str:
    from kubernetes.config import kube_config

    return str(kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
