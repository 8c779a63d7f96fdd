"""Proves a snapshot chunk by chunk, with or without the tree nodes that a database stores.

Both provers work in two halves: `prepare` is a pure function of one chunk that any thread may run, `join` and
what follows goes in chunk order. The frontier is all that a proof needs; nodes cost more and are made only
where kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from restore.ledger.hashes import Domain
from restore.proof.builder import NodeRow, TreeBuilder, TreeState
from restore.proof.columns import PreparedChunk, prepare_edge, prepare_tree
from restore.proof.edge import Edge
from restore.proof.frontier import Frontier, FrontierState
from restore.proof.items import StateItems


class SnapshotProver(ABC):
    """What is known of a snapshot's tree after the chunks so far."""

    @abstractmethod
    def prepare(self, items: StateItems) -> PreparedChunk:
        """Does all that one chunk allows alone; touches nothing shared.

        Raises:
            ProofError: the keys do not strictly increase.
        """

    @abstractmethod
    def join(self, edge: Edge) -> list[NodeRow]:
        """Adds the next chunk; returns the nodes besides its own that are final now, not to be written before
        `prove`.

        Raises:
            ProofError: the chunk does not begin above the last key.
        """

    @abstractmethod
    def prove(self, right_siblings: Sequence[bytes], *, root: bytes) -> None:
        """Checks all leaves so far against the root of the whole tree.

        Raises:
            ProofError: they do not lead there.
        """

    @abstractmethod
    def finish(self) -> tuple[bytes, list[NodeRow]]:
        """The root if there are no more leaves, and the remaining nodes, the root's last."""

    @abstractmethod
    def states(self) -> tuple[TreeState | None, FrontierState | None]:
        """What continues exactly from here: the state of this prover's kind, None for the other."""


class FrontierProver(SnapshotProver):
    """Proves leaves and makes no nodes.

    Bounds: 256 hashes.
    """

    def __init__(self, domain: Domain, state: FrontierState | None = None) -> None:
        self._domain = domain
        self._frontier = Frontier(domain, state)

    def prepare(self, items: StateItems) -> PreparedChunk:
        """Keeps what a proof needs of the leaves."""
        return PreparedChunk([], prepare_edge(self._domain, items))

    def join(self, edge: Edge) -> list[NodeRow]:
        """Adds the chunk to the frontier; there are no nodes."""
        self._frontier.join(edge)
        return []

    def prove(self, right_siblings: Sequence[bytes], *, root: bytes) -> None:
        """Folds frontier and siblings to the root."""
        self._frontier.prove(right_siblings, root=root)

    def finish(self) -> tuple[bytes, list[NodeRow]]:
        """Folds the frontier alone to the root."""
        return self._frontier.root(), []

    def states(self) -> tuple[TreeState | None, FrontierState | None]:
        """The frontier."""
        return None, self._frontier.state()


class TreeProver(SnapshotProver):
    """Proves leaves and makes the 16-way nodes of the tree.

    Bounds: 64 open nodes, besides the rows of the chunk in hand.
    """

    def __init__(self, domain: Domain, version: int, state: TreeState | None = None) -> None:
        self._domain = domain
        self._version = version
        self._builder = TreeBuilder(domain, version, state)

    def prepare(self, items: StateItems) -> PreparedChunk:
        """Builds all nodes that are final inside the chunk."""
        return prepare_tree(self._domain, self._version, items)

    def join(self, edge: Edge) -> list[NodeRow]:
        """Joins the chunk's edge."""
        return self._builder.join(edge)

    def prove(self, right_siblings: Sequence[bytes], *, root: bytes) -> None:
        """Folds the open nodes and the siblings to the root."""
        self._builder.prove(right_siblings, root=root)

    def finish(self) -> tuple[bytes, list[NodeRow]]:
        """Closes all open nodes."""
        return self._builder.finish()

    def states(self) -> tuple[TreeState | None, FrontierState | None]:
        """The open nodes."""
        return self._builder.state(), None
