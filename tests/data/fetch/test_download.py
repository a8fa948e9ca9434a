import errno
import hashlib
import json
import os
import random
import shutil

import pytest

from cxr.data.fetch.catalogue import Remote
from cxr.data.fetch.connection import redirected, shown
from cxr.data.fetch.download import ATTEMPTS, LONGEST_WAIT
from cxr.data.fetch.errors import FetchError
from cxr.data.fetch.lock_file import LOCK

from .bad_server import always, cut_after, honest, send, tag

DATA = random.Random(7).randbytes(300_000)
MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"


def begin(total):
    return lambda more: None


@pytest.fixture
def remote(server):
    server.files["/a.bin"] = DATA
    return Remote("a.bin", f"{server.url}/a.bin")


def got(downloader, remote):
    return downloader().download(remote, begin).read_bytes()


def left_over(folder):
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith("."))


def test_a_file_and_its_lock(server, remote, downloader, tmp_path):
    steps = []

    def counted(total):
        steps.append(total)
        return steps.append

    path = downloader().download(remote, counted)
    assert path.read_bytes() == DATA
    assert steps[0] == len(DATA)
    assert sum(steps[1:]) == len(DATA)
    locked = json.loads((tmp_path / LOCK).read_text())["files"]["a.bin"]
    assert locked == {"url": remote.url, "size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest(), "published": None}
    assert left_over(tmp_path) == []
    assert got(downloader, remote) == DATA
    assert len(server.requests) == 1  # the second call asks nobody


def test_cuts_are_resumed_where_they_were(server, remote, downloader, waits):
    server.next_answers["/a.bin"] = [cut_after(100_000), cut_after(70_000), honest]
    assert got(downloader, remote) == DATA
    first, second, third = server.headers("/a.bin")
    assert "Range" not in first
    assert first["Accept-Encoding"] == "identity"
    assert (second["Range"], third["Range"]) == ("bytes=100000-", "bytes=170000-")
    assert second["If-Range"] == third["If-Range"] == tag(DATA)
    assert waits
    assert all(wait < 2 for wait in waits)  # what arrived begins the waiting anew


def test_a_line_that_is_cut_ever_again_is_not_given_up(server, remote, downloader):
    server.next_answers["/a.bin"] = [cut_after(20_000)] * (2 * ATTEMPTS)
    assert got(downloader, remote) == DATA
    assert len(server.requests) == 2 * ATTEMPTS + 1


def test_another_process_goes_on(server, remote, downloader, tmp_path, waits):
    server.next_answers["/a.bin"] = [cut_after(100_000)] + [always(503)] * ATTEMPTS
    with pytest.raises(FetchError, match="answered 503 .* call the same command again"):
        got(downloader, remote)
    assert not (tmp_path / "downloads" / "a.bin").exists()  # never half a file under its name
    assert (tmp_path / "downloads" / ".a.bin.part").stat().st_size > 0
    server.next_answers.clear()
    assert got(downloader, remote) == DATA
    assert "Range" in server.headers("/a.bin")[-1]


def test_ctrl_c_keeps_what_is_there(server, remote, downloader, tmp_path):
    seen = 0

    def interrupted(more):
        nonlocal seen
        seen += more
        if seen > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        downloader().download(remote, lambda total: interrupted)
    kept = (tmp_path / "downloads" / ".a.bin.part").stat().st_size
    assert kept >= 100_000
    assert got(downloader, remote) == DATA
    assert server.headers("/a.bin")[-1]["Range"] == f"bytes={kept}-"


def test_a_server_that_ignores_ranges(server, remote, downloader):
    def whole(handler, data):
        send(handler, 200, data, ETag=tag(data))

    server.next_answers["/a.bin"] = [cut_after(100_000), whole]
    assert got(downloader, remote) == DATA
    assert len(server.requests) == 2


def test_a_file_that_changes_between_attempts_is_not_mixed(server, remote, downloader):
    other = random.Random(8).randbytes(280_000)
    server.next_answers["/a.bin"] = [
        cut_after(100_000),
        lambda handler, data: server.files.update({"/a.bin": other}) or honest(handler, other),
    ]
    assert got(downloader, remote) == other


@pytest.mark.parametrize(("size", "tagged"), [(len(DATA), True), (280_000, False)])
def test_a_file_that_changes_on_a_server_that_ignores_if_range(server, remote, downloader, size, tagged):
    other = random.Random(8).randbytes(size)

    def rest_of_another(handler, data):
        server.files["/a.bin"] = other
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        facts = {"ETag": tag(other)} if tagged else {}
        send(handler, 206, other[start:], Content_Range=f"bytes {start}-{size - 1}/{size}", **facts)

    server.next_answers["/a.bin"] = [cut_after(100_000), rest_of_another]
    assert got(downloader, remote) == other
    assert len(server.requests) == 3


def test_what_came_from_another_address_is_not_gone_on_with(server, remote, downloader):
    server.next_answers["/a.bin"] = [cut_after(100_000)] + [always(404)]
    with pytest.raises(FetchError, match="404"):
        got(downloader, remote)
    server.files["/moved.bin"] = DATA
    assert got(downloader, Remote("a.bin", f"{server.url}/moved.bin")) == DATA
    assert "Range" not in server.headers("/moved.bin")[0]


def test_a_file_of_another_size_is_not_downloaded_first(server, downloader):
    server.files["/a.bin"] = DATA
    with pytest.raises(FetchError, match="has a file of 300,000 bytes, and 299,000 are expected"):
        downloader().download(Remote("a.bin", f"{server.url}/a.bin", size=299_000), lambda total: pytest.fail("was begun"))


def test_without_etag_and_checksum_nothing_is_resumed(server, remote, downloader):
    def nameless(handler, data):
        send(handler, 200, data, sent=data[:100_000])

    server.next_answers["/a.bin"] = [nameless]
    assert got(downloader, remote) == DATA
    assert "Range" not in server.headers("/a.bin")[1]


def test_a_length_that_is_too_long(server, remote, downloader):
    server.next_answers["/a.bin"] = [lambda handler, data: send(handler, 200, data, length=len(data) + 500, ETag=tag(data))]
    assert got(downloader, remote) == DATA  # the rest is asked for, and there is none
    server.next_answers["/b.bin"] = [lambda handler, data: send(handler, 200, DATA, length=len(DATA) + 500)] * ATTEMPTS
    with pytest.raises(FetchError, match="the connection was cut"):
        got(downloader, Remote("b.bin", f"{server.url}/b.bin"))


@pytest.mark.parametrize("known", [{"size": len(DATA)}, {"checksum": MD5}])
def test_a_length_that_is_too_short(server, downloader, tmp_path, known):
    server.files["/a.bin"] = DATA
    remote = Remote("a.bin", f"{server.url}/a.bin", **known)

    def short(handler, data):
        send(handler, 200, data, length=1000, ETag='"x"')

    server.next_answers["/a.bin"] = [short]
    assert got(downloader, remote) == DATA
    (tmp_path / "downloads" / "a.bin").unlink()
    (tmp_path / LOCK).unlink()
    server.next_answers["/a.bin"] = [short] * ATTEMPTS
    with pytest.raises(FetchError, match="expected|publishes"):
        got(downloader, remote)
    assert os.listdir(tmp_path / "downloads") == []


def test_chunks_that_end_early(server, remote, downloader):
    def chunked(handler, data):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n" % (1000, data[:1000]))
        handler.close_connection = True

    server.next_answers["/a.bin"] = [chunked]
    assert got(downloader, remote) == DATA


@pytest.mark.parametrize("checksum", [MD5, f"git:{hashlib.sha1(b'blob 300000' + bytes(1) + DATA).hexdigest()}"])
def test_published_checksums(server, downloader, tmp_path, checksum):
    server.files["/a.bin"] = DATA[:-1] + b"?"
    remote = Remote("a.bin", f"{server.url}/a.bin", checksum=checksum)
    with pytest.raises(FetchError, match="not what its source publishes"):
        got(downloader, remote)
    assert len(server.requests) == 2
    assert os.listdir(tmp_path / "downloads") == []
    server.files["/a.bin"] = DATA
    assert got(downloader, remote) == DATA
    assert json.loads((tmp_path / LOCK).read_text())["files"]["a.bin"]["published"] == checksum


def test_a_checksum_in_the_answer(server, remote, downloader):
    import base64

    right = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    server.next_answers["/a.bin"] = [lambda handler, data: send(handler, 200, data[:-1] + b"?", x_goog_hash=f"crc32c=AAAAAA==,md5={right}")]
    assert got(downloader, remote) == DATA


def test_the_first_download_is_trusted_and_no_other(server, remote, downloader, tmp_path):
    got(downloader, remote)
    (tmp_path / "downloads" / "a.bin").unlink()
    server.files["/a.bin"] = DATA[::-1]
    with pytest.raises(FetchError, match="another file than the one .* remove .*lock.json"):
        got(downloader, remote)
    assert not (tmp_path / "downloads" / "a.bin").exists()
    (tmp_path / LOCK).unlink()  # the remedy
    assert got(downloader, remote) == DATA[::-1]


def test_a_file_that_was_changed_here_is_downloaded_again(server, remote, downloader, tmp_path):
    got(downloader, remote)
    (tmp_path / "downloads" / "a.bin").write_bytes(DATA[::-1])
    assert got(downloader, remote) == DATA


@pytest.mark.parametrize(("status", "text"), [(404, "answered 404.*--from"), (410, "410"), (401, "401")])
def test_what_will_not_pass_is_asked_once(server, remote, downloader, status, text):
    server.next_answers["/a.bin"] = [always(status)]
    with pytest.raises(FetchError, match=text):
        got(downloader, remote)
    assert len(server.requests) == 1


def test_what_may_pass_is_asked_again_and_later(server, remote, downloader, waits):
    server.next_answers["/a.bin"] = [always(500), always(502), always(429, Retry_After="7"), always(503)]
    assert got(downloader, remote) == DATA
    assert waits[2] == 7
    assert waits[0] < waits[1] < waits[3]


@pytest.mark.parametrize("header", ["Retry_After", "X_RateLimit_Reset"])
def test_digits_that_are_no_number_end_nothing(server, remote, downloader, header):
    def busy(handler, data):
        send(handler, 503, **{header: "\u00b2"})

    def odd_length(handler, data):
        send(handler, 206, data, Content_Range=f"bytes 0-9/{'9' * 5000}")

    server.next_answers["/a.bin"] = [busy, odd_length, honest]
    assert got(downloader, remote) == DATA


def test_patience_has_an_end(server, remote, downloader, waits):
    server.next_answers["/a.bin"] = [always(500)] * 20
    with pytest.raises(FetchError, match=f"answered 500 .{ATTEMPTS} attempts"):
        got(downloader, remote)
    assert len(server.requests) == ATTEMPTS
    assert max(waits) < LONGEST_WAIT
    server.next_answers["/a.bin"] = [always(403, X_RateLimit_Remaining="0", Retry_After="1800")]
    with pytest.raises(FetchError, match="asks for 30 minutes"):
        got(downloader, remote)


def test_nobody_there(downloader, server, waits):
    server.close()
    with pytest.raises(FetchError, match="cannot be reached"):
        got(downloader, Remote("a.bin", f"{server.url}/a.bin"))
    assert len(waits) == ATTEMPTS - 1


def test_redirects_are_followed_and_signatures_not_shown(server, remote, downloader, console):
    server.next_answers["/old"] = [always(302, Location="/a.bin?signature=SECRET")]
    server.next_answers["/a.bin"] = [always(503)]
    server.next_answers["/old"] += [always(307, Location=f"{server.url}/a.bin?signature=SECRET")]
    assert got(downloader, Remote("a.bin", f"{server.url}/old")) == DATA
    assert server.requests[1][0] == "/a.bin?signature=SECRET"
    assert "SECRET" not in console.file.getvalue()


@pytest.mark.parametrize("location", ["/loop", "", "ftp://127.0.0.1/a.bin", "file:///etc/passwd"])
def test_redirects_that_lead_nowhere(server, downloader, location):
    server.next_answers["/loop"] = [always(301, Location=location)] * 20
    with pytest.raises(FetchError, match="redirects .*--from"):
        got(downloader, Remote("a.bin", f"{server.url}/loop"))
    assert len(server.requests) <= 11


def test_no_redirect_from_https_to_http():
    assert redirected("https://a.org/x", "https://b.org/y") == "https://b.org/y"
    assert redirected("http://a.org/x", "https://b.org/y") == "https://b.org/y"
    with pytest.raises(FetchError, match="from https to http"):
        redirected("https://a.org/x", "http://a.org/x")


def test_messages_show_no_query_and_no_image():
    assert shown("https://user:key@a.org/x.zip?signature=SECRET") == "https://a.org/x.zip"
    assert shown("https://a.org/images/DOE-JOHN.jpeg") == "https://a.org/images/…"


def test_a_web_page_in_place_of_the_file(server, remote, downloader):
    server.next_answers["/a.bin"] = [
        lambda handler, data: send(handler, 200, b"<html>log in</html>", Content_Type="text/html; charset=utf-8")
    ]
    with pytest.raises(FetchError, match="is a web page in place of the file"):
        got(downloader, remote)


def test_a_proxy_that_compresses(server, remote, downloader):
    server.next_answers["/a.bin"] = [lambda handler, data: send(handler, 200, data, Content_Encoding="gzip")]
    with pytest.raises(FetchError, match="sent compressed"):
        got(downloader, remote)


def test_too_little_room_is_said_before(server, remote, downloader, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(FetchError, match="needs 300.0 kB more, and the disk has 1.0 kB; make room"):
        got(downloader, remote)


def test_a_disk_that_fills_up(server, remote, downloader, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FetchError, match="the disk is full; make room"):
            got(downloader, remote)
    assert not (tmp_path / "downloads" / "a.bin").exists()
    assert got(downloader, remote) == DATA
    assert server.headers("/a.bin")[-1].get("Range") == f"bytes={len(DATA)}-"  # nothing is sent twice


def test_kaggles_credentials_go_to_kaggle_only(server, downloader, monkeypatch, tmp_path, console):
    server.files["/archive"] = DATA
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.next_answers["/download"] = [always(302, Location=f"{elsewhere}/archive")]
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    monkeypatch.setenv("KAGGLE_KEY", "TOPSECRET")
    monkeypatch.delenv("KAGGLE_API_TOKEN", raising=False)
    assert got(downloader, Remote("a.zip", f"{server.url}/download", kaggle=True)) == DATA
    (asked,), (redirect,) = server.headers("/download"), server.headers("/archive")
    assert asked["Authorization"] == "Basic c29tZWJvZHk6VE9QU0VDUkVU"
    assert "Authorization" not in redirect
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"TOPSECRET" not in path.read_bytes()


def test_a_password_of_netrc_does_not_replace_them(server, downloader, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password OTHER\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_1")
    server.files["/a.zip"] = DATA
    got(downloader, Remote("a.zip", f"{server.url}/a.zip", kaggle=True))
    assert server.headers("/a.zip")[0]["Authorization"] == "Bearer KGAT_1"


def test_refused_credentials(server, downloader, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_TOPSECRET")
    server.next_answers["/a.zip"] = [always(403)]
    with pytest.raises(FetchError, match="Kaggle refused .403.*--from") as caught:
        got(downloader, Remote("a.zip", f"{server.url}/a.zip", kaggle=True))
    assert "TOPSECRET" not in str(caught.value)


def test_no_credentials_is_said_before_anything_is_asked(server, downloader, monkeypatch, tmp_path):
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    remote = Remote("a.zip", f"{server.url}/a.zip", kaggle=True)
    with pytest.raises(FetchError, match="KAGGLE_USERNAME.*--from"):
        got(downloader, remote)
    (tmp_path / "kaggle.json").write_text('{"username": "somebody", "kee": "TOPSECRET"}')
    with pytest.raises(FetchError, match="is not the file that Kaggle hands out") as caught:
        got(downloader, remote)
    assert "TOPSECRET" not in str(caught.value)
    assert server.requests == []
    (tmp_path / "kaggle.json").write_text('{"username": "somebody", "key": "TOPSECRET"}')
    server.files["/a.zip"] = DATA
    assert got(downloader, remote) == DATA


def test_a_broken_lock_names_its_remedy(remote, downloader, tmp_path):
    (tmp_path / LOCK).write_text("{")
    with pytest.raises(FetchError, match="cannot be read; remove it"):
        downloader()


def test_a_name_that_leads_out_is_not_downloaded(server, downloader, tmp_path):
    server.files["/a.bin"] = DATA
    with pytest.raises(FetchError, match="leads out"):
        got(downloader, Remote("../a.bin", f"{server.url}/a.bin"))
    assert server.requests == []
