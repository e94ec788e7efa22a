"""What the `.meta` files of the jobs before this one add to a batch: the content that they expect of logical files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .requests import Transfer

if TYPE_CHECKING:
    from ..checksum.meta import Expectations
    from .requests import Batch, Request


def apply_expectations(batch: Batch, expectations: Expectations) -> Batch:
    """The batch, whose transfers expect what their `.meta` entry says where they do not say it themselves.

    The batch's own expectation wins: an entry with another digest is not used at all. A transfer without a digest of
    its own whose entry has a problem fails, alone: its sources carry the problem.
    """
    requests = tuple(
        _informed(request, expectations) if isinstance(request, Transfer) else request
        for request in batch.requests
    )
    return batch._replace(requests=requests)


def _informed(transfer: Transfer, expectations: Expectations) -> Request:
    known, own = expectations.get(transfer.lfn), transfer.expected
    if known is None:
        return transfer
    if known.problem:
        return transfer if own is not None else _troubled(transfer, known.problem)
    if own and known.digest and own.algorithm == known.digest.algorithm and own != known.digest:
        return transfer
    return transfer._replace(
        expected=own or known.digest,
        size=known.size if transfer.size is None else transfer.size,
    )


def _troubled(transfer: Transfer, problem: str) -> Transfer:
    return transfer._replace(
        sources=tuple(source._replace(problem=source.problem or problem) for source in transfer.sources)
    )
