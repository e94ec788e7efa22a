"""Peers that are libraries, as the command `in_python.py LIBRARY DIRECTION LIST`, run by an environment that has the library.

Each line of LIST is a source and a destination with a tab between; of URL, path and key that which the library takes.
Eight threads, and the SHA-256 of every file apart from webdav4 and google-cloud-storage, which are compared without.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

THREADS = 8


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write(path: str, data: bytes) -> None:
    hashlib.sha256(data).hexdigest()
    with open(path, "wb") as file:
        file.write(data)


def with_requests(direction: str):
    import requests

    mine = threading.local()

    def get(source: str, path: str) -> None:
        if not hasattr(mine, "session"):
            mine.session = requests.Session()
        answer = mine.session.get(source)
        answer.raise_for_status()
        write(path, answer.content)

    return get


def with_obstore(direction: str):
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        "bucket",
        endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
        region="us-east-1",
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    def get(key: str, path: str) -> None:
        write(path, memoryview(obstore.get(store, key).bytes()))

    def put(path: str, key: str) -> None:
        data = read(path)
        hashlib.sha256(data).hexdigest()
        obstore.put(store, key, data, use_multipart=False)

    return get if direction == "get" else put


def with_boto3(direction: str):
    import boto3

    client = boto3.client("s3")

    def get(key: str, path: str) -> None:
        client.download_file("bucket", key, path)
        hashlib.sha256(read(path)).hexdigest()

    def put(path: str, key: str) -> None:
        hashlib.sha256(read(path)).hexdigest()
        client.upload_file(path, "bucket", key)

    return get if direction == "get" else put


def with_paramiko(direction: str):
    """One connection, and a channel for each thread."""
    import paramiko

    host, port, user, key = os.environ["SSH_PEER"].split(" ", 3)
    transport = paramiko.Transport((host, int(port)))
    transport.connect(username=user, pkey=paramiko.Ed25519Key.from_private_key_file(key))
    mine = threading.local()

    def client():
        if not hasattr(mine, "client"):
            mine.client = paramiko.SFTPClient.from_transport(transport)
        return mine.client

    def get(source: str, path: str) -> None:
        client().get(source, path)
        hash_file(path)

    def put(path: str, destination: str) -> None:
        hash_file(path)
        client().put(path, destination)

    return get if direction == "get" else put


def hash_file(path: str) -> None:
    """In pieces whose place in memory costs least."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)


def with_webdav4(direction: str):
    from webdav4.client import Client

    def get(url: str, path: str) -> None:
        folder, _, name = url.rpartition("/")
        Client(folder, timeout=600).download_file(name, path)

    def put(path: str, url: str) -> None:
        folder, _, name = url.rpartition("/")
        Client(folder, timeout=600).upload_file(path, name)

    return get if direction == "get" else put


def all_with_gcs(direction: str, pairs: list[list[str]]) -> None:
    """All at once, as its own module for many objects has it. The bucket's names are kept below the destination."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from google.cloud.storage import transfer_manager

    client = storage.Client(project=os.environ["GCS_PROJECT"], credentials=AnonymousCredentials())
    bucket = client.bucket(os.environ["GCS_BUCKET"])
    options = {"worker_type": transfer_manager.THREAD, "max_workers": THREADS}
    if direction == "get":
        folder = os.path.dirname(pairs[0][1])
        names = [key for key, _ in pairs]
        found = transfer_manager.download_many_to_path(bucket, names, destination_directory=folder, **options)
    else:
        blobs = [(path, bucket.blob(key)) for path, key in pairs]
        found = transfer_manager.upload_many(blobs, **options)
    failed = [one for one in found if isinstance(one, Exception)]
    if failed:
        raise failed[0]


LIBRARIES = {
    "requests": with_requests,
    "obstore": with_obstore,
    "boto3": with_boto3,
    "paramiko": with_paramiko,
    "webdav4": with_webdav4,
}


def main() -> None:
    library, direction, name = sys.argv[1:]
    with open(name, encoding="utf-8") as file:
        pairs = [line.rstrip("\n").split("\t") for line in file]
    if library == "google-cloud-storage":
        all_with_gcs(direction, pairs)
        return
    one = LIBRARIES[library](direction)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda pair: one(*pair), pairs):
            pass


if __name__ == "__main__":
    main()
