"""Parallel computation of snapshots."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch

from tests.snapshots.cases import Case
from tests.snapshots.digest import Line
from tests.snapshots.models import model_lines
from tests.snapshots.networks import cfg_lines


def case_lines(case: Case, *, with_text: bool = False) -> list[Line]:
    """Compute the lines of one case in a single thread, because multithreaded sums differ in the last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(cfg_lines(case, with_text=with_text) if case.weights is None else model_lines(case))
    except Exception as error:
        error.add_note(f"while taking the snapshot of {case.name}")
        raise
    finally:
        torch.set_num_threads(threads)


def all_lines(cases: Sequence[Case], *, with_text: bool = False) -> list[Line]:
    """Compute the lines of many cases with one process per core, in the order of the cases."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read where a process imports torch
        os.environ[name] = "1"
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        by_cost = sorted(cases, key=lambda case: case.cost, reverse=True)
        lines = dict(zip(by_cost, pool.map(partial(case_lines, with_text=with_text), by_cost), strict=True))
    return [line for case in cases for line in lines[case]]
