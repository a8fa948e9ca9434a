"""Worker processes: jobs are shared among them, and two runners that count their workers alike do not disturb each other."""

import os
import subprocess
import sys
import threading
import time

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.environments import ExternalEnvironment

from cxr.core.beam_options import local
from cxr.core.errors import CxrError
from cxr.data.beam_workers import WorkerPool, serving

pytestmark = pytest.mark.seconds


def process_of(element):
    time.sleep(0.01)  # so that no worker is done before the next one has begun
    return os.getpid(), element


def write_processes(folder, runner=None, options=()):
    """Runs a job with a shuffle and a side input; returns {process: how many elements it had}, and the sum."""
    with beam.Pipeline(runner, options=PipelineOptions(list(options))) as pipeline:
        numbers = pipeline | beam.Create(range(60)) | beam.Reshuffle()
        total = numbers | beam.CombineGlobally(sum)
        seen = numbers | "Process" >> beam.Map(process_of)
        counts = seen | beam.combiners.Count.PerKey()
        shown = counts | "Show" >> beam.Map(lambda pair, total: f"{pair[0]} {pair[1]} {total}", total=beam.pvalue.AsSingleton(total))
        _ = shown | beam.io.WriteToText(str(folder / "counts"))
    lines = [line.split() for path in folder.glob("counts*") for line in path.read_text().splitlines()]
    assert {line[2] for line in lines} == {str(sum(range(60)))}
    return {int(process): int(count) for process, count, _ in lines}


def test_three_processes_share_a_job(tmp_path, capfd):
    counts = write_processes(tmp_path, options=local(3))
    assert len(counts) == 3
    assert os.getpid() not in counts
    assert sum(counts.values()) == 60
    assert not any(os.path.exists(f"/proc/{process}") for process in counts)
    assert capfd.readouterr().out == ""


def test_two_runners_at_one_pool(tmp_path):
    """Both call their first worker by the same name; Beam's own pool would kill the one when the other has ended."""
    found, failed = {}, []

    def job(name, address):
        (tmp_path / name).mkdir()
        try:
            found[name] = write_processes(tmp_path / name, FnApiRunner(ExternalEnvironment(address)))
        except Exception as error:  # of a thread: raised below
            failed.append(error)

    with serving(WorkerPool()) as address:
        threads = [threading.Thread(target=job, args=(name, address)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed
    assert [sum(found[name].values()) for name in ("a", "b")] == [60, 60]
    assert not found["a"].keys() & found["b"].keys()


def test_a_pool_that_is_a_process_of_its_own_works(tmp_path):
    """Beside Flink's and Spark's workers: there its module is the main one, which the processes that it starts do without."""
    command = [sys.executable, "-m", "cxr.data.beam_workers", "--address", "localhost:0"]
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pool:
        try:
            assert pool.stdout is not None
            address = pool.stdout.readline().split()[-1]
            job = threading.Thread(
                target=lambda: found.append(write_processes(tmp_path, FnApiRunner(ExternalEnvironment(address)))), daemon=True
            )
            job.start()
            job.join(120)  # a worker that cannot begin is waited for
        finally:
            pool.terminate()
    assert [sum(counts.values()) for counts in found] == [60]


def test_a_taken_port_says_so():
    with serving(WorkerPool()) as address, pytest.raises(CxrError, match="another pool may be there"), serving(WorkerPool(), address):
        pass


def test_workers_see_the_gpus_that_the_node_sees(tmp_path, monkeypatch):
    """They are forked by a pool that knows nothing of the node."""

    def seen(element):
        return os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH")

    with serving(WorkerPool()) as address:
        for visible in ("-1", "0"):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
            with beam.Pipeline(options=PipelineOptions(list(local(2, address)))) as pipeline:
                _ = pipeline | beam.Create([0]) | beam.Map(seen) | beam.io.WriteToText(str(tmp_path / visible))
            (file,) = tmp_path.glob(f"{visible}-*")
            assert file.read_text().strip() == str((visible, "true"))
