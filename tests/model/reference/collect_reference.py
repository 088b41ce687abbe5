"""Collect a small set of reference numbers, those of one-thing networks, for machines without ../shared.

    python tests/model/reference/collect_reference.py

Writes units/*.cfg and numbers.json beside this file: for each network its dialect, its parameter layout, and for
every layer the length of its output, some of its values and their root mean square, as Darknet computed them.
"""

from __future__ import annotations

import json

import numpy as np

from tests.conftest import DATA, ROOT

SHARED = ROOT.parent / "shared" / "golden" / "units"
REFERENCE = DATA / "reference"
SAMPLES = 8
NAMES = """
act_gelu act_hard_mish act_hardtan act_leaky act_lhtan act_loggy act_mish act_normalize_channels
act_normalize_channels_softmax act_normalize_channels_softmax_maxval act_plse act_ramp act_relie act_relu6
act_revleaky act_selu act_stair act_swish act_tanh act_elu activation_layer_mish avgpool batchnorm connected_bn
conv_antialiasing conv_antialiasing_mean conv_cbn conv_defaults conv_dilation conv_even_size conv_groups conv_lstm
conv_lstm_peephole conv_nobn_flipped conv_pad_wins conv_padding conv_share conv_stride_xy crnn crnn_shortcut crop
crop_noadjust deconvolutional deconvolutional_bn detection_softmax dropout empty gaussian_yolo gru gru_bn implicit
l2norm local local_avgpool_2_2 local_avgpool_3_2 local_stride logistic_layer lrn lrn_big lstm lstm_bn maxpool_2_1
maxpool_2_2 maxpool_3_2 maxpool_5_1 maxpool_antialiasing maxpool_depth maxpool_negative maxpool_padding0
maxpool_padding5 maxpool_xy region region_nosoftmax reorg reorg3d reorg3d_reverse reorg_3 reorg_flatten reorg_reverse
rnn rnn_bn rnn_shortcut route_3 route_groups route_groups_multi route_zero sam_act scale_channels scale_channels_wh
shortcut shortcut_alpha shortcut_channels shortcut_multi shortcut_per_channel_relu shortcut_per_channel_softmax
shortcut_per_feature_softmax shortcut_stride softmax_groups upsample upsample_negative upsample_scale yolo
yolo_new_coords yolo_scale
"""


def main() -> None:
    """Write both."""
    (REFERENCE / "units").mkdir(exist_ok=True)
    numbers = {}
    for path in sorted(SHARED.glob("*/*.npz")):
        if path.stem in NAMES.split():
            numbers[f"{path.parent.name}/{path.stem}"] = _network(np.load(path))
            (REFERENCE / "units" / f"{path.stem}.cfg").write_bytes((SHARED / f"{path.stem}.cfg").read_bytes())
    lines = [f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in numbers.items()]
    (REFERENCE / "numbers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _network(reference: np.lib.npyio.NpzFile) -> dict[str, object]:
    return {
        "input": [int(v) for v in reference["input"]],
        "header": [int(v) for v in reference["header"]],
        "seed": int(reference["seed"]),
        "arrays": json.loads(str(reference["arrays"])),
        "outputs": [int(v) for v in reference["outputs"]],
        "rms": [[float(f"{v:.6g}") for v in step] for step in reference["rms"]],
        "sample": [[[float(f"{v:.7g}") for v in layer[:SAMPLES]] for layer in step] for step in reference["sample"]],
    }


if __name__ == "__main__":
    main()
