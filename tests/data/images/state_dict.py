"""A module from build() takes the values of load_state_dict, as any nn.Module, or refuses; run: python state_dict.py"""

import torch

import darkparse

torch.manual_seed(0)
donor = darkparse.build("yolov3-tiny", initialize=True).eval()
model = darkparse.build("yolov3-tiny")
model.load_state_dict(donor.state_dict())
x = torch.rand(1, 3, 416, 416)
with torch.inference_mode():
    for a, b in zip(donor(x), model(x), strict=True):
        assert torch.equal(a, b)
print("ok")
