"""What is taken from the machine's own package sources. The download itself is done by every set-up on an older system."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("newer_glibc", Path(__file__).parents[2] / "tools/newer_glibc.py")
assert SPEC is not None
assert SPEC.loader is not None
newer_glibc = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(newer_glibc)

DEBIAN = """\
Types: deb deb-src
# a comment
URIs: file:/srv/mirror/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: file:/srv/mirror/debian-security
Suites: bookworm-security
Components: main
"""
WANTED = """\
Types: deb
URIs: file:/srv/mirror/debian
Suites: trixie
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\n", "bookworm"),
        ('ID=linuxmint\nVERSION_CODENAME="vera"\nUBUNTU_CODENAME=jammy\n', "jammy"),
        ("ID=fedora\nVERSION_ID=38\n", ""),
        ("", ""),
    ],
)
def test_codename(text, name):
    assert newer_glibc.codename(text) == name


def test_deb822_sources_keep_mirror_and_keyring():
    assert newer_glibc.newer_sources({"debian.sources": DEBIAN}, "bookworm") == WANTED


def test_keyring_inside_the_file_is_kept():
    text = DEBIAN.split("\n\n")[0].replace(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----",
    )
    result = newer_glibc.newer_sources({"debian.sources": text}, "bookworm")
    assert "\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n" in result


def test_one_line_sources():
    text = "\n".join(
        [
            "# deb file:/srv/old/ubuntu jammy main",
            "deb cdrom:[Ubuntu 22.04]/ jammy main",
            "deb-src file:/srv/mirror/ubuntu jammy main",
            "deb [arch=amd64 signed-by=/etc/apt/keyrings/u.gpg] file:/srv/mirror/ubuntu jammy main universe # ours",
            "deb file:/srv/mirror/ubuntu jammy-updates main",
            "deb file:/srv/vendor/ubuntu jammy stable",
        ]
    )
    result = newer_glibc.newer_sources({"/etc/apt/sources.list": text}, "jammy")
    assert result == (
        "Types: deb\nURIs: file:/srv/mirror/ubuntu\nSuites: noble\nComponents: main\nArchitectures: amd64\n"
        "Signed-By: /etc/apt/keyrings/u.gpg\n"
    )


def test_sources_switched_off_or_of_another_release_give_nothing():
    assert newer_glibc.newer_sources({"debian.sources": "Enabled: no\n" + DEBIAN.split("\n\n")[0]}, "bookworm") == ""
    assert newer_glibc.newer_sources({"debian.sources": DEBIAN}, "bullseye") == ""
    assert newer_glibc.newer_sources({}, "bookworm") == ""


def test_same_source_twice_counts_once():
    assert newer_glibc.newer_sources({"a.sources": DEBIAN, "b.sources": DEBIAN}, "bookworm") == WANTED


def test_unknown_distribution_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(newer_glibc, "codename", lambda text: "hirsute")
    with pytest.raises(newer_glibc.SetupError, match="Use a system with glibc 2.39 or newer"):
        newer_glibc.install(tmp_path)


def test_unknown_mirror_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(newer_glibc, "codename", lambda text: "bookworm")
    monkeypatch.setattr(newer_glibc.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(newer_glibc, "system_source_files", dict)
    with pytest.raises(newer_glibc.SetupError, match="offers 'bookworm main'"):
        newer_glibc.install(tmp_path)


def test_failing_command_shows_the_end_of_its_output(tmp_path):
    with pytest.raises(newer_glibc.SetupError, match=r"(?s)Check the network.*no such mirror"):
        newer_glibc.run(["sh", "-c", "echo no such mirror >&2; exit 100"], tmp_path, "Check the network.")
