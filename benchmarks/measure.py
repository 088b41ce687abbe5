"""Measurements as rows of results: `what` was measured, for which `case` and which `peer`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

import darkparse
from benchmarks.case import Case
from benchmarks.end_to_end import END_TO_END
from benchmarks.peers import PEERS, Floats
from benchmarks.processes import PeerFailedError, Process, closing_processes, time_in_turns
from benchmarks.training import STEPS

Row = dict[str, Any]
Log = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Number and duration of measurements."""

    starts: int = 2
    """Starts per peer."""
    rounds: int = 5
    """Timed blocks per peer."""
    seconds: float = 1.0
    """Duration of a block."""

    def measure(self, processes: dict[str, Process]) -> dict[str, Row]:
        """Return the minimum and median seconds per call of each process."""
        times = time_in_turns(processes, rounds=self.rounds, seconds=self.seconds)
        return {name: {"best": min(calls), "median": statistics.median(calls)} for name, calls in times.items()}


def measure_steady_state(case: Case, peers: Iterable[str], plan: Plan, log: Log, *, what: str = "network") -> list[Row]:
    """Measure start-up, memory and steady state of each peer, after comparing its outputs with the first peer's."""
    flops = 2 * sum(node.macs for node in darkparse.compile(case.cfg).nodes) * case.batch
    rows: dict[str, Row] = {}
    with closing_processes() as processes:
        for name in peers:
            missing = [module for module in PEERS[name].requirements if find_spec(module.split(".")[0]) is None]
            if missing:
                log(f"{name} skipped: {missing[0]} is not installed")
                continue
            try:
                rows[name] = {"what": what, "case": case.title, "peer": name, "flops": flops, "batch": case.batch}
                rows[name]["threads"] = case.threads
                rows[name] |= _measure_start(name, case, plan.starts, processes)
                kind = processes[name].call("save_outputs", path=case.get_path(f".{name}.npz"))
                rows[name]["apart"] = _compare_outputs(case, name, kind, next(iter(rows)))
            except PeerFailedError as error:
                log(f"{name} skipped: {error}")
                processes.pop(name).close()
                del rows[name]
        for name, times in plan.measure(processes).items():
            rows[name] |= times
    return list(rows.values())


def _measure_start(name: str, case: Case, starts: int, processes: dict[str, Process]) -> Row:
    """Return the minimum of each figure over several starts; the last process stays in `processes`."""
    rows: list[Row] = []
    for _ in range(starts):
        if name in processes:
            processes.pop(name).close()
        before = time.perf_counter()
        processes[name] = Process(name)
        rows.append(processes[name].call("start", case=case))
        rows[-1]["whole"] = time.perf_counter() - before
    return {key: min(row[key] for row in rows) for key in rows[0]}


def _compare_outputs(case: Case, name: str, kind: str, reference: str) -> float:
    """Return the largest difference from the reference peer's outputs, relative to the RMS of each output."""
    outputs, expected = ([*np.load(case.get_path(f".{peer}.npz")).values()] for peer in (name, reference))
    if kind == "boxes":
        expected = _decode_boxes(case, expected)
    if len(outputs) != len(expected) or any(a.size != b.size for a, b in zip(outputs, expected, strict=True)):
        shapes = [[array.shape for array in arrays] for arrays in (outputs, expected)]
        raise PeerFailedError(f"output shapes differ, got {shapes[0]}; expected {shapes[1]}")
    pairs = zip(outputs, expected, strict=True)
    return max(float(np.abs(a.reshape(b.shape) - b).max() / np.sqrt(np.square(b).mean())) for a, b in pairs)


def _decode_boxes(case: Case, outputs: list[Floats]) -> list[Floats]:
    import torch

    from darkparse.model.decoders import head_decoder

    network, size = darkparse.compile(case.cfg), (case.size, case.size)
    heads = zip(network.heads, map(torch.from_numpy, outputs), strict=True)
    return [head_decoder(network.nodes[i])(output, size).boxes.reshape(-1, 4).numpy() for i, output in heads]


def measure_end_to_end(case: Case, paths: list[str], peers: Iterable[str], plan: Plan, log: Log) -> list[Row]:
    """Measure seconds per image file, one by one and as a stream, and count the detected objects."""
    rows: dict[str, Row] = {}
    with closing_processes() as processes:
        for peer in peers:
            for mode in ("one by one", "stream") if peer in END_TO_END else ():
                name, stream = f"{peer}, {mode}", mode == "stream"
                process = Process(peer)
                try:
                    objects = process.call("prepare_end_to_end", case=case, paths=paths, stream=stream)
                except PeerFailedError as error:
                    process.close()
                    if not stream:
                        log(f"{name} skipped: {error}")
                    continue
                processes[name] = process
                rows[name] = {"what": "pictures", "case": case.title, "peer": name, "objects": objects}
        for name, times in plan.measure(processes).items():
            rows[name] |= {key: value / len(paths) for key, value in times.items()}
    return list(rows.values())


def measure_training(case: Case, plan: Plan) -> list[Row]:
    """Measure the training steps of `STEPS`."""
    rows: dict[str, Row] = {}
    with closing_processes() as processes:
        for step in STEPS:
            processes[step] = Process()
            rows[step] = {"what": "training", "case": case.title, "peer": step}
            rows[step] |= processes[step].call("prepare_training", case=case, step=step)
        for name, times in plan.measure(processes).items():
            rows[name] |= times
    return list(rows.values())
