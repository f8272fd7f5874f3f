"""The prompt node: prompts by topic and service, checked and turned into tokens for the policy."""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from vima_msgs.msg import Prompt, PromptAsset, PromptStatus, PromptTokens
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError
from vima_ros.nodes import conversions, images, qos
from vima_ros.nodes.base import VimaNode, run
from vima_ros.nodes.parameters import parameter
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.registry import (
    DETECTORS,
    DetectorSettings,
    Instances,
    make_detector,
)
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.prompt.assembly import MAX_TEXT_LENGTH, assemble, find_placeholders, match_assets
from vima_ros.specs import (
    POLICY_FRAME_HEIGHT,
    POLICY_FRAME_WIDTH,
    VIEWS,
    AssetKind,
    PromptImage,
    ViewObjects,
)


@dataclass(frozen=True)
class PromptParameters:
    """Read from config/prompt.yaml."""

    tokenizer: str = parameter("tokenizer.json, or a name on a hub; empty: ours", read_only=True)
    detector: str = parameter(
        "finds the objects of pictures sent without masks",
        choices=tuple(sorted(set(DETECTORS) - {"masks"})),
        read_only=True,
    )
    weights: str = parameter(
        "the detector's file; empty: the shipped one, where it has one", read_only=True
    )


class PromptNode(VimaNode):
    """Answers each prompt on ``prompt_status``; an accepted one goes out as ``prompt_tokens``."""

    name = "prompt"
    parameters_type = PromptParameters

    def configure(self) -> None:
        """Load the tokenizer and create the handles."""
        self._tokenizer = PromptTokenizer(self.parameters.tokenizer or None)
        self._detector = make_detector(
            self.parameters.detector, DetectorSettings(weights=self.parameters.weights)
        )
        self._answer = PromptStatus()
        self._tokens = self.create_publisher(PromptTokens, "prompt_tokens", qos.LATCHED)
        self._status = self.create_publisher(PromptStatus, "prompt_status", qos.LATCHED)
        self._taken: deque[int] = deque(maxlen=100)
        # Latched prompts, and those of a publisher that latches nothing (`ros2 topic pub`).
        for profile in (qos.LATCHED, qos.RELIABLE):
            self.listen(Prompt, "prompt", self._on_prompt, profile)
        self.serve(SetPrompt, "set_prompt", self._on_set_prompt)

    def _on_prompt(self, message: Prompt, info: dict[str, int]) -> None:
        sent = info["source_timestamp"]
        if sent not in self._taken:  # a latched prompt comes by both subscriptions
            self._taken.append(sent)
            self._take(message)

    def _on_set_prompt(self, request: Any, response: Any) -> Any:
        answer = self._take(request.prompt)
        response.success = answer.code == PromptStatus.OK
        response.prompt_id, response.code = answer.prompt_id, answer.code
        response.message = answer.message
        return response

    def _take(self, message: Prompt) -> PromptStatus:
        """Publish the tokens of a good prompt, and the answer to any."""
        answer = PromptStatus(text=message.text[:MAX_TEXT_LENGTH], code=PromptStatus.OK)
        answer.header.stamp = self.get_clock().now().to_msg()
        try:
            if not self.active:
                raise VimaError("NOT_ACTIVE", "the prompt node is not active yet; send it again")
            prompt = self._encode(message)
            answer.prompt_id = uuid.uuid4().hex[:12]
            tokens = conversions.prompt_to_message(prompt, answer.prompt_id, answer.header.stamp)
            tokens.vocabulary_size = self._tokenizer.vocab_size
            self._tokens.publish(tokens)
            self.get_logger().info(f"accepted {answer.prompt_id}: {message.text}")
        except VimaError as error:
            answer.code, answer.message = error.code, str(error)
            self.get_logger().warning(f"refused: {error.code}: {error}")
        except Exception as error:  # a service must answer whatever it was sent
            answer.code, answer.message = "BAD_IMAGE", f"{type(error).__name__}: {error}"
            self.get_logger().error(f"refused, unexpectedly: {answer.message}")
        self._answer = answer
        self._status.publish(answer)
        return answer

    def _encode(self, message: Prompt) -> Any:
        placeholders = find_placeholders(message.text)
        match_assets(placeholders, [asset.name for asset in message.assets])
        pictures = {asset.name: self._picture(asset) for asset in message.assets}
        return assemble(message.text, pictures, self._tokenizer.encode)

    def _picture(self, asset: PromptAsset) -> PromptImage:
        if asset.kind not in list(AssetKind):
            raise VimaError(
                "BAD_KIND", f"{{{asset.name}}} has kind {asset.kind}; valid: 0 object, 1 scene"
            )
        try:
            views = {view: self._view(asset, view) for view in VIEWS}
        except VimaError as error:
            raise VimaError(error.code, f"picture {{{asset.name}}}, {error}") from error
        if not any(len(objects) for objects in views.values()):
            raise VimaError("NO_OBJECT", f"picture {{{asset.name}}} shows no object in any view")
        return PromptImage(asset.name, asset.kind, **views)

    def _view(self, asset: PromptAsset, view: str) -> ViewObjects:
        picture, mask = getattr(asset, view), getattr(asset, f"{view}_mask")
        if not picture.data:
            if mask.data:
                raise VimaError("BAD_IMAGE", f"{view} view: a mask without a picture")
            return ViewObjects.empty()
        try:
            rgb = images.decode_colour(picture)
            ids = images.decode_mask(mask) if mask.data else None
        except VimaError as error:
            raise VimaError(error.code, f"{view} view: {error}") from error
        for what, array in (("picture", rgb), ("mask", ids)):
            if array is not None and array.shape[:2] != (POLICY_FRAME_HEIGHT, POLICY_FRAME_WIDTH):
                raise VimaError(
                    "WRONG_SIZE",
                    f"{view} view: the {what} is {array.shape[1]}x{array.shape[0]} px; "
                    f"valid: {POLICY_FRAME_WIDTH}x{POLICY_FRAME_HEIGHT} px",
                )
        detector = make_detector("masks") if ids is not None else self._detector
        instances = detector.detect(rgb, view, ids)
        if asset.kind == AssetKind.OBJECT:
            instances = _largest(instances)
        return extract_objects(rgb, instances)

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """The answer to the latest prompt."""
        a = self._answer
        good = a.code in ("", PromptStatus.OK)
        values = {"prompt_id": a.prompt_id, "text": a.text}
        return good, f"{a.code} {a.message}".strip(), values | self._detector.describe()


def _largest(instances: Instances) -> Instances:
    """Only the instance with the most pixels."""
    if len(instances.ids) < 2:
        return instances
    sizes = [np.count_nonzero(instances.mask == i) for i in instances.ids]
    best = int(np.argmax(sizes))
    keep = instances.ids[best]
    return Instances(
        np.where(instances.mask == keep, instances.mask, 0).astype(np.uint16),
        instances.ids[best : best + 1],
        instances.scores[best : best + 1],
    )


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros prompt``."""
    run(PromptNode, args)
