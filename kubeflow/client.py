"""Submits compiled pipelines to Kubeflow Pipelines and follows them; a thin layer over kfp's own client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr.core.errors import CxrError
from cxr.kubeflow.package import checked_parameters
from cxr.kubeflow.run_state import Run, run_state

_LATE_POLLS = 3
INSTALLATION = "kubeflow"  # the namespace that Kubeflow Pipelines is installed in, unless somebody chose another one
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"  # where Kubernetes projects the token of a pod that may use KFP's API


@dataclass(frozen=True)
class Address:
    """How to reach the API server."""

    host: str | None = None  # None: the service inside the cluster, elsewhere through the kubeconfig's proxy
    namespace: str = INSTALLATION  # of the runs: the profile's where KFP is multi-user
    installation: str = INSTALLATION  # of Kubeflow Pipelines itself: where the service is, whoever's the runs are
    token: str | None = field(default=None, repr=False)  # bearer token
    token_file: str | None = None  # a projected service-account token, read anew when it expires
    ca_cert: str | None = None


class Pipelines:
    """Runs on one installation of Kubeflow Pipelines."""

    def __init__(self, address: Address) -> None:
        """Makes the client and asks the server whether it serves several users.

        Raises:
          CxrError: The API server cannot be reached or refuses the credentials, or serves several users and the namespace is nobody's.
        """
        import kfp
        from kfp.client import ServiceAccountTokenVolumeCredentials

        self.namespace = address.namespace
        credentials = ServiceAccountTokenVolumeCredentials(path=address.token_file) if address.token_file else None
        host = address.host or _default_host(address)
        with _explained(f"Kubeflow Pipelines at {host or 'the current cluster'}"):
            self._client = kfp.Client(
                host=host,
                namespace=address.installation,
                existing_token=address.token,
                credentials=credentials,
                ssl_ca_cert=address.ca_cert,
            )
            multi_user = self._client.get_kfp_healthz().multi_user
        if multi_user and address.namespace == address.installation:
            raise CxrError(
                f"this Kubeflow Pipelines serves several users, and namespace {address.namespace} is its own: "
                "give your profile's with --namespace (CXR_KFP_NAMESPACE)"
            )

    def submit(
        self,
        package: Path,
        parameters: Mapping[str, Any],
        *,
        experiment: str = "cxr",
        name: str | None = None,
        pipeline_root: str | None = None,
        service_account: str | None = None,
        cache: bool = True,
    ) -> str:
        """Starts a run; returns its id."""
        values = checked_parameters(package, parameters)
        with _explained(f"submitting {package}"):
            result = self._client.create_run_from_pipeline_package(
                str(package),
                arguments=values,
                run_name=name,
                experiment_name=experiment,
                namespace=self.namespace,
                pipeline_root=pipeline_root,
                service_account=service_account,
                enable_caching=None if cache else False,  # None: as compiled, task by task
            )
        return result.run_id

    def submit_recurring(
        self,
        package: Path,
        parameters: Mapping[str, Any],
        *,
        cron: str,
        name: str,
        experiment: str = "cxr",
        pipeline_root: str | None = None,
        service_account: str | None = None,
        cache: bool = True,
    ) -> str:
        """Makes a recurring run (one run at a time, missed ones are not made up for); returns its id."""
        values = checked_parameters(package, parameters)
        with _explained(f"submitting {package}"):
            found = self._client.create_experiment(experiment, namespace=self.namespace)
            recurring = self._client.create_recurring_run(
                experiment_id=found.experiment_id,
                job_name=name,
                pipeline_package_path=str(package),
                params=values,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                pipeline_root=pipeline_root,
                service_account=service_account,
                enable_caching=None if cache else False,
            )
        return recurring.recurring_run_id

    def run(self, run_id: str) -> Run:
        """Returns a run's state, those of its tasks, and what became of the models.

        Raises:
          CxrError: There is no such run, or the API server does not answer.
        """
        with _explained(f"run {run_id}"):
            return run_state(self._client.get_run(run_id))

    def watch(self, run_id: str, *, timeout: float | None = None, poll: float = 5.0) -> Iterator[Run]:
        """Yields the run's state at once and after every change, the last time when it has finished.

        Raises:
          CxrError: It has not finished after `timeout` seconds.
        """
        last, start, late = None, time.monotonic(), _LATE_POLLS
        while True:
            found = self.run(run_id)
            if found != last:
                yield found
                last = found
            # KFP's tables of runs and of tasks are two: a run may be seen as finished before its last tasks are
            if found.finished and not (found.unreported and late):
                return
            late -= found.finished
            if not found.finished and timeout is not None and time.monotonic() - start > timeout:
                raise CxrError(f"run {run_id}: still {found.state} after {timeout:.0f} s; it goes on: `cxr kubeflow status {run_id}`")
            time.sleep(poll)

    def cancel(self, run_id: str) -> None:
        """Stops a run."""
        with _explained(f"run {run_id}"):
            self._client.terminate_run(run_id)


def _default_host(address: Address) -> str | None:
    """Returns the API server's address where none was given; None: kfp's client takes the kubeconfig's proxy.

    kfp's own default would look for the service in the runs' namespace, and for a token's server on this machine.

    Raises:
      CxrError: There is neither a cluster around this process nor a kubeconfig.
    """
    import kubernetes

    if found := os.environ.get("KF_PIPELINES_ENDPOINT"):  # kfp's own variable
        return found
    if "KUBERNETES_SERVICE_HOST" in os.environ:  # Kubernetes sets it in every pod
        return f"http://ml-pipeline.{address.installation}.svc.cluster.local:8888"
    forward = f"kubectl port-forward -n {address.installation} svc/ml-pipeline-ui 8080:80"
    remedy = f"`{forward}` and --host http://localhost:8080 (CXR_KFP_HOST) reach it"
    if address.token or address.token_file:
        raise CxrError(f"a token needs the host that it is for: {remedy}, or give the installation's URL")
    try:
        kubernetes.config.load_kube_config(client_configuration=kubernetes.client.Configuration())
    except kubernetes.config.ConfigException as error:
        raise CxrError(f"where is Kubeflow Pipelines? No --host, no pod around this command, no kubeconfig ({error}); {remedy}") from error
    return None


class _explained:
    """Turns the clients' exceptions into messages."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        import kfp_server_api
        import urllib3

        if isinstance(error, kfp_server_api.ApiException):
            hint = {
                401: "; set CXR_KFP_TOKEN, or give --token-file",
                403: "; the account may not do this in the namespace",
                404: "; no such thing",
            }
            text = " ".join(str(error.body or error.reason or "").split())[:500]
            raise CxrError(f"{self.what}: {error.status} {text}{hint.get(error.status, '')}") from error
        if isinstance(error, (urllib3.exceptions.HTTPError, TimeoutError)):
            raise CxrError(f"{self.what}: not reachable ({error}); is --host right, or a port-forward running?") from error
