"""Perception, prompt and policy node without manager: each sends what the policy declares."""

import pytest
from by_hand import bring_up
from lifecycle_msgs.msg import State, Transition
from played_cameras import PLAIN, UNHURRIED, PlayedCameras, image
from sensor_msgs.msg import Image
from small_policies import write_policy
from std_srvs.srv import Trigger

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import (
    EpisodeStatus,
    Heartbeat,
    PerceptionStatus,
    PolicyAction,
    PolicyInputs,
    Prompt,
    PromptAsset,
    PromptTokens,
)
from vima_msgs.srv import CaptureAsset, GetScene, SetPrompt, StepPolicy
from vima_ros.client.client import Client
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.client.node_processes import NodeProcesses
from vima_ros.nodes.common import qos

NODES = ("perception", "prompt", "policy")
RESTART = {
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
}
AGAIN = {
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
}
PAIR = image(width=256, height=128), image(width=256, height=128)


class Nodes:
    """The three nodes, played cameras and the clients of a user."""

    def __init__(self, folder, client, processes):
        self.client, self.processes = client, processes
        self.checkpoint = folder / "policy.safetensors"
        self.declared = client.subscribe(PolicyInputs, "policy_inputs", qos.LATCHED)
        self.tokens = client.subscribe(PromptTokens, "prompt_tokens", qos.LATCHED)
        self.episodes = client.subscribe_episodes()
        self.actions = client.subscribe(PolicyAction, "action")
        self.cameras = PlayedCameras(client)

    def use(self, conditioning):
        """Configure the policy node anew, with another policy in the file of its checkpoint."""
        write_policy(self.checkpoint, conditioning)
        before = self.declared.count
        bring_up(self.client, "policy", RESTART)
        form = PolicyInputs.OBJECTS if conditioning == "vima" else PolicyInputs.IMAGES
        self.declared.wait(lambda m: m.observation == form, 15, form, before)
        self.sends(form)

    def sends(self, form):
        """Show images until perception has taken the declaration."""

        def has_come():
            return self.cameras.status_of(*PAIR).observation == form

        self.client.wait_until(has_come, f"perception to send {form}")

    def refused(self, code, before) -> EpisodeStatus:
        """The end of an episode that began with tokens of an earlier prompt."""
        return self.episodes.wait(lambda m: m.code == code, 15, code, before)

    def set_prompt(self, asset, text="Look at the {a}.", **options):
        prompt = Prompt(text=text, assets=[asset] if asset else [])
        request = SetPrompt.Request(prompt=prompt, **options)
        return self.client.call(SetPrompt, "set_prompt", request)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    parameters = {
        **PLAIN,
        **UNHURRIED,
        "checkpoint": str(folder / "policy.safetensors"),
        "default_end_effector": "suction",
        "scene_detector": "plain_background",
        "library": str(folder / "assets"),
        "max_age": 60.0,
        "node_timeout": 60.0,
        "observation_timeout": 3.0,
    }
    with NodeProcesses(folder, params_file="example") as processes, Client("user") as client:
        running = Nodes(folder, client, processes)
        processes.start(["perception"], parameters | {"max_age": 0.0})
        bring_up(client, "perception")
        running.cameras.wait_for_perception(*PAIR)
        seen = running.cameras.observation_of(*PAIR)
        assert len(seen.front.objects) == 2, "before a policy has declared anything: objects"
        write_policy(running.checkpoint, "gato")
        processes.start(NODES[1:], parameters)
        for name in NODES[1:]:
            bring_up(client, name)
        yield running
        processes.check_alive()


def asset_of(**views) -> PromptAsset:
    return PromptAsset(name="a", kind=PromptAsset.KIND_OBJECT, **views)


def test_a_policy_of_whole_images_gets_these_and_nothing_else(nodes):
    nodes.sends(PolicyInputs.IMAGES)
    seen = nodes.cameras.observation_of(*PAIR)
    assert (len(seen.front.objects), len(seen.top.objects)) == (0, 0)
    assert (len(seen.images.front), len(seen.images.top)) == (24576, 24576)
    assert seen.front.header.frame_id == "front_optical"
    status = nodes.cameras.status_of(*PAIR)
    assert (status.code, status.observation) == (PerceptionStatus.OK, PolicyInputs.IMAGES)
    assert status.detector_time == 0.0, "nobody reads objects"
    empty = image(width=256, height=128, blocks=0)
    assert nodes.cameras.status_of(empty, empty).code == PerceptionStatus.OK


def test_a_prompt_is_sent_whole_and_decided_on(nodes):
    both = asset_of(front=PAIR[0], top=PAIR[1])
    response = nodes.set_prompt(both)
    assert response.success, response.message
    sent = nodes.tokens.wait(lambda m: m.prompt_id == response.prompt_id, 15, "prompt_tokens")
    (shown,) = sent.images
    assert (len(shown.images.front), len(shown.front.objects)) == (24576, 0)
    before = nodes.actions.count

    def decided():
        nodes.cameras.show(*PAIR)
        return any(m.prompt_id == response.prompt_id for m in nodes.actions.since(before))

    nodes.client.wait_until(decided, "a decision")
    assert nodes.client.call(Trigger, "reset_episode", Trigger.Request()).success


def test_a_prompt_of_one_view_is_refused_by_name_by_service_and_action(nodes):
    front = asset_of(front=PAIR[0])
    response = nodes.set_prompt(front)
    assert (response.success, response.code) == (False, "NO_IMAGES")
    assert "image {a}, no top view" in response.message
    result = ExecutePromptGoal(nodes.client, Prompt(text="Look at {a}.", assets=[front])).wait(30)
    assert result.error_code == ExecutePrompt.Result.PROMPT_REFUSED
    assert "NO_IMAGES: image {a}, no top view" in result.error_msg


def test_objects_are_found_for_those_who_ask(nodes):
    nodes.sends(PolicyInputs.IMAGES)
    calls = {
        "scene": (GetScene, "get_scene", GetScene.Request()),
        "asset": (
            CaptureAsset,
            "capture_asset",
            CaptureAsset.Request(name="table", kind=PromptAsset.KIND_SCENE),
        ),
    }
    answers = {}
    for name, (kind, service, request) in calls.items():
        future = nodes.client.wait_for_service(kind, service).call_async(request)

        def answered(future=future):
            nodes.cameras.show(*PAIR)
            return future.done()

        nodes.client.wait_until(answered, service)
        answers[name] = future.result()
        assert answers[name].success, answers[name].message
    scene = answers["scene"].observation
    assert (len(scene.front.objects), len(scene.images.front)) == (2, 0)
    assert answers["asset"].asset.front_count == 2
    accepted = nodes.set_prompt(None, text="Make it as in {table}.", check_only=True)
    assert accepted.success, accepted.message
    debug = nodes.client.subscribe(Image, "debug/front", qos.SENSOR_DATA)

    def drawn():
        nodes.cameras.show(*PAIR)
        return debug.count > 0

    nodes.client.wait_until(drawn, "debug/front")
    assert len(nodes.cameras.observation_of(*PAIR).front.objects) == 0
    debug.close()


@pytest.mark.slow
def test_a_second_policy_declares_nothing(nodes):
    before = nodes.declared.count
    write_policy(nodes.checkpoint, "vima")
    beats = nodes.client.subscribe(Heartbeat, "heartbeat", qos.RELIABLE)
    first = beats.wait(lambda m: m.node.endswith("/policy"), 15, "heartbeat").instance_id
    with NodeProcesses(nodes.checkpoint.parent / "second", params_file="example") as others:
        others.start(["policy"], {"checkpoint": str(nodes.checkpoint)})
        beats.wait(
            lambda m: m.node.endswith("/policy") and m.instance_id != first, 60, "the second"
        )
        nodes.client.wait_until(
            lambda: "only one of them can be configured" in others.log("policy"),
            "its warning",
            60,
        )
    assert nodes.declared.count == before
    nodes.sends(PolicyInputs.IMAGES)


def test_after_a_change_of_the_policy_the_other_form_is_sent_and_old_prompts_are_refused(nodes):
    both = asset_of(front=PAIR[0], top=PAIR[1])
    assert nodes.set_prompt(both, hold=True).success
    before = nodes.episodes.count
    nodes.use("vima")
    seen = nodes.cameras.observation_of(*PAIR)
    assert (len(seen.front.objects), len(seen.images.front)) == (2, 0)
    assert "whole" in nodes.refused(EpisodeStatus.UNREADABLE_PROMPT, before).message
    assert nodes.set_prompt(asset_of(front=PAIR[0])).success, "for objects, one view is enough"
    before = nodes.episodes.count
    nodes.use("gpt")
    assert "{a}" in nodes.refused(EpisodeStatus.NO_IMAGES, before).message


def test_a_policy_that_is_sent_the_other_form_says_so_and_is_served_when_activated_again(nodes):
    nodes.sends(PolicyInputs.IMAGES)
    assert nodes.set_prompt(asset_of(front=PAIR[0], top=PAIR[1]), hold=True).success
    other = nodes.client.create_publisher(PolicyInputs, "policy_inputs", qos.LATCHED)
    declaration = PolicyInputs(
        prompt=[PolicyInputs.WORDS, PolicyInputs.OBJECT, PolicyInputs.SCENE],
        observation=PolicyInputs.OBJECTS,
        action=PolicyInputs.POSE_PAIR,
        max_prompt_tokens=256,
    )
    other.publish(declaration)
    nodes.sends(PolicyInputs.OBJECTS)
    step = nodes.client.wait_for_service(StepPolicy, "step").call_async(StepPolicy.Request())

    def ended():
        nodes.cameras.show(*PAIR)
        return step.done()

    nodes.client.wait_until(ended, "the end of the step")
    assert step.result().code == EpisodeStatus.NO_OBSERVATION
    assert "reports objects, and this policy reads images" in step.result().message
    bring_up(nodes.client, "policy", AGAIN)
    nodes.sends(PolicyInputs.IMAGES)
