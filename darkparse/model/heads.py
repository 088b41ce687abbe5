"""Detection heads, with the contents of Darknet's `l.output`. Maps are (N, predictors·entries, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darkparse.model.modules import grouped_softmax


class YoloHead(nn.Module):
    """Logistic x, y, objectness and classes; x, y scaled around the cell's center (yolo_layer.c forward_yolo_layer)."""

    def __init__(self, anchors: int, classes: int, scale_x_y: float, logistic: bool) -> None:
        super().__init__()
        self.anchors, self.classes, self.scale_x_y, self.logistic = anchors, classes, scale_x_y, logistic

    def forward(self, x: Tensor) -> Tensor:
        center, size, rest = x.unflatten(1, (self.anchors, -1)).split((2, 2, 1 + self.classes), 2)
        if self.logistic:
            center, rest = torch.sigmoid(center), torch.sigmoid(rest)
        center = center * self.scale_x_y - 0.5 * (self.scale_x_y - 1)
        return torch.cat((center, size, rest), 2).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"anchors={self.anchors}, classes={self.classes}, scale_x_y={self.scale_x_y:g}, logistic={self.logistic}"


class GaussianYoloHead(nn.Module):
    """Mean and deviation of x, y, w and h alternating, then objectness and classes (gaussian_yolo_layer.c:412)."""

    def __init__(self, anchors: int, classes: int, scale_x_y: float) -> None:
        super().__init__()
        self.anchors, self.classes, self.scale_x_y = anchors, classes, scale_x_y

    def forward(self, x: Tensor) -> Tensor:
        entries = x.unflatten(1, (self.anchors, -1))
        mu_x, sigma_x, mu_y, sigma_y, w, sigma_w, h, sigma_h, rest = entries.split((1,) * 8 + (1 + self.classes,), 2)
        mu_x, mu_y = (_scaled(torch.sigmoid(m), self.scale_x_y) for m in (mu_x, mu_y))
        sigma_x, sigma_y, sigma_w, sigma_h, rest = (
            torch.sigmoid(s) for s in (sigma_x, sigma_y, sigma_w, sigma_h, rest)
        )
        return torch.cat((mu_x, sigma_x, mu_y, sigma_y, w, sigma_w, h, sigma_h, rest), 2).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"anchors={self.anchors}, classes={self.classes}, scale_x_y={self.scale_x_y:g}"


def _scaled(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else x * scale - 0.5 * (scale - 1)


class RegionHead(nn.Module):
    """Logistic x, y and objectness, softmax or logistic classes, in planes (pjreddie region_layer.c:158)."""

    def __init__(
        self,
        anchors: int,
        classes: int,
        coords: int,
        softmax: bool,
        group_sizes: tuple[int, ...] | None,
        background: bool,
    ) -> None:
        super().__init__()
        self.anchors, self.classes, self.coords = anchors, classes, coords
        self.softmax, self.group_sizes, self.background = softmax, group_sizes, background

    def forward(self, x: Tensor) -> Tensor:
        entries = x.unflatten(1, (self.anchors, -1))
        center, others, objectness, classes = entries.split((2, self.coords - 2, 1, self.classes), 2)
        if self.background and self.softmax and self.group_sizes is None:
            # Darknet includes the objectness in the softmax, as the class "background".
            objectness, classes = torch.softmax(torch.cat((objectness, classes), 2), 2).split((1, self.classes), 2)
        else:
            objectness = objectness if self.background else torch.sigmoid(objectness)
            classes = _class_scores(classes, 2, self.softmax, self.group_sizes, torch.sigmoid)
        return torch.cat((torch.sigmoid(center), others, objectness, classes), 2).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"anchors={self.anchors}, classes={self.classes}, coords={self.coords}, softmax={self.softmax}"


class InterleavedRegionHead(nn.Module):
    """Logistic objectness and softmax classes, interleaved: (N, H, W, predictors·entries).

    See AlexeyAB region_layer.c:187. x and y are unchanged, because AlexeyAB's fork applies their logistic function when
    it decodes the boxes.
    """

    def __init__(
        self, anchors: int, classes: int, coords: int, softmax: bool, group_sizes: tuple[int, ...] | None
    ) -> None:
        super().__init__()
        self.anchors, self.classes, self.coords = anchors, classes, coords
        self.softmax, self.group_sizes = softmax, group_sizes

    def forward(self, x: Tensor) -> Tensor:
        entries = x.permute(0, 2, 3, 1).unflatten(3, (self.anchors, -1))
        box, objectness, rest = entries.split((4, 1, entries.shape[-1] - 5), 4)
        scores, extra = rest.split((self.classes, rest.shape[-1] - self.classes), 4)
        scores = _class_scores(scores, 4, self.softmax, self.group_sizes, lambda s: s)
        return torch.cat((box, torch.sigmoid(objectness), scores, extra), 4).flatten(3, 4)

    def extra_repr(self) -> str:
        return f"anchors={self.anchors}, classes={self.classes}, coords={self.coords}, softmax={self.softmax}"


def _class_scores(
    x: Tensor, axis: int, softmax: bool, group_sizes: tuple[int, ...] | None, otherwise: object
) -> Tensor:
    """Compute class scores on an axis: softmax within the groups of a tree, softmax over all, or `otherwise(x)`."""
    if group_sizes is not None:
        return grouped_softmax(x.movedim(axis, 1), group_sizes).movedim(1, axis)
    if softmax:
        return torch.softmax(x, axis)
    return otherwise(x)  # type: ignore[operator, no-any-return]


class DetectionHead(nn.Module):
    """Vector with an optional softmax over the classes of each cell (detection_layer.c:49)."""

    def __init__(self, cells: int, classes: int, softmax: bool) -> None:
        super().__init__()
        self.cells, self.classes, self.softmax = cells, classes, softmax

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if not self.softmax:
            return x
        classes, rest = x[:, : self.cells * self.classes], x[:, self.cells * self.classes :]
        return torch.cat((torch.softmax(classes.unflatten(1, (self.cells, -1)), 2).flatten(1), rest), 1)

    def extra_repr(self) -> str:
        return f"cells={self.cells}, classes={self.classes}, softmax={self.softmax}"


class IsegHead(nn.Module):
    """Logistic class maps and unchanged embeddings (iseg_layer.c:78)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((torch.sigmoid(x[:, : self.classes]), x[:, self.classes :]), 1)

    def extra_repr(self) -> str:
        return f"classes={self.classes}"
