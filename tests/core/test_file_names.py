import os

import pytest

from cxr.core.errors import UsageError
from cxr.core.file_names import check_readable, file_name_of


@pytest.mark.parametrize(
    "text", ["a/../../../../escaped", "/etc/passwd", "Hospital A/2020", "..", "a\0b", "a\nb", "Klinik Süd", "x" * 300, "医" * 300]
)
def test_no_folder_comes_of_a_name(tmp_path, text):
    file = tmp_path / f"1-{file_name_of(text)}.json"
    file.touch()
    assert os.listdir(tmp_path) == [file.name]


def test_what_is_a_name_already_stays():
    assert file_name_of("by-patient_1.a") == "by-patient_1.a"


@pytest.mark.seconds
@pytest.mark.parametrize("name", ["wörk sp=50%", "a\nb\tc", "{x,y}", "'\"$HOME~", "@2", "[1]", "a?", "*", "a\\b", "\udcff"])
def test_a_folder_is_refused_where_tensorflow_does_not_find_just_its_files(tmp_path, name):
    import tensorflow as tf

    for folder in (name, "ax"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").touch()
    try:
        found = tf.io.gfile.glob(str(tmp_path / name / "*"))
    except UnicodeError:
        found = []
    if found == [str(tmp_path / name / "file")]:
        check_readable("--data", tmp_path / name)
    else:
        with pytest.raises(UsageError, match="^--data .*; name a folder without them") as error:
            check_readable("--data", tmp_path / name)
        assert f"({tmp_path / name})" in str(error.value)
