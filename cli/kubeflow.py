"""`cxr kubeflow`: compile for a cluster, submit, follow."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.cli.options import help_of
from cxr.core.visible import visible

if TYPE_CHECKING:
    from cxr.kubeflow.client import Pipelines
    from cxr.kubeflow.run_state import Run

COMPILE = """
[bold]Examples[/bold]

  cxr kubeflow compile --config full --image registry.example/cxr@sha256:… --out pipeline.yaml

  cxr kubeflow compile --config full --cluster gpu.yaml --image registry.example/cxr@sha256:… defaults.head_training.epochs=32
"""
SUBMIT = """
[bold]Examples[/bold]

  cxr kubeflow submit pipeline.yaml --host http://localhost:8080

  cxr kubeflow submit pipeline.yaml data=gs://bucket/records epochs_mobilenet=8 min_accuracy_ensemble=0.9 --no-wait

  cxr kubeflow submit pipeline.yaml --no-baseline --experiment first

  cxr kubeflow submit pipeline.yaml --cron "0 0 3 * * *" --name nightly
"""
STATUS = """
[bold]Examples[/bold]

  cxr kubeflow status 5a3e… --host http://localhost:8080
"""
LOGS = """
[bold]Examples[/bold]

  cxr kubeflow logs 5a3e… --namespace kubeflow --task Trainer-mobilenet
"""
_CRON_FIELDS = 6  # of KFP, which reads seconds first
CODES = """
Exit codes: 0 every model was blessed and pushed (or the run goes on, where the command does not wait), 3 a gate refused a model,
1 the run failed or was cancelled, or this command failed: Kubeflow did not answer, or the wait ended before the run, which then goes on.
"""
CANCEL = """
[bold]Examples[/bold]

  cxr kubeflow cancel 5a3e… --host http://localhost:8080
"""

Host = Annotated[
    str | None,
    typer.Option(envvar="CXR_KFP_HOST", help="URL of Kubeflow Pipelines; none: the service beside this pod, elsewhere by kubeconfig"),
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", envvar="CXR_KFP_NAMESPACE", help="namespace of the runs; your own where KFP has several users")
]
Installation = Annotated[str, typer.Option(envvar="CXR_KFP_INSTALLATION", help="namespace that Kubeflow Pipelines itself is installed in")]
TokenFile = Annotated[Path | None, typer.Option(envvar="CXR_KFP_TOKEN_FILE", help="file with a bearer token (in a pod: the projected one)")]
CaCert = Annotated[Path | None, typer.Option(envvar="CXR_KFP_CA_CERT", help="certificate authority of the host")]
Wait = Annotated[bool, typer.Option(help="follow the run to its end")]
Timeout = Annotated[float | None, typer.Option(help="longest wait, in seconds")]
RunId = Annotated[str, typer.Argument(help="id of the run, as `submit` printed it")]


def register(app: typer.Typer) -> None:
    """Adds `cxr kubeflow` and its commands."""
    kubeflow = typer.Typer(help="The same pipeline on Kubeflow Pipelines 2.x.", no_args_is_help=True, rich_markup_mode="rich")
    kubeflow.command("compile", help=help_of(compile_, COMPILE))(compile_)
    kubeflow.command("submit", help=help_of(submit, CODES, SUBMIT))(submit)
    kubeflow.command("status", help=help_of(status, CODES, STATUS))(status)
    kubeflow.command("logs", help=help_of(logs, LOGS))(logs)
    kubeflow.command("cancel", help=help_of(cancel, CANCEL))(cancel)
    app.add_typer(kubeflow, name="kubeflow")


def compile_(
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the configuration")] = None,
    config: Annotated[str, typer.Option("--config", "-c", help="a shipped configuration or a YAML file")] = "full",
    image: Annotated[str, typer.Option(help="container image by digest: name@sha256:…")] = ...,  # type: ignore[assignment]
    cluster: Annotated[Path | None, typer.Option(help="the cluster's YAML; none: the shipped kubeflow/cluster.yaml")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write")] = Path("pipeline.yaml"),
    baseline: Annotated[bool, typer.Option(help="compare with the champions, where there are any")] = True,
) -> None:
    """Write the pipeline as the YAML that Kubeflow Pipelines takes."""
    from cxr.core.console import Console
    from cxr.core.imports import uncollected
    from cxr.core.silence import silenced
    from cxr.kubeflow.cluster import load_cluster
    from cxr.kubeflow.lint import check_settings
    from cxr.pipeline.pipeline_config import load

    loaded, cluster_config = load(config, overrides or ()), load_cluster(cluster)
    check_settings(loaded, cluster_config, image)
    with Console(stderr=True).status("compiling"), silenced(), uncollected():
        from cxr.kubeflow.compile import compile_config

        compiled = compile_config(loaded, cluster_config, image, baseline=baseline)
    compiled.write(out)
    typer.echo(str(out))


def submit(
    package: Annotated[Path, typer.Argument(help="what `compile` wrote")],
    parameters: Annotated[
        list[str] | None, typer.Argument(help="name=value of the run's parameters; the YAML's first lines list them")
    ] = None,
    host: Host = None,
    namespace: Namespace = "kubeflow",
    installation: Installation = "kubeflow",
    token_file: TokenFile = None,
    ca_cert: CaCert = None,
    experiment: Annotated[str, typer.Option(help="experiment of the run; made if it does not exist")] = "cxr",
    name: Annotated[str | None, typer.Option(help="name of the run")] = None,
    no_baseline: Annotated[bool, typer.Option("--no-baseline", help="compare with no champion: sets every baseline_… to none")] = False,
    pipeline_root: Annotated[str | None, typer.Option(help="gs://, s3:// or minio://; none: as compiled, or the installation's")] = None,
    service_account: Annotated[str | None, typer.Option(help="service account of the run's pods")] = None,
    cache: Annotated[bool, typer.Option(help="use results of earlier runs")] = True,
    cron: Annotated[str | None, typer.Option(help='recurring run instead: "second minute hour day month weekday"')] = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Start a run, or a recurring one, and wait for it."""
    from cxr.core.errors import UsageError
    from cxr.kubeflow.package import checked_parameters

    if cron is not None and len(cron.split()) != _CRON_FIELDS and not cron.startswith("@"):
        raise UsageError(f"--cron {cron!r}: six fields are wanted, seconds first, as in '0 0 3 * * *' (daily at 3), or @daily and the like")
    if wrong := [item for item in parameters or () if "=" not in item]:
        raise UsageError(f"{wrong[0]!r}: a parameter is name=value")
    given: dict[str, str] = {}
    for key, value in (item.split("=", 1) for item in parameters or ()):
        if key in given:
            raise UsageError(f"parameter {key}: given twice, as {given[key]!r} and as {value!r}")
        given[key] = value
    if no_baseline:
        none = _no_baselines(package)
        if against := [key for key in none if given.get(key, none[key]) != none[key]]:
            raise UsageError(f"--no-baseline and {against[0]}={given[against[0]]}: say one of them")
        given |= none
    values = checked_parameters(package, given)
    pipelines = _connect(host, namespace, installation, token_file, ca_cert)
    if cron:
        recurring = pipelines.submit_recurring(
            package,
            values,
            cron=cron,
            name=name or package.stem,
            experiment=experiment,
            pipeline_root=pipeline_root,
            service_account=service_account,
            cache=cache,
        )
        typer.echo(recurring)
        return
    run_id = pipelines.submit(
        package, values, experiment=experiment, name=name, pipeline_root=pipeline_root, service_account=service_account, cache=cache
    )
    typer.echo(run_id)
    if wait:
        raise typer.Exit(_follow(pipelines, run_id, timeout))


def status(
    run_id: RunId,
    host: Host = None,
    namespace: Namespace = "kubeflow",
    installation: Installation = "kubeflow",
    token_file: TokenFile = None,
    ca_cert: CaCert = None,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Show the state of a run and its tasks."""
    pipelines = _connect(host, namespace, installation, token_file, ca_cert)
    if wait:
        raise typer.Exit(_follow(pipelines, run_id, timeout))
    run = pipelines.run(run_id)
    for task in run.tasks:
        typer.echo(visible(f"{task.state:<12}{task.name}{'  ' + task.error if task.error else ''}"))
    typer.echo(visible(f"{run.state:<12}{run.name} {run.error}".rstrip()))
    raise typer.Exit(_conclude(run))


def logs(
    run_id: RunId,
    namespace: Namespace = "kubeflow",
    task: Annotated[str | None, typer.Option(help="one task only")] = None,
) -> None:
    """Print the logs of a run's tasks."""
    from cxr.kubeflow.pod_logs import pod_logs

    for pod, text in pod_logs(run_id, namespace, task):
        typer.echo(visible(f"=== {pod}\n{text}"))


def cancel(
    run_id: RunId,
    host: Host = None,
    namespace: Namespace = "kubeflow",
    installation: Installation = "kubeflow",
    token_file: TokenFile = None,
    ca_cert: CaCert = None,
) -> None:
    """Stop a run."""
    _connect(host, namespace, installation, token_file, ca_cert).cancel(run_id)


def _connect(host: str | None, namespace: str, installation: str, token_file: Path | None, ca_cert: Path | None) -> Pipelines:
    from cxr.core.errors import UsageError
    from cxr.kubeflow.client import TOKEN_FILE, Address, Pipelines

    if token_file is None and host is None and Path(TOKEN_FILE).is_file():
        token_file = Path(TOKEN_FILE)
    for option, file in (("--token-file", token_file), ("--ca-cert", ca_cert)):
        if file and not file.is_file():
            raise UsageError(f"{option} {file}: no such file")
    return Pipelines(
        Address(
            host=host,
            namespace=namespace,
            installation=installation,
            token=os.environ.get("CXR_KFP_TOKEN"),  # not an option: command lines can be read by others
            token_file=str(token_file) if token_file else None,
            ca_cert=str(ca_cert) if ca_cert else None,
        )
    )


def _follow(pipelines: Pipelines, run_id: str, timeout: float | None) -> int:
    """Prints every change of a run's tasks; returns the exit code."""
    seen: dict[str, str] = {}
    try:
        for run in pipelines.watch(run_id, timeout=timeout, tell=lambda text: typer.echo(visible(text), err=True)):
            for task in run.tasks:
                if seen.get(task.name) != task.state:
                    seen[task.name] = task.state
                    typer.echo(visible(f"{task.state:<12}{task.name}{'  ' + task.error if task.error else ''}"), err=True)
    except KeyboardInterrupt:  # SIGTERM and a closed terminal too
        with suppress(OSError):
            typer.echo(
                f"the run was not stopped: `cxr kubeflow status {run_id} --wait` follows it, `cxr kubeflow cancel {run_id}` stops it",
                err=True,
            )
        raise
    typer.echo(f"{run.state:<12}run {run_id}", err=True)
    return _conclude(run)


def _conclude(run: Run) -> int:
    """Says which models were not pushed; returns the exit code."""
    if run.verdict:
        typer.echo(run.verdict, err=True)
    return run.exit_code


def _no_baselines(package: Path) -> dict[str, str]:
    from cxr.kubeflow.package import read
    from cxr.kubeflow.pushing import NO_BASELINE

    _, parameters = read(package)
    return {name: NO_BASELINE for name in parameters if name.startswith("baseline_")}
