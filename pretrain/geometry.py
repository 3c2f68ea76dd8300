"""Where a view lies in its source image, and everything that follows from it.

Convention, fixed here once: an image, whatever its size, is the **unit square**, x to the right and
y down, and the unit square is the **area** covered by its pixels. So pixel (row i, column j) of an
H×W image has its centre at ``((j + 0.5) / W, (i + 0.5) / H)``, and a crop of h×w pixels at (top,
left) covers ``left / W … (left + w) / W``. The same holds for the cells of a feature map, which
makes the centre of a cell independent of the stride that produced it.

A view's geometry is one affine map ``(2, 3) float64`` from the view's unit square to the source
image's: ``p_source = M[:, :2] @ p_view + M[:, 2]``. Crop, flip, rotation and nested crops are such
maps; they compose and invert. x and y are normalised separately (as in PixPro), so the aspect ratio
of the source is not preserved.

Positions are ``(..., N, 2)`` as (x, y). Cells are numbered row by row: index = row · W + column.
"""

from __future__ import annotations

import torch
from torch import Tensor


def identity() -> Tensor:
    """Returns the map of a view that is the whole source image, (2, 3) float64."""
    return torch.eye(2, 3, dtype=torch.float64)


def from_box(boxes: Tensor) -> Tensor:
    """Turns boxes into maps.

    Args:
        boxes: (..., 4) ``x1, y1, x2, y2`` in the source's unit square. The view's left edge lies at
            x1 and its right edge at x2, so ``x1 > x2`` is a horizontally flipped view, ``y1 > y2``
            a vertically flipped one.

    Returns:
        (..., 2, 3) float64 maps.
    """
    x1, y1, x2, y2 = boxes.to(torch.float64).unbind(-1)
    zero = torch.zeros_like(x1)
    return torch.stack(
        [torch.stack([x2 - x1, zero, x1], -1), torch.stack([zero, y2 - y1, y1], -1)], -2
    )


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Returns the map "first ``inner``, then ``outer``": a view of a view is ``compose(parent_map,
    child_map)``.

    Args:
        outer: (..., 2, 3). inner: (..., 2, 3), leading shapes broadcast.
    """
    linear = outer[..., :2] @ inner[..., :2]
    offset = outer[..., :2] @ inner[..., 2:] + outer[..., 2:]
    return torch.cat([linear, offset], -1)


def invert(maps: Tensor) -> Tensor:
    """Returns the maps from the source's unit square back to the view's, (..., 2, 3).

    Raises:
        torch.linalg.LinAlgError: a map is singular (a crop of no width or height).
    """
    linear = torch.linalg.inv(maps[..., :2])
    return torch.cat([linear, -linear @ maps[..., 2:]], -1)


def apply(maps: Tensor, points: Tensor) -> Tensor:
    """Maps points (..., N, 2) by maps (..., 2, 3); leading shapes broadcast."""
    return points @ maps[..., :2].transpose(-1, -2) + maps[..., 2].unsqueeze(-2)


def translated(maps: Tensor, x: float, y: float) -> Tensor:
    """Returns the maps (..., 2, 3) of the same views ``x`` further right and ``y`` further down in
    the source's unit square.
    """
    return maps + maps.new_tensor([[0.0, 0.0, x], [0.0, 0.0, y]])


def unit_grid(size: tuple[int, int], device: torch.device | str | None = None) -> Tensor:
    """Returns an H×W grid's cell centres in its own unit square, (H·W, 2) float64, row by row."""
    height, width = size
    y = (torch.arange(height, dtype=torch.float64, device=device) + 0.5) / height
    x = (torch.arange(width, dtype=torch.float64, device=device) + 0.5) / width
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).reshape(-1, 2)


def cell_centres(geometry: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns where the cells of a feature map lie in the source image.

    Args:
        geometry: (B, 2, 3) maps of the views.
        size: (H, W) of the feature map.

    Returns:
        (B, H·W, 2) centres in the source's unit square, dtype and device of ``geometry``.
    """
    return apply(geometry, unit_grid(size, geometry.device).to(geometry.dtype))


def cell_diagonals(geometry: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns the length of a cell's diagonal in the source's unit square, (B,); the longer one if
    the cell is skewed.

    Args:
        geometry: (B, 2, 3). size: (H, W) of the feature map.
    """
    right = geometry[..., :, 0] / size[1]
    down = geometry[..., :, 1] / size[0]
    return torch.maximum((right + down).norm(dim=-1), (right - down).norm(dim=-1))


def pixel_distances(
    geometry_q: Tensor,
    geometry_k: Tensor,
    *,
    size_q: tuple[int, int],
    size_k: tuple[int, int],
    normaliser: str = "larger",
) -> Tensor:
    """Returns distances between the cells of two views, in units of a cell diagonal: (B, N_q, N_k)
    float64.

    Args:
        geometry_q: (B, 2, 3). geometry_k: (B, 2, 3).
        size_q: (H, W) of the first feature map. size_k: of the second.
        normaliser: "larger" or "smaller" of the two views' diagonals. PixPro's code takes the
            larger; the paper only says that distances are normalised by the diagonal.

    Raises:
        ValueError: unknown ``normaliser``.
    """
    if normaliser not in ("larger", "smaller"):
        raise ValueError(
            f"normaliser={normaliser!r}: must be 'larger' or 'smaller' (of the two cell diagonals)"
        )
    # Squared differences in float64 rather than cdist's matrix-product form: ties at the threshold
    # must not depend on rounding.
    distance = torch.cdist(
        cell_centres(geometry_q, size_q),
        cell_centres(geometry_k, size_k),
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    pick = torch.maximum if normaliser == "larger" else torch.minimum
    diagonal = pick(cell_diagonals(geometry_q, size_q), cell_diagonals(geometry_k, size_k))
    return distance / diagonal[:, None, None]


@torch.no_grad()
def pixel_positives(
    geometry_q: Tensor,
    geometry_k: Tensor,
    *,
    size_q: tuple[int, int],
    size_k: tuple[int, int],
    pos_radius_diag: float = 0.7,
    normaliser: str = "larger",
) -> Tensor:
    """Returns which cells of two views show the same place: the positive mask of PixPro and
    PixContrast.

    A(m, n) = [ ‖centre_q(m) − centre_k(n)‖ / max(D_q, D_k) < pos_radius_diag ], see
    :func:`pixel_distances` for the arguments. The mask with the roles swapped is the transpose. It
    carries no gradient. Cost O(B·N_q·N_k).

    Args:
        pos_radius_diag: threshold in cell diagonals. 0.7 is just under the distance 1/√2 of
            neighbours on aligned square grids, so aligned equal crops match one to one.

    Returns:
        (B, N_q, N_k) bool.
    """
    distances = pixel_distances(
        geometry_q, geometry_k, size_q=size_q, size_k=size_k, normaliser=normaliser
    )
    return distances < pos_radius_diag


def shared_boxes(geometry: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Returns where views lie that are shared with others, in the views' own unit squares.

    Args:
        geometry: (B, 2, 3) maps of upright views, mirrored or not. other: (B, 2, 3), likewise.

    Returns:
        (B, 4) x1, y1, x2, y2 in the view's unit square, with x2 ≤ x1 or y2 ≤ y1 where nothing is
        shared; (B, 2) bool, whether the view is mirrored in x and in y.

    Raises:
        ValueError: a turned view, whose shared region is no box; for maps on the CPU.
    """
    corners = []
    for maps in (geometry, other):
        # Elsewhere the check would wait for the device; recipes are checked when a run begins.
        if maps.device.type == "cpu" and (maps[..., 0, 1].any() or maps[..., 1, 0].any()):
            raise ValueError("a turned view: the region it shares is no box; set rotation=0")
        size, start = maps.diagonal(dim1=-2, dim2=-1), maps[..., 2]
        corners.append((torch.minimum(start, start + size), torch.maximum(start, start + size)))
    low = torch.maximum(corners[0][0], corners[1][0])
    high = torch.minimum(corners[0][1], corners[1][1])
    size, start = geometry.diagonal(dim1=-2, dim2=-1), geometry[..., 2]
    mirrored = size < 0
    first, second = (low - start) / size, (high - start) / size
    low, high = torch.where(mirrored, second, first), torch.where(mirrored, first, second)
    return torch.cat([low, high], -1), mirrored


def inside(points: Tensor, geometry: Tensor) -> Tensor:
    """Returns which points (B, N, 2) of the source's unit square lie within the views (B, 2, 3):
    (B, N) bool.

    The left and top edges count as inside, the right and bottom ones do not.
    """
    local = apply(invert(geometry), points)
    return ((local >= 0) & (local < 1)).all(-1)


def coverage(context: Tensor, parts: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Returns which pixels of a view each of several other views shows: CIM's target map.

    A pixel belongs to a part if its centre lies in the part's (possibly turned) square. Cost
    O(B·K·H·W) time; the largest tensor is one float64 per pixel and part (0.3 GB for 256 images, 6
    parts and 160 px).

    Args:
        context: (B, 2, 3). parts: (B, K, 2, 3). size: (H, W), pixels or cells of the context.

    Returns:
        (B, K, H, W) bool.
    """
    local = compose(
        invert(parts), context[:, None]
    )  # (B, K, 2, 3), from the context's square to the part's
    centres = unit_grid(size, context.device).to(context.dtype).unflatten(0, size)  # (H, W, 2)
    covered = torch.ones((*local.shape[:2], *size), dtype=torch.bool, device=context.device)
    for axis in range(2):
        along_x, along_y, offset = local[:, :, axis, :, None, None].unbind(2)
        place = along_x * centres[0, :, 0] + (along_y * centres[:, 0, 1, None] + offset)
        covered &= (place >= 0) & (place < 1)
    return covered
