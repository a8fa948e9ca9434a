"""What a worker of Beam fails with comes back to whoever runs the job, once, whatever becomes of the output."""

import logging
import os
import sys
import threading

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import sdk_worker

from cxr.core.beam_options import local
from cxr.data.beam_errors import told_once

pytestmark = pytest.mark.seconds
PATIENCE = 60  # seconds
THREADS = ("--direct_running_mode=multi_threading", "--direct_num_workers=2")  # as ingest reads


def divide(number):
    return 1 / number


def failure(*options):
    """Runs a job that fails, beside the test, which a job that never ends must not hold up; returns its error."""
    found = []

    def job():
        try:
            with told_once(), beam.Pipeline(options=PipelineOptions(options)) as pipeline:
                _ = pipeline | beam.Create([0]) | beam.Map(divide)
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=job, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the job waits for ever"
    (error,) = found
    return error


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_told_once(workers, capfd, caplog):
    assert "division by zero" in str(failure(*local(workers)))
    assert "division by zero" not in capfd.readouterr().err
    assert not caplog.records
    assert logging.getLogger("apache_beam.runners.worker").level == logging.NOTSET
    assert not hasattr(sdk_worker, "print")


def test_a_job_that_fails_ends_where_nobody_reads_its_output(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as closed:
        monkeypatch.setattr(sys, "stderr", closed)
        assert "division by zero" in str(failure(*local(1), *THREADS))
        monkeypatch.undo()
