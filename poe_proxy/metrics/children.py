"""The children of metrics, kept: to look one up by its labels costs three times as much as it."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)

#: What stands for a label that is one too many.
OTHER: Final = "other"
#: The most combinations of labels of one metric.
MOST: Final = 1_000
#: The most models that are told apart.
MOST_MODELS: Final = 200


class Children(Generic[M]):
    """The children of one metric by their labels. Once there are `MOST`, all further ones are one,
    whose labels are all `OTHER`."""

    def __init__(self, metric: M) -> None:
        self._metric = metric
        self._kept: dict[tuple[Any, ...], M] = {}

    def of(self, *labels: str | int) -> M:
        """Return the child with these *labels*."""
        child = self._kept.get(labels)
        if child is None:
            if len(self._kept) >= MOST:
                labels = (OTHER,) * len(labels)
            child = self._kept[labels] = self._metric.labels(*labels)
        return child
