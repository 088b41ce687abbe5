"""Prove that a restructuring changes no behavior: one hash per cfg, dialect and aspect.

    python -m tests.snapshots --output before.txt     # then move and rename
    python -m tests.snapshots before.txt              # exit status 1 and the lines that differ

Every cfg below `cfgs/` and `tests/`, and of `../shared/cfgs` and `../shared/golden/units` where they exist, gives these
lines for each dialect (a text that occurs twice is taken once):

- `diagnostics`: severity, code, lines and columns of each diagnostic and of its notes, not its wording. A cfg that does
  not compile has this line alone. `auto` has one line more: the dialect that is detected.
- `yaml`, `cfg`, `table` (as JSON), `svg`; `state-dict`: keys, shapes and dtypes. At the input size of the cfg.
- `output`: what the module computes; `source`, `source-flat`: keys and shapes of the emitted module, and what it
  computes. Parameters and input are fixed. The input has the smallest of a few sizes that compiles, or the size of the
  cfg. Stateful networks run three times.
- `onnx`, and for networks with heads `onnx-decoded` and `onnx-nms`: the file without its producer and metadata.
  Above a million parameters (at the small input size), all but the values of large initializers.
- `text`, `text-flat`: the emitted source itself, with `--text` alone.

Trained models (`cfgs/shapes.cfg`, `../shared/models`) add, for each dialect: the bytes of every array; files written
in each format and what is read from them again; round trips through YAML and cfg text; ONNX files from the module and
from the weights file; fused arrays; outputs of the optimized module; the diagnosis of weights of another model; boxes.

A value that an error of darkparse replaces is printed as the name of the error's class. Training is not covered.
`--quick` takes the cfgs below `tests` that show the layer kinds, a few small networks, and each trained model in one
dialect.
"""
