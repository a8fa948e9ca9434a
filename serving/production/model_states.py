"""Which versions of a model are served and what their labels are, as one comparable value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

LATEST, ALL, SPECIFIC = "latest", "all", "specific"


@dataclass(frozen=True)
class ModelState:
    """The part of a ModelConfig that promotions change.

    Attributes:
      policy: "latest", "all" or "specific".
      count: how many versions "latest" keeps.
      versions: those of "specific", ascending.
      labels: version by label.
    """

    policy: str = LATEST
    count: int = 1
    versions: tuple[int, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        which = {LATEST: f"latest {self.count}", ALL: "all"}.get(self.policy) or "only " + ", ".join(map(str, self.versions))
        return which + "".join(f", {label} -> {version}" for label, version in sorted(self.labels.items()))

    def with_label(self, label: str, version: int, pin: bool = False) -> ModelState:
        """Returns the state with a label moved.

        Under "specific", or with `pin`, the versions become those with a label and the one that this label just left: rolling back then
        needs no loading.
        """
        labels = {**self.labels, label: version}
        if self.policy != SPECIFIC and not pin:
            return replace(self, labels=labels)
        kept = set(labels.values()) | ({self.labels[label]} if label in self.labels else set())
        return ModelState(SPECIFIC, versions=tuple(sorted(kept)), labels=labels)

    @property
    def named(self) -> set[int]:
        """The versions that the state needs by number: those of "specific" and those with a label."""
        return {*self.versions, *self.labels.values()}

    def without(self, lost: Collection[int]) -> ModelState:
        """Returns the state without versions, and without labels that name them."""
        labels = {label: version for label, version in self.labels.items() if version not in lost}
        return replace(self, versions=tuple(version for version in self.versions if version not in lost), labels=labels)

    def beside(self, after: ModelState, present: Iterable[int] = ()) -> ModelState:
        """Returns the state between this one and another: what that one needs is loaded too, no label has moved yet.

        Args:
          after: the state to reach.
          present: versions that are served now by another policy than "specific", and stay for the time being.
        """
        return ModelState(SPECIFIC, versions=tuple(sorted(self.named | after.named | set(present))), labels=self.labels)


def read(model: ModelConfig) -> ModelState:
    """Returns the state that a ModelConfig describes."""
    policy, labels = model.model_version_policy, dict(model.version_labels)
    choice = policy.WhichOneof("policy_choice") or LATEST
    if choice == SPECIFIC:
        return ModelState(SPECIFIC, versions=tuple(sorted(policy.specific.versions)), labels=labels)
    return ModelState(choice, count=policy.latest.num_versions or 1 if choice == LATEST else 1, labels=labels)


def write(model: ModelConfig, state: ModelState) -> None:
    """Changes a ModelConfig to a state; its name, path and the rest stay."""
    model.ClearField("model_version_policy")
    model.ClearField("version_labels")
    policy = model.model_version_policy
    if state.policy == SPECIFIC:
        policy.specific.versions.extend(state.versions)
    elif state.policy == ALL:
        policy.all.SetInParent()
    else:
        policy.latest.num_versions = state.count
    for label, version in state.labels.items():
        model.version_labels[label] = version
