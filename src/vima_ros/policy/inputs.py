"""Kinds of input and output that a policy declares, for those who feed it."""

from __future__ import annotations

from dataclasses import dataclass

from vima_ros.errors import VimaError
from vima_ros.specs import AssetKind, EncodedPrompt

WORDS, OBJECT, SCENE = PROMPT_KINDS = ("words", *(kind.name.lower() for kind in AssetKind))
OBSERVATION_KINDS = ("objects", "images")
ACTION_KINDS = ("pose_pair",)


@dataclass(frozen=True)
class PolicyInputs:
    """Kinds of input and output of a policy.

    ``prompt``: which parts a prompt may have: ``words``, images of one ``object``, images of a
    ``scene``. ``observation``: ``objects`` (crops and boxes of detected objects) or ``images``
    (both views whole); a prompt's images are read in the same form. ``action``: ``pose_pair``, two
    poses in the workspace. Raises VimaError (INVALID_VALUE) for any other kind.
    """

    prompt: tuple[str, ...] = PROMPT_KINDS
    observation: str = "objects"
    action: str = "pose_pair"

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", tuple(self.prompt))
        for name, got, valid in (
            ("prompt", self.prompt, PROMPT_KINDS),
            ("observation", (self.observation,), OBSERVATION_KINDS),
            ("action", (self.action,), ACTION_KINDS),
        ):
            if not got or not set(got) <= set(valid):
                raise VimaError(
                    "INVALID_VALUE",
                    f"a policy's {name} is {', '.join(map(repr, got)) or 'empty'}; valid: "
                    f"{', '.join(valid)}",
                )

    def check_prompt(self, prompt: EncodedPrompt) -> None:
        """Check that the policy can read ``prompt``.

        Raises VimaError: UNREADABLE_PROMPT for a kind of token that it does not read, or a whole
        image where it reads objects; NO_OBJECT for an image without any; NO_IMAGES for one that is
        not whole where it reads these.
        """
        for token in prompt.tokens:
            kind = WORDS if isinstance(token, int) else token.kind.name.lower()
            if kind not in self.prompt:
                what = "words" if isinstance(token, int) else f"{{{token.name}}}, of kind {kind}"
                raise VimaError(
                    "UNREADABLE_PROMPT",
                    f"the prompt has {what}, which this policy does not read; valid: "
                    f"{', '.join(self.prompt)}",
                )
        for image in prompt.images:
            if self.observation == "images":
                if image.images is None:
                    raise VimaError(
                        "NO_IMAGES",
                        f"image {{{image.name}}} is not whole; valid: both views, as images",
                    )
            elif len(image.front) + len(image.top) == 0:
                if image.images is not None:
                    raise VimaError(
                        "UNREADABLE_PROMPT",
                        f"image {{{image.name}}} is whole, and this policy reads objects; valid: "
                        "its objects",
                    )
                raise VimaError(
                    "NO_OBJECT",
                    f"image {{{image.name}}} shows no object in either view; valid: 1 or more",
                )


OBJECTS = PolicyInputs(observation="objects")
IMAGES = PolicyInputs(observation="images")
