"""Which spans of examples a node takes: a window that rolls on with the data."""

from __future__ import annotations

from ml_metadata import MetadataStore
from tfx import types
from tfx.dsl.components.common import resolver

_SPAN, _VERSION = "span", "version"


class SpanWindowStrategy(resolver.ResolverStrategy):
    """Takes the examples of the latest spans, of each span the newest version alone.

    TFX's SpanRangeStrategy takes whatever lies in the range. Where a span was ingested twice, because its data was
    mended or has a new version, its consumer would then see the old rows beside the new ones.

    The window is that of `tfx.configs.RollingRange`: from `latest - num_spans + 1` to `latest`, or what there is of it.
    """

    def __init__(self, num_spans: int = 1, min_spans: int = 1):
        """Makes a strategy.

        Args:
            num_spans: length of the window in spans.
            min_spans: with fewer spans in the window than this it finds nothing.

        Raises:
            ValueError: a number is less than 1, or `min_spans` is more than `num_spans`.
        """
        if not 1 <= min_spans <= num_spans:
            raise ValueError(f"wanted 1 <= min_spans <= num_spans, found min_spans={min_spans}, num_spans={num_spans}")
        self._num_spans = num_spans
        self._min_spans = min_spans

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Returns for each channel the artifacts in its window, latest span first; None if a channel has too few."""
        found = {name: self._window(artifacts) for name, artifacts in input_dict.items()}
        return found if all(len(artifacts) >= self._min_spans for artifacts in found.values()) else None

    def _window(self, artifacts: list[types.Artifact]) -> list[types.Artifact]:
        newest: dict[int, types.Artifact] = {}
        for artifact in sorted(artifacts, key=_age):
            newest[_number(artifact, _SPAN)] = artifact
        newest.pop(-1, None)  # examples that belong to no span
        first = max(newest, default=0) - self._num_spans + 1
        return [newest[span] for span in sorted(newest, reverse=True) if span >= first]


def _age(artifact: types.Artifact) -> tuple[int, int]:
    # Ids grow with time whatever the clock does.
    return _number(artifact, _VERSION), artifact.id


def _number(artifact: types.Artifact, name: str) -> int:
    """A property of an artifact; -1 if it has none. Old TFX wrote numbers as text."""
    if not artifact.has_custom_property(name):
        return -1
    return int(artifact.get_string_custom_property(name) or artifact.get_int_custom_property(name))
