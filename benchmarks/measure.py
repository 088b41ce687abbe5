"""The figures, as rows: `what` was measured, of which `case`, of which `peer`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import darkparse
from benchmarks.case import Case
from benchmarks.peers import PEERS, Floats
from benchmarks.pictures import END_TO_END
from benchmarks.processes import PeerFailedError, Process, interleaved, started
from benchmarks.training import STEPS

Row = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How thorough it is."""

    starts: int = 2
    rounds: int = 5
    seconds: float = 1.0
    """Of a block."""

    def timed(self, processes: dict[str, Process]) -> dict[str, Row]:
        """Least and median seconds of each."""
        taken = interleaved(processes, rounds=self.rounds, seconds=self.seconds)
        return {name: {"best": min(all_), "median": statistics.median(all_)} for name, all_ in taken.items()}


def steady(case: Case, peers: Iterable[str], plan: Plan, say: Say, *, what: str = "network") -> list[Row]:
    """Load, first result, steady state and memory of a network, after the outputs are compared."""
    flops = 2 * sum(node.macs for node in darkparse.compile(case.cfg).nodes) * case.batch
    rows: dict[str, Row] = {}
    with started() as processes:
        for name in peers:
            missing = [module for module in PEERS[name].needs if find_spec(module.split(".")[0]) is None]
            if missing:
                say(f"{name} is left out: {missing[0]} is not installed")
                continue
            try:
                rows[name] = {"what": what, "case": case.title, "peer": name, "flops": flops, "batch": case.batch}
                rows[name]["threads"] = case.threads
                rows[name] |= _start(name, case, plan.starts, processes)
                form = processes[name].ask("outputs", path=_saved(case, name))
                rows[name]["apart"] = _apart(case, name, form, next(iter(rows)))
            except PeerFailedError as problem:
                say(f"{name} is left out: {problem}")
                processes.pop(name).end()
                del rows[name]
        for name, found in plan.timed(processes).items():
            rows[name] |= found
    return list(rows.values())


def _start(name: str, case: Case, starts: int, processes: dict[str, Process]) -> Row:
    """The least of some starts; the last process stays."""
    found: list[Row] = []
    for _ in range(starts):
        if name in processes:
            processes.pop(name).end()
        before = time.perf_counter()
        processes[name] = Process(name)
        found.append(processes[name].ask("start", case=case.asdict()))
        found[-1]["whole"] = time.perf_counter() - before
    return {key: min(one[key] for one in found) for key in found[0]}


def _saved(case: Case, name: str) -> str:
    return str(Path(case.folder) / f"{name}.npz")


def _apart(case: Case, name: str, form: str, reference: str) -> float:
    """The largest difference from the first peer's outputs, in root mean squares of an output."""
    theirs, ours = ([*np.load(_saved(case, one)).values()] for one in (name, reference))
    if form == "boxes":
        ours = _boxes(case, ours)
    if len(theirs) != len(ours) or any(a.size != b.size for a, b in zip(theirs, ours, strict=True)):
        raise PeerFailedError(f"its outputs are {[a.shape for a in theirs]}, ours {[a.shape for a in ours]}")
    pairs = zip(theirs, ours, strict=True)
    return max(float(np.abs(a.reshape(b.shape) - b).max() / np.sqrt(np.square(b).mean())) for a, b in pairs)


def _boxes(case: Case, heads: list[Floats]) -> list[Floats]:
    import torch

    from darkparse.model.decoders import head_decoder

    network, size = darkparse.compile(case.cfg), (case.size, case.size)
    found = zip(network.heads, map(torch.from_numpy, heads), strict=True)
    return [head_decoder(network.nodes[i])(head, size).boxes.reshape(-1, 4).numpy() for i, head in found]


def end_to_end(case: Case, paths: list[str], peers: Iterable[str], plan: Plan, say: Say) -> list[Row]:
    """Pictures a second, one by one and as a stream, and how many objects are found."""
    rows: dict[str, Row] = {}
    with started() as processes:
        for peer in peers:
            for how in ("one by one", "stream") if peer in END_TO_END else ():
                name = f"{peer}, {how}"
                process = Process(peer)
                try:
                    objects = process.ask("pictures", case=case.asdict(), paths=paths, stream=how == "stream")
                except PeerFailedError as problem:
                    process.end()
                    if how == "one by one":
                        say(f"{name} is left out: {problem}")
                    continue
                processes[name] = process
                rows[name] = {"what": "pictures", "case": case.title, "peer": name, "objects": objects}
        for name, found in plan.timed(processes).items():
            rows[name] |= {key: value / len(paths) for key, value in found.items()}
    return list(rows.values())


def training(case: Case, plan: Plan) -> list[Row]:
    """Steps of training."""
    rows: dict[str, Row] = {}
    with started() as processes:
        for how in STEPS:
            processes[how] = Process(how)
            rows[how] = {"what": "training", "case": case.title, "peer": how}
            rows[how] |= processes[how].ask("training", case=case.asdict(), how=how)
        for name, found in plan.timed(processes).items():
            rows[name] |= found
    return list(rows.values())
