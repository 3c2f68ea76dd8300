"""What a preset is: every setting of a published protocol with its source, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pretrain.names import check_choice

#: Who published a number: the authors of the network, or others who measured it.
KINDS = ("authors", "reproduction")
#: Sections of a preset that hold settings of its benchmark, in the order in which they are shown.
SECTIONS = ("input", "head", "train", "predict", "score")
#: Sections that hold entries of other kinds.
DATA, FEATURES = "data", "features"
#: What ``normalisation`` says where the images get the mean and std that the weights come with.
OF_WEIGHTS = "weights"
_BY_STRIDE = "by_stride"


@dataclass(frozen=True)
class Entry:
    """One setting of a preset.

    Attributes:
        value: what it is; ``dict(by_stride={14: …, 16: …})`` where it follows the network's own
            stride in pixels.
        source: where that stands, beginning with a key of the preset's ``sources``.
        effect: what another value would change.
    """

    value: Any
    source: str
    effect: str = ""

    def resolve(self, name: str, stride: int) -> Any:
        """The value for a network whose own map has ``stride`` pixels per cell.

        Args:
            name: of the setting, for the message.
            stride: of the network.

        Raises:
            ValueError: it follows the stride, and says nothing of this one.
        """
        if not self.follows_stride:
            return self.value
        known = self.value[_BY_STRIDE]
        if stride not in known:
            raise ValueError(
                f"{name} is published for networks with maps of stride "
                f"{', '.join(map(str, sorted(known)))}, this one's is {stride}: give --set "
                f"{name}=VALUE, which renames the preset"
            )
        return known[stride]

    @property
    def follows_stride(self) -> bool:
        """Whether the value depends on the network's stride."""
        return isinstance(self.value, Mapping) and set(self.value) == {_BY_STRIDE}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number that somebody printed.

    Attributes:
        model: timm's name with its tag (``vit_small_patch14_dinov2.lvd142m``), or what the source
            calls a network that timm lacks.
        metric: of the benchmark, in its unit.
        value: as printed, so that its digits are known: ``77.0``.
        source: beginning with a key of the preset's ``sources``.
        kind: ``authors`` of the network, or ``reproduction`` by others.
        upsampler: behind which it was measured; None: on the network's own grid.
        comparable: empty; or why no number of ours may be held against it, as a sentence.

    Raises:
        ValueError: a value that is no number, or another kind.
    """

    model: str
    metric: str
    value: str
    source: str
    kind: str
    upsampler: str | None = None
    comparable: str = ""

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        try:
            float(self.value)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"value={self.value!r} of {self.model}: write the number as it is printed, "
                "as text: '77.0'"
            ) from error

    @property
    def number(self) -> float:
        """The value."""
        return float(self.value)

    @property
    def digits(self) -> int:
        """Digits after the point."""
        return len(self.value.partition(".")[2])

    @property
    def half_unit(self) -> float:
        """Half a unit of the last digit: how far rounding may have moved it."""
        return 0.5 * 10.0**-self.digits


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named, versioned, complete protocol.

    Attributes:
        name: also of its file.
        file: how it is found again: its name, or a path where it is none of the project's.
        version: a whole number; another one where any value changes.
        title: what it measures, in a few words.
        benchmark: name of the one that runs it.
        sources: short name -> what it is: repository, version, date, licence.
        data: ``layout`` and the other arguments of the class that reads the data.
        counts: entries of the data's protocol -> what they are in the published protocol.
        normalisation: ``weights``, or a dict of ``mean`` and ``std`` (RGB, of [0, 1]).
        features: every field of :class:`benchmarks.core.features.FeatureSettings`.
        settings: every setting of the benchmark that can change the number.
        sections: which section of the file each setting stands in.
        fixed: what has no setting: rules that the benchmark always follows, with their source.
        selection: how the reported value is chosen among trained states, as a sentence.
        seed: the setting that training is repeated with; None where nothing is trained.
        tolerance: metric -> what beyond interval and rounding still agrees; a choice of ours.
        published: rows.
        deviations: what ours does unlike the source, and why.
    """

    name: str
    file: str
    version: int
    title: str
    benchmark: str
    sources: Mapping[str, str]
    data: Mapping[str, Entry]
    counts: Mapping[str, Entry]
    normalisation: Entry
    features: Mapping[str, Entry]
    settings: Mapping[str, Entry]
    sections: Mapping[str, str]
    fixed: Mapping[str, Entry]
    selection: str
    seed: str | None
    tolerance: Mapping[str, float]
    published: tuple[Published, ...]
    deviations: tuple[str, ...]

    @property
    def entries(self) -> dict[str, Entry]:
        """Everything that a user may change, by the name it has behind ``--set NAME.``."""
        named = {f"{DATA}.{key}": entry for key, entry in self.data.items()}
        named |= {"normalisation": self.normalisation}
        named |= {f"{FEATURES}.{key}": entry for key, entry in self.features.items()}
        return named | dict(self.settings)
