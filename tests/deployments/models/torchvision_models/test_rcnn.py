from itertools import islice

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from deployments.models.torchvision_models.rcnn import paste


@pytest.mark.parametrize("size", [(40, 60), (7, 300), (1, 1), (200, 3)])
def test_masks_are_pasted_as_torchvision_does(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    height, width = size
    corners = torch.rand(50, 2, 2, generator=generator) * torch.tensor([width, height])
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    boxes[0] = torch.tensor([0, 0, width, height])
    boxes[1] = torch.tensor([width, height, width, height])
    masks = torch.rand(50, 28, 28, generator=generator)
    expected = paste_masks_in_image(masks[:, None], boxes, size)[:, 0] > 0.5
    for ours, theirs in zip(paste(masks, boxes, size), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_masks_are_pasted_one_by_one() -> None:
    # all of them at once would take 12 GB
    masks = torch.ones(1, 28, 28).expand(1000, -1, -1)
    boxes = torch.tensor([[0.0, 0, 4000, 3000]]).expand(1000, -1)
    for mask in islice(paste(masks, boxes, (3000, 4000)), 2):
        assert mask.shape == (3000, 4000)
        assert mask.float().mean() > 0.9
