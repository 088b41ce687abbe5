"""Metadata of a container about its network: the cfg, the dialect, the input size and the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from darkparse.diagnostics.source import Source, quote_safe
from darkparse.layers import REGISTRY
from darkparse.network import Network
from darkparse.syntax import Config, parse
from darkparse.syntax.files import describe_error
from darkparse.weights.header import Header

KEY_PREFIX = "darkparse."
"""Prefix of darkparse's keys in a container's metadata."""

Metadata = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Origin:
    """Network that the tensors of a container belong to."""

    name: str
    cfg: str
    """Text of the cfg."""
    dialect: str
    height: int
    """Height of the input in pixels; 0 for a network without an image."""
    width: int
    reorg: str | None
    header: Header | None
    """Header of the `.weights` file that the tensors came from."""

    @classmethod
    def from_network(cls, network: Network, header: Header | None) -> Origin:
        """Create from a network and the header of its weights."""
        net = network.net
        height, width = (net.height, net.width) if net.has_image else (0, 0)
        read_as = (node.kind for node in network.nodes if REGISTRY[node.section.kind].kind != node.kind)
        text = network.cfg_text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return cls(network.name, text, network.dialect.name, height, width, next(read_as, None), header)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the input."""
        return (self.height, self.width) if self.height else None

    def parse_cfg(self, container: Path) -> Config:
        """Parse the cfg under its original name; the files that it references are in the container's directory."""
        path = container.with_name(f"{self.name}.cfg")
        return parse(Source(f"{container} (cfg)", self.cfg, path, folders=(container.parent,)))

    def to_metadata(self) -> dict[str, str]:
        """Convert to metadata of a container."""
        values = asdict(self)
        return {
            KEY_PREFIX + key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
            if value is not None
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Origin | None:
        """Read from metadata; None if another program wrote it. Raises ValueError if it is damaged."""
        if KEY_PREFIX + "cfg" not in metadata:
            return None
        try:
            if not all(isinstance(value, str) for value in metadata.values()):
                raise ValueError("a value is not text")
            name, header = metadata[KEY_PREFIX + "name"], metadata.get(KEY_PREFIX + "header")
            if Path(name).name != name:
                raise ValueError(f"invalid name of a cfg, got {name!r}")
            return cls(
                name=name,
                cfg=metadata[KEY_PREFIX + "cfg"],
                dialect=metadata[KEY_PREFIX + "dialect"],
                height=int(metadata[KEY_PREFIX + "height"]),
                width=int(metadata[KEY_PREFIX + "width"]),
                reorg=metadata.get(KEY_PREFIX + "reorg"),
                header=Header(**json.loads(header)) if header else None,
            )
        except (KeyError, TypeError, ValueError, RecursionError) as problem:
            raise ValueError(f"damaged metadata: {quote_safe(describe_error(problem))}") from None
