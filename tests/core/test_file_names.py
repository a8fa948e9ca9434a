import os

import pytest

from cxr.core.file_names import file_name_of


@pytest.mark.parametrize(
    "text", ["a/../../../../escaped", "/etc/passwd", "Hospital A/2020", "..", "a\0b", "a\nb", "Klinik Süd", "x" * 300, "医" * 300]
)
def test_no_folder_comes_of_a_name(tmp_path, text):
    file = tmp_path / f"1-{file_name_of(text)}.json"
    file.touch()
    assert os.listdir(tmp_path) == [file.name]


def test_what_is_a_name_already_stays():
    assert file_name_of("by-patient_1.a") == "by-patient_1.a"
