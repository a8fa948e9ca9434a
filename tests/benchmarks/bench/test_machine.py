import platform

import pytest
from bench.machine import _cpu

from cxr.core.machine import processor

CORE = "processor\t: {number}\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse2 {flags}\n\n"


@pytest.mark.parametrize(
    ("flags", "said"), [("avx avx2", "AMD EPYC avx2"), ("avx avx2 avx512f avx512bw", "AMD EPYC avx512f"), ("", "AMD EPYC")]
)
def test_a_processor_is_told_with_its_vectors(tmp_path, flags, said):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("".join(CORE.format(number=number, flags=flags) for number in range(2)))
    assert _cpu(processor(tmp_path)) == said


def test_where_linux_does_not_say(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("Processor\t: ARMv8\n")
    assert _cpu(processor(tmp_path)) == _cpu(processor(tmp_path / "missing")) == platform.machine()
