"""Peers that are libraries, as the command `in_python.py LIBRARY DIRECTION LIST`, run by an environment that has the library.

Each line of LIST is a source and a destination with a tab between; of URL, path and key that which the library takes.
Eight threads, a client for all of them, and the SHA-256 of every file.
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


def main() -> None:
    library, direction, name = sys.argv[1:]
    one = {"requests": with_requests, "obstore": with_obstore, "boto3": with_boto3}[library](direction)
    with open(name, encoding="utf-8") as file:
        pairs = [line.rstrip("\n").split("\t") for line in file]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda pair: one(*pair), pairs):
            pass


if __name__ == "__main__":
    main()
