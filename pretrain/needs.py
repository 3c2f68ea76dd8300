"""What an objective needs of the recipe, the source and the engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Read before a run starts: by the checks of views and labels, by whoever builds target
    networks, and by hooks.

    Attributes:
        online: view groups that the trained network encodes.
        masked: view groups that the trained network encodes with cells hidden
            (``encode.online(group, mask=encode.mask(group))``), for which the backbone gets a mask
            token.
        may_read: view groups that the trained network encodes where the recipe makes them, such as
            small local views.
        target: view groups that its EMA copy, the target network, encodes; empty: there is none.
        reference: view groups that a frozen network encodes (``encode.reference(group)``), which
            the model then has.
        images: view groups of which it reads the images alone.
        twins: (group, other) pairs: the views of ``group`` must repeat those of ``other`` one by
            one (``ViewSpec.same_as``).
        upright: whether none of its views may be turned, because it lays a common grid into what
            two of them share (:func:`pretrain.objectives.parts.overlap.overlap_cells`).
        views: views of each group; objectives use the first ones.
        any_views: whether it uses all views where a recipe makes more.
        labels: whether every image must carry a label, or -1.
        second_norms: whether it calls ``encode.online(…, norm="adversarial")``, for which the
            backbone gets a second set of BatchNorms.
        attacked: view group whose pixels an adversary may change; one of ``online``.
    """

    online: tuple[str, ...] = ("global",)
    masked: tuple[str, ...] = ()
    may_read: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    twins: tuple[tuple[str, str], ...] = ()
    upright: bool = False
    views: int = 2
    any_views: bool = False
    labels: bool = False
    second_norms: bool = False
    attacked: str = "global"

    @property
    def groups(self) -> tuple[str, ...]:
        """All view groups that it reads, sorted by name."""
        encoded = {*self.online, *self.masked, *self.target, *self.reference}
        return tuple(sorted(encoded | {*self.images}))
