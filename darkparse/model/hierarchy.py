"""Word trees (tree.c) as tensor operations over all boxes at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darkparse.layers.tree import Tree


class Hierarchy(nn.Module):
    """A word tree, which converts conditional probabilities (…, nodes) to absolute ones and selects classes.

    Args:
        tree: The tree.
        threshold: Probability above which a class is selected instead of its parent.
    """

    group: Tensor
    """(nodes,): Group of siblings that contains each node."""
    child: Tensor
    """(nodes,): Group of each node's children; -1 for a leaf."""
    group_parent: Tensor
    """(groups,): Parent node of each group; -1 at the root."""

    def __init__(self, tree: Tree, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = threshold
        groups = [group for group, size in enumerate(tree.group_sizes) for _ in range(size)]
        self.levels: list[list[int]] = [[] for _ in range(max(tree.depths))]
        for node, depth in enumerate(tree.depths):
            if depth:
                self.levels[depth - 1].append(node)
        self.parents = tree.parents
        self.register_buffer("group", torch.tensor(groups), persistent=False)
        self.register_buffer("child", torch.tensor(tree.children), persistent=False)
        parents = torch.tensor([tree.parents[start] for start in tree.group_starts])
        self.register_buffer("group_parent", parents, persistent=False)

    def absolute(self, classes: Tensor) -> Tensor:
        """Multiply each node's probability (…, nodes) by those of its ancestors (tree.c hierarchy_predictions)."""
        for level in self.levels:
            nodes = torch.tensor(level, device=classes.device)
            parents = torch.tensor([self.parents[i] for i in level], device=classes.device)
            product = classes.index_select(-1, nodes) * classes.index_select(-1, parents)
            classes = classes.index_copy(-1, nodes, product)
        return classes

    def deepest(self, classes: Tensor) -> Tensor:
        """Return 1 at the last node of the file with a probability above the threshold, 0 elsewhere.

        See AlexeyAB region_layer.c, get_region_boxes. The shape is that of `classes`, (…, nodes).
        """
        index = torch.arange(1, classes.shape[-1] + 1, device=classes.device)
        last = torch.where(classes > self.threshold, index, 0)
        return ((last == last.amax(-1, keepdim=True)) & (last > 0)).to(classes.dtype)

    def top(self, classes: Tensor) -> Tensor:
        """Return 1 at the node where the path from the root ends, 0 elsewhere (tree.c hierarchy_top_prediction).

        The path follows the most probable node of each group of siblings while the product of probabilities stays above
        the threshold. As in Darknet, it multiplies absolute probabilities, so it ends earlier than with conditional
        ones. The shape is that of `classes`, (…, nodes).
        """
        group, child, group_parent = self.group, self.child, self.group_parent
        highest, best = self._find_best(classes, group, len(group_parent))
        current = torch.zeros(classes.shape[:-1], dtype=torch.long, device=classes.device)
        product = torch.ones_like(highest[..., 0])
        selected = torch.full_like(current, -1)
        for _ in range(len(self.levels) + 1):
            candidate = best.gather(-1, current.unsqueeze(-1)).squeeze(-1)
            next_product = product * highest.gather(-1, current.unsqueeze(-1)).squeeze(-1)
            continues = next_product > self.threshold
            child_group = child[candidate]
            end = torch.where(continues | (current == 0), candidate, group_parent[current])
            done = ~continues | (child_group < 0)
            selected = torch.where((selected < 0) & done, end, selected)
            product = torch.where(continues, next_product, product)
            current = torch.where(continues & (child_group >= 0), child_group, current)
        index = torch.arange(classes.shape[-1], device=classes.device)
        return (index == selected.unsqueeze(-1)).to(classes.dtype)

    def _find_best(self, classes: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Return the highest probability in each group (…, groups) and the first node that has it."""
        where = group.expand_as(classes)
        shape = (*classes.shape[:-1], groups)
        highest = torch.zeros(shape, dtype=classes.dtype, device=classes.device).scatter_reduce(
            -1, where, classes, "amax"
        )
        index = torch.arange(classes.shape[-1], device=classes.device).expand_as(classes)
        index = torch.where(classes == highest.gather(-1, where), index, classes.shape[-1] - 1)
        start = torch.full(shape, classes.shape[-1] - 1, dtype=torch.long, device=classes.device)
        return highest, start.scatter_reduce(-1, where, index, "amin")
