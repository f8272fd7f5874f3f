"""The prompt node: prompts by topic and service, validated and encoded for the policy."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from sensor_msgs.msg import Image

from vima_msgs.msg import EpisodeStatus, Prompt, PromptAsset, PromptStatus, PromptTokens
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError
from vima_ros.nodes.common import image_conversion, node_names, qos
from vima_ros.nodes.common.diagnostics import ERROR, OK, WARN, FunctionStatus
from vima_ros.nodes.common.lifecycle_node import VimaNode
from vima_ros.nodes.common.main import run
from vima_ros.nodes.common.policy_inputs import DeclaredInputs
from vima_ros.nodes.common.prompt_conversions import asset_images_from_message, prompt_to_message
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

ENDED_STATES = (EpisodeStatus.IDLE, EpisodeStatus.FINISHED, EpisodeStatus.FAILED)


class PromptNode(VimaNode[PromptParameters]):
    """Publishes ``prompt_status`` for each prompt, and ``prompt_tokens`` for an accepted one."""

    name = node_names.PROMPT
    message_info = True
    parameters_type = PromptParameters

    def configure(self) -> None:
        """Load the tokenizer, open the library and create publishers and services."""
        p = self.parameters
        self._tokenizer = PromptTokenizer(p.tokenizer or None)
        self._detectors = {
            AssetKind.OBJECT: make_detector(p.detector, DetectorSettings(weights=p.weights)),
            AssetKind.SCENE: make_detector(
                p.scene_detector, DetectorSettings(weights=p.scene_weights)
            ),
        }
        self._declared = DeclaredInputs(self)
        self._library = AssetLibrary(Path(p.library), p.library_max_assets, p.library_max_bytes)
        self._asset_services = AssetServices(self, self._library)
        self._latest, self._episode = PromptStatus(), EpisodeStatus()
        self._tokens = self.create_publisher(PromptTokens, "prompt_tokens", qos.LATCHED)
        self._status = self.create_publisher(PromptStatus, "prompt_status", qos.LATCHED)
        self._preview = self.create_publisher(Image, "prompt_preview", qos.LATCHED)
        self._received_stamps: deque[int] = deque(maxlen=100)
        # Latched prompts, and those of a publisher that latches nothing (`ros2 topic pub`).
        for profile in (qos.LATCHED, qos.RELIABLE):
            self.create_subscription(Prompt, "prompt", self._on_prompt, profile)
        self.create_subscription(EpisodeStatus, "episode", self._on_episode, qos.LATCHED)
        self.create_service(SetPrompt, "set_prompt", self._on_set_prompt)

    def _on_prompt(self, message: Prompt, info: dict[str, int]) -> None:
        stamp = info["source_timestamp"]
        if stamp not in self._received_stamps:  # a latched prompt arrives by both subscriptions
            self._received_stamps.append(stamp)
            self._process(SetPrompt.Request(prompt=message))

    def _on_episode(self, message: EpisodeStatus) -> None:
        self._episode = message

    def _on_set_prompt(
        self, request: SetPrompt.Request, response: SetPrompt.Response
    ) -> SetPrompt.Response:
        status, preview = self._process(request)
        response.success = status.code == PromptStatus.OK
        response.prompt_id, response.code = status.prompt_id, status.code
        response.message = status.message
        if request.preview:
            response.preview = preview
        return response

    def _process(self, request: SetPrompt.Request) -> tuple[PromptStatus, Image]:
        """Encode and publish a prompt; return its status and preview."""
        text = request.prompt.text
        status, preview = PromptStatus(text=text[:MAX_TEXT_LENGTH], code=PromptStatus.OK), Image()
        status.header.stamp = self.get_clock().now().to_msg()
        try:
            self._check_not_busy(request)
            prompt = self._encode(request.prompt)
            preview_rgb = draw_prompt(prompt, self._tokenizer.piece)
            preview = image_conversion.encode(preview_rgb, "rgb8", status.header.stamp)
            self._preview.publish(preview)
            if not request.check_only:
                status.prompt_id = uuid.uuid4().hex[:12]
                self._publish(prompt, status, request.hold)
        except VimaError as error:
            status.code, status.message = error.code, str(error)
            self.get_logger().warning(f"refused: {error.code}: {error}")
        except Exception as error:  # a service must respond to any request
            status.code, status.message = "BAD_IMAGE", f"{type(error).__name__}: {error}"
            self.get_logger().error(f"refused, unexpected error: {status.message}")
        if status.code != PromptStatus.OK:
            self.statistics.record_refusal(status.code, status.message)
        if not request.check_only:
            self._latest = status
            self._status.publish(status)
        return status, preview

    def _check_not_busy(self, request: SetPrompt.Request) -> None:
        if not self.active:
            raise VimaError("NOT_ACTIVE", "the prompt node is not active yet; send it again")
        running = self._episode.by_goal and self._episode.state not in ENDED_STATES
        if running and not (request.check_only or request.hold):
            what = f"{self._episode.prompt_id}: {self._episode.text}"
            raise VimaError(
                "BUSY", f"a goal runs prompt {what}; valid: cancel it, or wait for its end"
            )

    def _encode(self, message: Prompt) -> EncodedPrompt:
        began = time.perf_counter()
        placeholders = find_placeholders(message.text)
        attached = [asset.name for asset in message.assets]
        stored = match_assets(placeholders, attached, self._library.names())
        declared = self._declared
        encoder = PromptImageEncoder(self._detectors, whole_images=declared.whole_images)
        images = {a.name: _encode_attached(encoder, a) for a in message.assets}
        for name in stored:
            kept = self._library.load(name)
            images[name] = encoder.encode(name, kept.kind, kept.views)
        encoded = time.perf_counter()
        prompt = assemble(
            message.text,
            images,
            self._tokenizer.encode,
            max_tokens=declared.max_prompt_tokens,
            image_tokens=declared.image_tokens,
        )
        declared.inputs.check_prompt(prompt)
        self.statistics.record_result(
            {"images": encoded - began, "assemble": time.perf_counter() - encoded}
        )
        return prompt

    def _publish(self, prompt: EncodedPrompt, status: PromptStatus, hold: bool) -> None:
        stamp = status.header.stamp
        tokens = prompt_to_message(prompt, status.prompt_id, stamp, self._tokenizer.piece)
        identity, tokens.hold = self._tokenizer.identity, hold
        tokens.tokenizer_sha256, tokens.vocabulary_size = identity.sha256, identity.words
        self._tokens.publish(tokens)
        self.get_logger().info(f"accepted {status.prompt_id}: {prompt.text}")

    def diagnose(self) -> Iterator[FunctionStatus]:
        """Summarize the latest status, the detectors and the content of the library."""
        a = self._latest
        level = OK if a.code in ("", PromptStatus.OK) else WARN
        values: dict[str, object] = {"prompt_id": a.prompt_id, "text": a.text}
        values["policy reads"] = self._declared.inputs.observation
        yield FunctionStatus("prompts", level, f"{a.code} {a.message}".strip(), values)
        cards = {kind.name.lower(): d.describe() for kind, d in self._detectors.items()}
        yield FunctionStatus("detectors", OK, "", cards)
        level, message, values = OK, "", {"library": str(self._library.folder)}
        try:
            values |= {"assets": len(self._library.names()), "bytes": self._library.size()}
        except VimaError as error:
            level, message = ERROR, f"{error.code} {error}"
        yield FunctionStatus("asset library", level, message, values)


def _encode_attached(encoder: PromptImageEncoder, asset: PromptAsset) -> PromptImage:
    views = asset_images_from_message(asset)
    return encoder.encode(asset.name, AssetKind(asset.kind), views)


def main(args: list[str] | None = None) -> None:
    """Run the node: ``ros2 run vima_ros prompt``."""
    run(PromptNode, args)
