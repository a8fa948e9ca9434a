import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.core.errors import UsageError
from cxr.serving.client import inputs
from cxr.serving.client.errors import BadImage
from cxr.serving.client.inputs import encoded, find_images


def test_folders_give_their_images_in_order_and_files_stay_as_named(tmp_path: Path):
    wanted = ["a.PNG", "b/c.jpeg", "b/study.dcm", "b/z"]
    for name in [*wanted, "notes.txt", ".hidden.png", ".git/x.png", "b/plain", "@eaDir/a.PNG"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" if name.endswith("z") else b"x")
    named = tmp_path / "notes.txt"
    passed_over: list[Path] = []
    assert find_images([named, tmp_path], passed_over) == [named, *(tmp_path / name for name in wanted)]
    assert sorted(passed_over) == [tmp_path / "b" / "plain", named]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("name", ["IM0001", "1.2.840.10008.5"])
def test_images_are_found_by_content_where_the_name_says_nothing(tmp_path: Path, kind: str, name: str):
    Image.linear_gradient("L").save(tmp_path / name, kind)
    (tmp_path / "readme").write_bytes(b"BMW and II or MM, but no picture")
    assert find_images([tmp_path]) == [tmp_path / name]
    assert encoded(tmp_path / name)


def test_links_that_lead_nowhere_are_not_passed_over_and_folders_are_no_images(tmp_path: Path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "other").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder.png").mkdir()
    assert find_images([tmp_path]) == [tmp_path / "gone.png"]


def test_links_to_folders_are_followed_as_in_ingest_and_each_folder_is_looked_into_once(tmp_path: Path):
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (folder := tmp_path / "images").mkdir()
    for file in (elsewhere / "b.png", folder / "a.png", tmp_path / "above.png"):
        file.write_bytes(b"x")
    (folder / "disk").symlink_to(elsewhere)
    (folder / "disk too").symlink_to(elsewhere)
    (elsewhere / "ring").symlink_to(folder)
    (folder / "above").symlink_to(tmp_path)
    assert find_images([folder]) == [folder / "a.png", folder / "disk" / "b.png"]


def test_a_path_that_leads_nowhere_is_an_error(tmp_path: Path):
    with pytest.raises(UsageError, match="gone.png: no such file or folder"):
        find_images([tmp_path / "gone.png"])


def test_a_folder_without_images_is_an_error(tmp_path: Path):
    with pytest.raises(UsageError, match="no image below"):
        find_images([tmp_path])


def test_a_folder_in_place_of_a_file_is_not_said_to_have_no_images(tmp_path: Path, png):
    (tmp_path / "x.png").write_bytes(png(9, 16))
    with pytest.raises(BadImage, match=f"^{tmp_path}: is a folder; name the images in it, which `find_images` lists"):
        encoded(tmp_path)


def test_a_folder_in_place_of_a_file_is_not_looked_through(tmp_path: Path, png, monkeypatch: pytest.MonkeyPatch):
    for name in "abc":
        (tmp_path / name).write_bytes(png(9, 16))  # without a suffix: each is opened to see whether it is an image
    looked, is_image = [], inputs.reader.is_image

    def look(head: bytes) -> bool:
        looked.append(head)
        return is_image(head)

    monkeypatch.setattr(inputs.reader, "is_image", look)
    with pytest.raises(BadImage, match="is a folder; name the images in it"):
        encoded(tmp_path)
    assert len(looked) == 1


def test_a_folder_without_images_stops_no_other(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    assert find_images([tmp_path / "empty", tmp_path / "a.png"]) == [tmp_path / "empty", tmp_path / "a.png"]
    with pytest.raises(BadImage, match="empty: no image below this folder"):
        encoded(tmp_path / "empty")


def test_a_folder_that_may_not_be_looked_into_is_reported_and_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    closed, look = tmp_path / "b", os.scandir
    closed.mkdir()
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes(b"")

    def scandir(place: str | Path):
        if Path(place) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return look(place)

    monkeypatch.setattr(os, "scandir", scandir)
    assert find_images([tmp_path]) == [tmp_path / "a.png", closed, tmp_path / "c.png"]
    with pytest.raises(BadImage, match="b: cannot be listed .Permission denied.; check its permissions"):
        encoded(closed)
    with pytest.raises(UsageError, match="b: cannot be listed"):
        find_images([closed])


def test_what_is_sent_is_the_grey_picture(tmp_path: Path):
    import io

    pixels = np.arange(16 * 20, dtype=np.uint16).reshape(16, 20).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    sent = np.asarray(Image.open(io.BytesIO(encoded(tmp_path / "x.png"))))
    np.testing.assert_array_equal(sent, pixels)


@pytest.mark.parametrize("content", [None, b"", b"no image at all"])
def test_unreadable_files_name_themselves(tmp_path: Path, content: bytes | None):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadImage, match="x.png"):
        encoded(path)
