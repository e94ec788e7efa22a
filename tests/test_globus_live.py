"""The real Globus, where somebody has named two collections for it; nothing here runs otherwise.

`WF_TEST_GLOBUS_SOURCE` is the URL of a file, `WF_TEST_GLOBUS_DESTINATION` that of a folder which may be written to. The credential
is found as a job would find it.
"""

from __future__ import annotations

import os
import time

import pytest
from wf.credentials.chain import standard_chain
from wf.protocols.conformance_tools import make_context
from wf.protocols.globus import GlobusStore
from wf.protocols.locations import parse_location
from wf.protocols.values import Group, Item, Receipt

SOURCE = os.environ.get("WF_TEST_GLOBUS_SOURCE", "")
DESTINATION = os.environ.get("WF_TEST_GLOBUS_DESTINATION", "")
PATIENCE = 600.0


@pytest.mark.skipif(not (SOURCE and DESTINATION), reason="WF_TEST_GLOBUS_SOURCE and _DESTINATION are not set")
def test_a_file_is_copied_looked_at_and_removed() -> None:
    chain = standard_chain(os.environ)
    store = GlobusStore(
        make_context(
            credential=lambda location, purpose: chain.find(location.scheme, location.host, purpose=purpose)
        )
    )
    source = parse_location(SOURCE)
    destination = parse_location(DESTINATION).below(f"wf-transfer-{os.getpid()}/copy")
    group = Group((Item(source, destination),), os.urandom(16).hex())
    handle = store.submit(group, store.prepare(group))
    deadline = time.monotonic() + PATIENCE
    while (progress := store.poll(group, handle)).again is not None:
        assert time.monotonic() < deadline
        time.sleep(progress.again)
    assert isinstance(progress.results[0][1], Receipt), progress.results
    assert store.stat(destination).size == store.stat(source).size
    folder = destination.with_path(destination.path.rpartition("/")[0])
    assert [entry.path for entry in store.list(folder, recursive=True)] == ["copy"]
    store.remove(folder, recursive=True)
    store.close()
