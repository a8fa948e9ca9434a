"""Nodes whose Beam job runs elsewhere: a job server, a worker pool, and a folder that they share with the pod.

Beam's own job server in Python stands for Flink's and Spark's, which speak the same protocol; the pool is the one that the docs start.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import prepared
import pytest
import yaml
from processes import free_port, stop
from simulator.cluster import SimulatedCluster

from cxr.kubeflow.cluster import Cluster

BOOT = "CXR_TEST_BEAM_BOOT"  # path of Beam's boot where there is one: the pool then starts its workers as in the image
LISTENS_WITHIN = 300  # seconds; importing Beam takes a few, and many on a busy machine
JOB_ENDS_WITHIN = 240  # seconds; Beam's Python job server has no other end for a job whose worker never comes


@pytest.fixture
def started(tmp_path):
    """Starts a module of Beam in the background; returns its process and its log."""
    # As in the image, where /opt/cxr/bin comes first: the pool starts its workers as `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with ExitStack() as stack:

        def start(module, *arguments):
            log = tmp_path / f"{module}.log"
            process = subprocess.Popen(
                [sys.executable, "-m", f"apache_beam.runners.{module}", *arguments],
                stdout=stack.enter_context(open(log, "w")),
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": path, "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1"},
                start_new_session=True,
            )
            stack.callback(stop, process)
            return process, log

        yield start


def wait_for(port, process, log):
    end = time.monotonic() + LISTENS_WITHIN
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with socket.socket() as client:
            if client.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on {port}\n{log.read_text()}")


@pytest.mark.slow
def test_a_job_server_with_a_worker_pool(tmp_path, records, small_pipeline, image, started):
    from cxr.kubeflow import ir_pass
    from cxr.kubeflow.compile import compile_pipeline

    job, pool = free_port(), free_port()
    boot = [f"--container_executable={os.environ[BOOT]}"] if BOOT in os.environ else []
    pool_process, pool_log = started("worker.worker_pool_main", f"--service_port={pool}", *boot)
    job_process, job_log = started("portability.local_job_service_main", f"--port={job}", f"--staging_dir={tmp_path}/staging")
    settings = {
        "runner": "spark",
        "job_endpoint": f"localhost:{job}",
        "environment_config": f"localhost:{pool}",
        "worker_image": image,
        "shared": f"{tmp_path}/volume/shared",
        "options": [f"--job_server_timeout={JOB_ENDS_WITHIN}"],
    }
    volume = {"volumes": [{"claim": "cxr", "mount_path": f"{tmp_path}/volume"}], "serving_models": f"{tmp_path}/volume/models"}
    (tmp_path / "volume").mkdir()
    records.rename(tmp_path / "volume/records")
    paths = Cluster.model_validate({**volume, "data": f"{tmp_path}/volume/records", "beam": settings})

    spec = compile_pipeline(small_pipeline(paths.data, paths.beam.arguments()), image)
    ir_pass.share_with_workers(spec, settings["shared"])
    wait_for(pool, pool_process, pool_log)
    wait_for(job, job_process, job_log)
    result = SimulatedCluster(tmp_path / "cluster", parallel=1, start=prepared.run).run(yaml.safe_dump(spec))
    assert result.succeeded, f"{result.tasks}\n{pool_log.read_text()}"
    for split in ("train", "test"):
        uri = result.artifact("StatisticsGen", "statistics").uri.replace("://", "/")
        assert (tmp_path / "cluster/objects" / uri / f"Split-{split}/FeatureStats.pb").stat().st_size > 0
    assert pool_log.read_text().count("Starting worker with command") >= len(result.tasks)  # the workers were the pool's
