"""The prompt node: prompts by topic and service, checked and turned into tokens for the policy."""

from __future__ import annotations

import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

from sensor_msgs.msg import Image

from vima_msgs.msg import EpisodeStatus, Prompt, PromptAsset, PromptStatus, PromptTokens
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion, prompt_conversions, qos
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.common.prompt_conversions import prompt_to_message
from vima_ros.nodes.prompt.asset_services import AssetServices
from vima_ros.nodes.prompt.parameters import PromptParameters
from vima_ros.perception.detectors.base import DetectorSettings
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.prompt.assembly import MAX_TEXT_LENGTH, assemble, find_placeholders, match_assets
from vima_ros.prompt.asset_library import AssetLibrary
from vima_ros.prompt.image_encoding import PromptImageEncoder
from vima_ros.prompt.preview import draw_prompt
from vima_ros.specs import AssetKind, EncodedPrompt, PromptImage

ENDED = (EpisodeStatus.IDLE, EpisodeStatus.FINISHED, EpisodeStatus.FAILED)


class PromptNode(VimaNode):
    """Answers each prompt on ``prompt_status``; an accepted one goes out as ``prompt_tokens``."""

    name = "prompt"
    parameters_type = PromptParameters

    def configure(self) -> None:
        """Load the tokenizer, open the library and create the handles."""
        p = self.parameters
        self._tokenizer = PromptTokenizer(p.tokenizer or None)
        self._detectors = {
            AssetKind.OBJECT: make_detector(p.detector, DetectorSettings(weights=p.weights)),
            AssetKind.SCENE: make_detector(
                p.scene_detector, DetectorSettings(weights=p.scene_weights)
            ),
        }
        self._image_encoder = PromptImageEncoder(self._detectors)
        self._library = AssetLibrary(Path(p.library), p.library_max_assets, p.library_max_bytes)
        self._asset_services = AssetServices(self, self._library)
        self._answer, self._episode = PromptStatus(), EpisodeStatus()
        self._tokens = self.create_publisher(PromptTokens, "prompt_tokens", qos.LATCHED)
        self._status = self.create_publisher(PromptStatus, "prompt_status", qos.LATCHED)
        self._preview = self.create_publisher(Image, "prompt_preview", qos.LATCHED)
        self._taken: deque[int] = deque(maxlen=100)
        # Latched prompts, and those of a publisher that latches nothing (`ros2 topic pub`).
        for profile in (qos.LATCHED, qos.RELIABLE):
            self.create_subscription(Prompt, "prompt", self._on_prompt, profile)
        self.create_subscription(EpisodeStatus, "episode", self._on_episode, qos.LATCHED)
        self.create_service(SetPrompt, "set_prompt", self._on_set_prompt)

    def _on_prompt(self, message: Prompt, info: dict[str, int]) -> None:
        sent = info["source_timestamp"]
        if sent not in self._taken:  # a latched prompt comes by both subscriptions
            self._taken.append(sent)
            self._take(SetPrompt.Request(prompt=message))

    def _on_episode(self, message: EpisodeStatus) -> None:
        self._episode = message

    def _on_set_prompt(self, request: Any, response: Any) -> Any:
        answer, preview = self._take(request)
        response.success = answer.code == PromptStatus.OK
        response.prompt_id, response.code = answer.prompt_id, answer.code
        response.message = answer.message
        if request.preview:
            response.preview = preview
        return response

    def _take(self, request: Any) -> tuple[PromptStatus, Image]:
        """Publish the tokens of a good prompt, and the answer to any; it, and the preview."""
        text = request.prompt.text
        answer, preview = PromptStatus(text=text[:MAX_TEXT_LENGTH], code=PromptStatus.OK), Image()
        answer.header.stamp = self.get_clock().now().to_msg()
        try:
            self._check_free(request)
            prompt = self._encode(request.prompt)
            drawn = draw_prompt(prompt, self._tokenizer.piece)
            preview = image_conversion.encode(drawn, "rgb8", answer.header.stamp)
            self._preview.publish(preview)
            if not request.check_only:
                answer.prompt_id = uuid.uuid4().hex[:12]
                self._publish(prompt, answer, request.hold)
        except VimaError as error:
            answer.code, answer.message = error.code, str(error)
            self.get_logger().warning(f"refused: {error.code}: {error}")
        except Exception as error:  # a service must answer whatever it was sent
            answer.code, answer.message = "BAD_IMAGE", f"{type(error).__name__}: {error}"
            self.get_logger().error(f"refused, unexpectedly: {answer.message}")
        if answer.code != PromptStatus.OK:
            self.statistics.record_refusal(answer.code, answer.message)
        if not request.check_only:
            self._answer = answer
            self._status.publish(answer)
        return answer, preview

    def _check_free(self, request: Any) -> None:
        if not self.active:
            raise VimaError("NOT_ACTIVE", "the prompt node is not active yet; send it again")
        running = self._episode.by_goal and self._episode.state not in ENDED
        if running and not (request.check_only or request.hold):
            what = f"{self._episode.prompt_id}: {self._episode.text}"
            raise VimaError(
                "BUSY", f"a goal runs prompt {what}; valid: cancel it, or wait for its end"
            )

    def _encode(self, message: Prompt) -> EncodedPrompt:
        began = time.perf_counter()
        placeholders = find_placeholders(message.text)
        sent = [asset.name for asset in message.assets]
        stored = match_assets(placeholders, sent, self._library.names())
        images = {asset.name: self._encode_attached(asset) for asset in message.assets}
        for name in stored:
            asset = self._library.load(name)
            images[name] = self._image_encoder.encode(name, asset.kind, asset.views)
        encoded = time.perf_counter()
        prompt = assemble(message.text, images, self._tokenizer.encode)
        self.statistics.record_result(
            {"images": encoded - began, "assemble": time.perf_counter() - encoded}
        )
        return prompt

    def _encode_attached(self, asset: PromptAsset) -> PromptImage:
        views = prompt_conversions.asset_images_from_message(asset)
        return self._image_encoder.encode(asset.name, AssetKind(asset.kind), views)

    def _publish(self, prompt: EncodedPrompt, answer: PromptStatus, hold: bool) -> None:
        tokens = prompt_to_message(prompt, answer.prompt_id, answer.header.stamp)
        tokens.vocabulary_size, tokens.hold = self._tokenizer.vocab_size, hold
        self._tokens.publish(tokens)
        self.get_logger().info(f"accepted {answer.prompt_id}: {prompt.text}")

    def diagnose(self) -> tuple[bool, str, dict[str, Any]]:
        """The answer to the latest prompt, and what the library holds."""
        a = self._answer
        good = a.code in ("", PromptStatus.OK)
        values = {"prompt_id": a.prompt_id, "text": a.text, "library": str(self._library.folder)}
        for kind, detector in self._detectors.items():
            values |= {f"{kind.name.lower()}_{k}": v for k, v in detector.describe().items()}
        try:
            values |= {"assets": len(self._library.names()), "bytes": self._library.size()}
        except VimaError as error:
            return False, f"{error.code} {error}", values
        return good, f"{a.code} {a.message}".strip(), values


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros prompt``."""
    run(PromptNode, args)
