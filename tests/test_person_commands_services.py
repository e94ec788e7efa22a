"""The same commands on HTTP and S3 services."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from command_runs import wf_transfer
from wf.protocols.locations import parse_location
from wf.transfer.places import only_inside

if TYPE_CHECKING:
    from pathlib import Path

    from command_runs import Run
    from servers.nginx import Nginx
    from servers.seaweed import Seaweed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "here"
    made.mkdir()
    return made


# --- HTTP


def test_a_file_is_fetched_under_its_decoded_name(web: Nginx, folder: Path) -> None:
    (web.root / "a b%.dat").write_bytes(b"abc")
    run = wf_transfer(folder, "cp", f"{web.url}/a%20b%25.dat?version=1", f"{web.url}/a b%25.dat#x", "./two/")
    assert run.code == 1, "both have one name"
    assert os.listdir(folder / "two") == ["a b%.dat"]
    assert (folder / "two/a b%.dat").read_bytes() == b"abc"


def test_a_local_name_is_encoded_where_it_goes_to_a_web_server(web: Nginx, folder: Path) -> None:
    for name in ("a b", "per%20cent", "q?x#y", "ü"):
        (folder / name).write_bytes(name.encode())
    run = wf_transfer(folder, "cp", "a b", "per%20cent", "q?x#y", "ü", f"{web.url}/put/")
    assert run.code == 0, run.err
    assert {path.name: path.read_text() for path in (web.root / "put").iterdir()} == {
        name: name for name in ("a b", "per%20cent", "q?x#y", "ü")
    }


@pytest.mark.parametrize("name", ["%2e%2e", "..%2Fescaped", "%2Fetc%2Fescaped", "a%00b", "a%2Fb"])
def test_a_name_of_a_server_does_not_lead_out_of_the_folder(web: Nginx, folder: Path, name: str) -> None:
    (web.root / "good").write_bytes(b"good")
    run = wf_transfer(folder, "cp", f"{web.url}/{name}", f"{web.url}/good", "new/")
    assert run.code == 1
    assert "cannot keep its name" in run.err
    assert [str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))] == ["new", "new/good"]


def test_a_url_without_a_name_needs_one(web: Nginx, folder: Path) -> None:
    (web.root / "index.html").write_bytes(b"welcome")
    run = wf_transfer(folder, "cp", f"{web.url}/", "new/")
    assert run.code == 1
    assert "write the name of the file at the destination" in run.err
    assert wf_transfer(folder, "cp", f"{web.url}/", "page").code == 0
    assert (folder / "page").read_bytes() == b"welcome"


def test_a_web_server_has_no_folders_to_list_or_copy(web: Nginx, folder: Path) -> None:
    (web.root / "list").mkdir()
    for arguments in (["ls", f"{web.url}/list/"], ["mkdir", f"{web.url}/put/new"]):
        run = wf_transfer(folder, *arguments)
        assert run.code == 1
        assert "[unsupported]" in run.err


def test_a_folder_of_a_web_server_is_not_copied_as_a_page(web: Nginx, folder: Path) -> None:
    (web.root / "list").mkdir()
    (web.root / "list/index.html").write_bytes(b"page")
    for arguments in (["-r", f"{web.url}/list/"], ["-r", f"{web.url}/"], [f"{web.url}/list/"]):
        run = wf_transfer(folder, "cp", *arguments, "copy")
        assert run.code == 1
        assert "is a folder, and http has no listing of folders [unsupported]" in run.err
        assert "what to do: name the files in it" in run.err
    assert not (folder / "copy").exists()


def test_r_copies_a_single_file_too(web: Nginx, folder: Path) -> None:
    (web.root / "abc").write_bytes(b"abc")
    assert wf_transfer(folder, "cp", "-r", f"{web.url}/abc", "copy").code == 0
    assert (folder / "copy").read_bytes() == b"abc"


def test_a_file_on_a_web_server_is_listed_and_described(web: Nginx, folder: Path) -> None:
    (web.root / "abc").write_bytes(b"abc")
    os.utime(web.root / "abc", (0, 0))
    url = f"{web.url}/abc"
    assert wf_transfer(folder, "ls", url).lines() == [url]
    (record,) = wf_transfer(folder, "stat", "--json", url).records()
    assert (record["url"], record["size"], record["modified"]) == (url, 3, "1970-01-01T00:00:00.000000Z")
    assert record["version"].startswith('"')


def test_a_server_that_tells_no_digest_says_so(web: Nginx, folder: Path) -> None:
    (web.root / "abc").write_bytes(b"abc")
    run = wf_transfer(folder, "stat", "--digest", "sha256", f"{web.url}/abc")
    assert (run.code, run.out) == (1, "")
    assert "its service does not tell a sha256; copy it with wf-transfer cp" in run.err


def test_a_digest_that_the_server_tells_is_printed(web: Nginx, folder: Path) -> None:
    digest = hashlib.sha256(b"abc")
    (web.root / "abc").write_bytes(b"abc")
    run = _stat_of_scripted(folder, digest.digest())
    assert run.code == 0, run.err
    assert ["sha256", digest.hexdigest()] in [line.split() for line in run.lines()]


def _stat_of_scripted(folder: Path, value: bytes) -> Run:
    """`stat --digest` of a file on a server of our own, which tells its Repr-Digest (RFC 9530)."""
    import base64
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.send_header("Repr-Digest", f"sha-256=:{base64.b64encode(value).decode()}:")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            return wf_transfer(
                folder, "stat", "--digest", "sha256", f"http://127.0.0.1:{server.server_port}/a"
            )
        finally:
            server.shutdown()
            thread.join()


def test_http_errors_have_their_exit_codes(web: Nginx, folder: Path) -> None:
    cases = {"absent": (1, "[not-found]"), "basic/abc": (77, "[denied]"), "e503": (75, "[busy]")}
    (web.root / "abc").write_bytes(b"abc")
    for path, (code, told) in cases.items():
        run = wf_transfer(folder, "stat", f"{web.url}/{path}")
        assert (run.code, run.out) == (code, "")
        assert told in run.err
        assert len(run.err.splitlines()) == 1


def test_the_credentials_option_is_obeyed(web: Nginx, folder: Path) -> None:
    (web.root / "abc").write_bytes(b"abc")
    file = folder / "credentials"
    file.write_text(f"[127.0.0.1:{web.port}]\nheader.X-Token = header-token-456\n")
    file.chmod(0o600)
    url = f"{web.url}/header/abc"
    assert wf_transfer(folder, "stat", url).code == 77
    assert wf_transfer(folder, "stat", "--credentials", "credentials", url).code == 0
    assert wf_transfer(folder, "cp", "--credentials", "credentials", url, "copy").code == 0


def test_a_password_in_a_url_is_never_shown(web: Nginx, folder: Path) -> None:
    (web.root / "abc").write_bytes(b"abc")
    url = f"http://alice:hunter2@127.0.0.1:{web.port}"
    for arguments in (
        ["stat", f"{url}/absent"],
        ["stat", f"{url}/abc"],
        ["stat", "--json", f"{url}/abc"],
        ["ls", f"{url}/abc", f"{url}/absent"],
        ["cp", "-r", f"{url}/absent", f"{url}/abc", "new/"],
        ["rm", f"{url}/abc"],
        ["cp", f"{url}/abc", f"{url}/other", f"{url}/no-folder"],
    ):
        run = wf_transfer(folder, *arguments)
        assert "hunter2" not in run.out + run.err
        assert "127.0.0.1" in run.out + run.err


# --- S3


@pytest.fixture
def keys(s3: Seaweed) -> dict[str, str]:
    """The environment that leads to the service."""
    return {
        "AWS_ACCESS_KEY_ID": s3.admin.access,
        "AWS_SECRET_ACCESS_KEY": s3.admin.secret,
        "AWS_ENDPOINT_URL": s3.endpoint,
    }


def test_a_tree_goes_to_s3_and_comes_back(
    s3: Seaweed, bucket: str, keys: dict[str, str], folder: Path
) -> None:
    names = ["a", "sub/b c", "sub/deep/per%20cent", "q?x#y", "ü"]
    for name in names:
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_bytes(name.encode())
    run = wf_transfer(folder, "cp", "-r", "tree", f"s3://{bucket}/", environment=keys)
    assert run.code == 0, run.err
    found = s3.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert {item["Key"] for item in found} == {f"tree/{name}" for name in names}

    run = wf_transfer(folder, "cp", "-r", f"s3://{bucket}/tree", "back", environment=keys)
    assert run.code == 0, run.err
    assert {name: (folder / "back" / name).read_bytes() for name in names} == {
        name: name.encode() for name in names
    }
    for source in (f"s3://{bucket}/tree/", f"s3://{bucket}"):
        run = wf_transfer(folder, "cp", source, "file", environment=keys)
        assert run.code == 1
        assert "is a folder [refused]" in run.err and "-r copies folders" in run.err
    run = wf_transfer(folder, "ls", "-R", f"s3://{bucket}", environment=keys)
    assert set(names) <= {line.removeprefix("tree/") for line in run.lines()}


@pytest.mark.parametrize(("inside", "found"), [("tree/.", "sub/b"), ("tree/sub/.", "b"), (".", "tree/sub/b")])
def test_what_is_in_a_folder_of_s3_is_copied_without_the_folder(
    s3: Seaweed, bucket: str, keys: dict[str, str], folder: Path, inside: str, found: str
) -> None:
    for key in ("tree/a", "tree/sub/b"):
        s3.client().put_object(Bucket=bucket, Key=key, Body=b"abc")
    source = f"s3://{bucket}/{inside}"
    assert "is a folder [refused]" in wf_transfer(folder, "cp", source, "new/", environment=keys).err
    run = wf_transfer(folder, "cp", "-r", source, "new/", environment=keys)
    assert run.code == 0, run.err
    assert (folder / "new" / found).read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("gs://b/x/.", "gs://b/x/"),
        ("gs://b/.", "gs://b"),
        ("gs://b", "gs://b"),
        ("gs://b/x/..", "gs://b/x/.."),
        ("gs://b/x.", "gs://b/x."),
        ("sftp://h/~/.", "sftp://h/~/"),
        ("sftp://h/.", "sftp://h/"),
        ("davs://h/x/.?a=/.", "davs://h/x/?a=/."),
        ("davs://h/x/.#.", "davs://h/x/#."),
        ("/x/.", "/x/."),
    ],
)
def test_what_a_dot_at_the_end_means(url: str, folder: str) -> None:
    assert only_inside(parse_location(url)).url == folder


def test_a_prefix_is_listed_without_and_with_its_slash(
    s3: Seaweed, bucket: str, keys: dict[str, str], folder: Path
) -> None:
    s3.client().put_object(Bucket=bucket, Key="run/1/a", Body=b"abc")
    for word in (f"s3://{bucket}/run/1", f"s3://{bucket}/run/1/"):
        run = wf_transfer(folder, "ls", "--json", word, environment=keys)
        (record,) = run.records()
        assert (record["path"], record["size"], record["type"]) == ("a", 3, "file")
        assert record["url"] == f"s3://{bucket}/run/1/a"
    assert wf_transfer(folder, "ls", f"s3://{bucket}/run/2", environment=keys).code == 1


def test_what_is_not_there_cannot_be_copied_as_a_tree(
    bucket: str, keys: dict[str, str], folder: Path
) -> None:
    run = wf_transfer(folder, "cp", "-r", f"s3://{bucket}/absent", "copy", environment=keys)
    assert run.code == 1
    assert "there is nothing at or below" in run.err
    assert not (folder / "copy").exists()


def test_a_bucket_is_made_and_never_removed_by_accident(
    s3: Seaweed, bucket: str, keys: dict[str, str], folder: Path
) -> None:
    assert wf_transfer(folder, "mkdir", f"s3://{bucket}-made", environment=keys).code == 0
    s3.client().put_object(Bucket=f"{bucket}-made", Key="dir/a", Body=b"abc")
    s3.client().put_object(Bucket=f"{bucket}-made", Key="dirty", Body=b"abc")
    run = wf_transfer(folder, "rm", "-r", f"s3://{bucket}-made", environment=keys)
    assert run.code == 1
    assert "a whole bucket" in run.err
    assert wf_transfer(folder, "rm", "-r", f"s3://{bucket}-made/dir", environment=keys).code == 0
    left = s3.client().list_objects_v2(Bucket=f"{bucket}-made")["Contents"]
    assert [item["Key"] for item in left] == ["dirty"]


def test_an_object_is_described(s3: Seaweed, bucket: str, keys: dict[str, str], folder: Path) -> None:
    s3.client().put_object(Bucket=bucket, Key="a", Body=b"abc")
    (record,) = wf_transfer(folder, "stat", "--json", f"s3://{bucket}/a", environment=keys).records()
    assert (record["size"], record["type"]) == (3, "file")
    assert record["modified"] is not None
    wrong = {**keys, "AWS_SECRET_ACCESS_KEY": "wrong"}
    assert wf_transfer(folder, "stat", f"s3://{bucket}/a", environment=wrong).code == 77


def test_sources_of_a_site_use_the_keys_of_that_site(
    s3: Seaweed, bucket: str, keys: dict[str, str], folder: Path
) -> None:
    s3.client().put_object(Bucket=bucket, Key="a", Body=b"abc")
    of_site = {
        "AWS_ACCESS_KEY_ID_osn": s3.admin.access,
        "AWS_SECRET_ACCESS_KEY_osn": s3.admin.secret,
        "AWS_ENDPOINT_URL_osn": s3.endpoint,
    }
    url = f"s3://{bucket}/a"
    assert wf_transfer(folder, "stat", url, environment=of_site).code == 77
    assert wf_transfer(folder, "stat", "--site", "osn", url, environment=of_site).code == 0
    run = wf_transfer(folder, "cp", "--source-site", "osn", url, "copy", environment=of_site)
    assert run.code == 0, run.err
