"""Conversion of network outputs to detections: non-maximum suppression, word trees, ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darkparse._utils.text import pluralize
from darkparse.datasets.names import find_class_ids
from darkparse.detect.candidates import Candidates, PreparedImage
from darkparse.detect.detection import WHOLE_IMAGE, Detection
from darkparse.detect.detections import Detections
from darkparse.detect.nms import rank_boxes, suppress
from darkparse.detect.preprocess import Floats
from darkparse.layers.tree import read_tree
from darkparse.network import Network
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.heads import BoxOrigin, find_box_origin, get_head
from darkparse.network.suppression import Suppression

MAX_PLAUSIBLE_BOXES = 10_000
"""More boxes over the threshold suggest an untrained network; crowded images have some thousands at 0.005."""


@dataclass(frozen=True, slots=True)
class Postprocessor:
    """Converts the outputs of an engine to detections.

    Attributes:
        network: Network of the engine.
        names: Name of each class.
        suppression: Kind of non-maximum suppression; None for a classifier.
    """

    network: Network
    names: tuple[str, ...]
    suppression: Suppression | None

    def select_boxes(
        self, candidates: Candidates, index: int, prepared: PreparedImage, settings: DetectionSettings
    ) -> Detections:
        """Return the detections of the image at `index` in a batch after non-maximum suppression."""
        # If the image is scaled to zero width or height, Darknet divides boxes by 0.
        in_image = (candidates.image == index) & (0 not in prepared.placement.scaled_size)
        box_indices = np.flatnonzero(in_image)
        boxes = candidates.boxes[box_indices]
        head = get_head(self.network.nodes[self.network.heads[0]])
        if len(box_indices) and not head.stays_in_letterbox:
            # Darknet leaves the boxes of a [detection] head in letterbox coordinates (detection_layer.c:225).
            boxes = prepared.placement.to_image_boxes(boxes)
        candidate_indices = np.flatnonzero(in_image[candidates.box])
        messages = []
        if len(candidate_indices) > MAX_PLAUSIBLE_BOXES:
            messages.append(f"{len(candidate_indices):,} boxes above the threshold; is the network trained?")
        # exp() of a width or height may overflow in float32; such a box is meaningless and not valid in JSON.
        is_finite = np.isfinite(boxes).all(1) & np.isfinite(candidates.objectness[box_indices])
        positions = np.searchsorted(box_indices, candidates.box[candidate_indices])
        is_valid = is_finite[positions] & np.isfinite(candidates.scores[candidate_indices])
        if dropped := int((~is_valid).sum()):
            messages.append(f"dropped {pluralize(dropped, 'detection')} with NaN or infinite values")
        candidate_indices, positions = candidate_indices[is_valid], positions[is_valid]
        scores, classes = candidates.scores[candidate_indices], candidates.classes[candidate_indices]
        box = candidates.box[candidate_indices]
        assert self.suppression is not None
        keep = suppress(boxes, scores, classes, settings.nms or np.inf, self.suppression, box_indices=positions)
        if settings.classes is not None:
            keep = keep[np.isin(classes[keep], find_class_ids(self.names, settings.classes))]
        if settings.order == "nms":
            # Without suppression Darknet does not sort the boxes.
            ranks = rank_boxes(scores, classes, positions, len(boxes)) if settings.nms else np.arange(len(boxes))
            keep = keep[np.lexsort((classes[keep], ranks[positions[keep]]))]
        detections = (
            Detection(
                class_id=int(classes[i]),
                name=self.names[classes[i]],
                score=float(scores[i]),
                objectness=float(candidates.objectness[box[i]]),
                box=tuple(boxes[positions[i]].tolist()),
                image_size=prepared.size,
                **self._find_origin(candidates, box[i])._asdict(),
            )
            for i in keep
        )
        return prepared.to_detections(detections, *messages)

    def _find_origin(self, candidates: Candidates, box: np.int64) -> BoxOrigin:
        return find_box_origin(self.network.nodes[candidates.layer[box]], int(candidates.index[box]))

    def apply_tree(self, scores: Floats) -> Floats:
        """Multiply a classifier's scores (N, classes) along its word tree, if it has one."""
        path = getattr(self.network.nodes[self.network.outputs[0]].layer, "tree", None)
        if path is None:
            return scores
        scores, parents = scores.copy(), read_tree(path).parents
        for node, parent in enumerate(parents):  # tree.c hierarchy_predictions
            if parent >= 0:
                scores[:, node] *= scores[:, parent]
        if self.network.dialect.ranks_leaves_only:
            scores[:, [parent for parent in parents if parent >= 0]] = 0
        return scores

    def rank_classes(self, scores: Floats, prepared: PreparedImage, settings: DetectionSettings) -> Detections:
        """Return the `settings.top` best classes of an image, given scores of shape (classes,)."""
        is_finite = np.isfinite(scores)
        dropped = int((~is_finite).sum())
        messages = [f"dropped {dropped:,} of {len(scores):,} classes with NaN or infinite scores"] if dropped else []
        order = np.argsort(-scores, kind="stable")
        if settings.classes is not None:
            order = order[np.isin(order, find_class_ids(self.names, settings.classes))]
        best = order[is_finite[order]][: settings.top]
        return prepared.to_detections(
            (Detection(int(i), self.names[i], float(scores[i]), 1.0, WHOLE_IMAGE, prepared.size) for i in best),
            *messages,
        )
