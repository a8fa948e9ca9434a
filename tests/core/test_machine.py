import os

import pytest

from cxr.core import machine

GIB = 2**30


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {16 * GIB // 1024} kB\n")

    def write(**files):
        for name, text in files.items():
            file = tmp_path / "sys/fs/cgroup" / name.replace("__", "/").replace("_OF_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("files", "cores", "gibibytes"),
    [
        ({}, 8, 16),
        ({"cpu_OF_max": "250000 100000\n", "memory_OF_max": f"{4 * GIB}\n", "memory_OF_current": f"{GIB}\n"}, 2, 3),
        ({"memory_OF_max": f"{4 * GIB}", "memory_OF_current": f"{4 * GIB}", "memory_OF_stat": f"anon 9\ninactive_file {GIB}\n"}, 8, 1),
        ({"cpu_OF_max": "max 100000\n", "memory_OF_max": "max\n", "memory_OF_current": f"{GIB}\n"}, 8, 16),
        ({"cpu_OF_max": "50000 100000\n", "memory_OF_max": f"{GIB}\n", "memory_OF_current": f"{2 * GIB}\n"}, 1, 0),
        ({"cpu__cpu_OF_cfs_quota_us": "400000\n", "cpu__cpu_OF_cfs_period_us": "100000\n"}, 4, 16),
        ({"cpu__cpu_OF_cfs_quota_us": "-1\n", "cpu__cpu_OF_cfs_period_us": "100000\n"}, 8, 16),
        ({"memory__memory_OF_limit_in_bytes": f"{2 * GIB}", "memory__memory_OF_usage_in_bytes": f"{GIB}"}, 8, 1),
        (
            {
                "memory__memory_OF_limit_in_bytes": f"{4 * GIB}",
                "memory__memory_OF_usage_in_bytes": f"{4 * GIB}",
                "memory__memory_OF_stat": f"inactive_file 0\ntotal_inactive_file {2 * GIB}\n",
            },
            8,
            2,
        ),
    ],
)
def test_limits_of_a_container_count(root, files, cores, gibibytes):
    folder = root(**files)
    assert machine.cores(folder) == cores
    assert machine.available_memory(folder) == gibibytes * GIB


def test_this_machine():
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)
    assert machine.available_memory() > 0


def test_the_first_core_tells_what_the_processor_is(tmp_path):
    assert machine.processor(tmp_path) == {}
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("model name\t: A: B\nflags\t\t: avx2 amx_bf16\n\nmodel name\t: C\n")
    assert machine.processor(tmp_path) == {"model name": "A: B", "flags": "avx2 amx_bf16"}
