"""Submits compiled pipelines to Kubeflow Pipelines and follows them; a thin layer over kfp's own client."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr.core.errors import CxrError
from cxr.kubeflow.api_errors import NoAnswerError, NotThereError, check_is_of_kfp, explained, passes
from cxr.kubeflow.kubeconfig import load_kubeconfig
from cxr.kubeflow.package import checked_parameters
from cxr.kubeflow.run_state import Run, run_state

_LATE_POLLS = 3
_PATIENCE = 600.0  # seconds that a watched run's server may have no answer: it restarts, or moves to another node
_CONNECT, _READ = 10.0, 30.0  # seconds for one answer about a run: a connection that a proxy forgot says nothing for ever
_HEALTH_CALLS, _HEALTH_PAUSE = 5, 5.0  # as kfp's own client
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
        from kfp.client import ServiceAccountTokenVolumeCredentials

        self.namespace = address.namespace
        credentials = ServiceAccountTokenVolumeCredentials(path=address.token_file) if address.token_file else None
        host = address.host or _default_host(address)
        with explained(f"Kubeflow Pipelines at {host or 'the current cluster'}"):
            self._client = _client(
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
        with explained(f"submitting {package}"):
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
        check_is_of_kfp(result.run_id, f"submitting {package}")
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
        with explained(f"submitting {package}"):
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
        check_is_of_kfp(recurring.recurring_run_id, f"submitting {package}")
        return recurring.recurring_run_id

    def run(self, run_id: str) -> Run:
        """Returns a run's state, those of its tasks, and what became of the models.

        Raises:
          NoAnswerError: The API server has no answer at the moment.
          CxrError: There is no such run, or the server refuses.
        """
        with explained(f"run {run_id}"):
            found = self._client.runs.run_service_get_run(run_id, _request_timeout=(_CONNECT, _READ))
        check_is_of_kfp(found.run_id, f"run {run_id}")
        return run_state(found)

    def watch(
        self, run_id: str, *, timeout: float | None = None, poll: float = 5.0, tell: Callable[[str], None] = lambda _: None
    ) -> Iterator[Run]:
        """Yields the run's state at once and after every change, the last time when it has finished.

        A server that has no answer is asked again, for ten minutes.

        Args:
          run_id: As KFP has it.
          timeout: Seconds to wait at most.
          poll: Seconds from one question to the next.
          tell: Called with a sentence when the server stops to answer, and when it answers again.

        Raises:
          CxrError: It has not finished after `timeout` seconds, or cannot be followed any longer.
        """
        last, start, late = None, time.monotonic(), _LATE_POLLS
        silent_since: float | None = None
        while True:
            try:
                found = self.run(run_id)
            except NoAnswerError as error:
                if silent_since is None:
                    silent_since = time.monotonic()
                    tell(f"{error}; the run does not stop for that: the server is asked again for {_PATIENCE / 60:.0f} minutes")
                elif time.monotonic() - silent_since > _PATIENCE:
                    raise CxrError(f"{error}; {_not_followed(run_id)}") from error
                state = "without an answer"
            except NotThereError:
                raise
            except CxrError as error:
                raise CxrError(f"{error}; {_not_followed(run_id)}") from error
            else:
                if silent_since is not None:
                    silent_since = None
                    tell(f"run {run_id}: the server answers again")
                if found != last:
                    yield found
                    last = found
                # KFP's tables of runs and of tasks are two: a run may be seen as finished before its last tasks are
                if found.finished and not (found.unreported and late):
                    return
                late -= found.finished
                state = found.state
            over = timeout is not None and time.monotonic() - start > timeout
            if over and not (last and last.finished):
                raise CxrError(f"run {run_id}: still {state} after {timeout:.0f} s; it goes on: `cxr kubeflow status {run_id}`")
            time.sleep(poll)

    def cancel(self, run_id: str) -> None:
        """Stops a run."""
        with explained(f"run {run_id}"):
            self._client.terminate_run(run_id)


def _not_followed(run_id: str) -> str:
    return f"the run was not stopped, only this command no longer follows it: `cxr kubeflow status {run_id} --wait` does again"


def _client(**settings: Any) -> Any:
    """Returns kfp's client.

    Its own question whether the server is well takes every refusal for a fault that passes, shows a traceback for each, and forgets them.
    """
    import kfp
    import kfp_server_api

    class Client(kfp.Client):
        def get_kfp_healthz(self, sleep_duration: float = _HEALTH_PAUSE) -> Any:
            calls = 1
            while True:
                try:
                    return self.healthzs.healthz_service_get_healthz()
                except kfp_server_api.ApiException as error:
                    if calls == _HEALTH_CALLS or not passes(error.status):
                        raise
                calls += 1
                time.sleep(sleep_duration)

    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each attempt at a server that is not there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that it wants KFP 2, which docs/kubeflow.md says
        return Client(**settings)


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
        load_kubeconfig(kubernetes.client.Configuration())
    except kubernetes.config.ConfigException as error:
        raise CxrError(
            f"where is Kubeflow Pipelines? No --host, no pod around this command, no kubeconfig that can be used ({error}); {remedy}"
        ) from error
    return None
