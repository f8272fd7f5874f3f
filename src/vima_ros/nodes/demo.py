"""`demo`: the whole suite at work on the simulated tabletop, told step by step.

Brings up every node as a process of its own, sends prompts with pictures, shows what was seen,
decided, let through and done, and leaves a picture of each step. The policy is untrained until
trained weights exist: its actions mean nothing. So that the arm is seen to work all the same, one
last action is chosen by hand.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from vima_msgs.msg import ArmCommand, ArmState, Observation, PolicyAction
from vima_msgs.srv import SetPrompt
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Workspace, quaternion_from_yaw
from vima_ros.nodes import conversions, qos
from vima_ros.nodes.client import Client
from vima_ros.nodes.environment import keep_to_ourselves
from vima_ros.nodes.film import Film
from vima_ros.nodes.picture import save_step
from vima_ros.nodes.processes import NodeProcesses
from vima_ros.nodes.shows import SHOWS, Show, make_prompt
from vima_ros.specs import VIEWS, Action, Primitive

NODES = ["tabletop", "perception", "prompt", "policy", "arm", "manager"]
STEPS = 2  # decisions a prompt
SPEED = 4.0  # simulated seconds a second
PICTURES = 10.0  # of the cameras, and frames of the film [Hz]
ENDED = (ArmState.SUCCEEDED, ArmState.REFUSED, ArmState.ABORTED, ArmState.STOPPED)


class Demo:
    """Talks to the running nodes, prints and draws what comes back."""

    def __init__(self, client: Client, out: Path, film: Film) -> None:
        self._client, self._out, self._number, self._film = client, out, 0, film
        self._observations = client.listen(Observation, "observation")
        self._actions = client.listen(PolicyAction, "action")
        self._commands = client.listen(ArmCommand, "arm_command")
        self._states = client.listen(ArmState, "arm_state")
        self._markers = client.listen(MarkerArray, "markers")
        self._frames = {v: client.listen(Image, f"{v}/image_raw", qos.CAMERA) for v in VIEWS}
        self._by_hand = client.publisher(PolicyAction, "action")

    def set_up(self, scene: str, seed: int = 0) -> None:
        """Let the tabletop show a scene."""
        before = self._states.count
        values = {"scene": scene, "seed": seed}
        request = SetParameters.Request()
        request.parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        result = self._client.call(SetParameters, "tabletop/set_parameters", request)
        for answer in result.results:
            if not answer.successful:
                raise VimaError("BAD_PARAMETER", answer.reason)
        text = f"scene {scene}, seed {seed}"
        self._states.wait(lambda m: m.message == text, 10, text, before)

    def show(self, show: Show, seed: int) -> None:
        """One prompt, and what becomes of it in STEPS steps."""
        self.set_up(show.scene)
        self._film.caption = f"{show.text} (untrained policy)"
        print(f"\nprompt: {show.text}", flush=True)
        before = self._actions.count
        request = SetPrompt.Request(prompt=make_prompt(show, seed))
        answer = self._client.call(SetPrompt, "set_prompt", request, 60)
        if not answer.success:
            raise VimaError(answer.code, answer.message)
        for step in range(STEPS):
            action = self._actions.wait(
                lambda m: m.prompt_id == answer.prompt_id, 30, "action", before + step
            )
            self.follow(action, show.text, "the untrained policy")

    def follow(self, action: PolicyAction, text: str, who: str) -> ArmState:
        """Print, and draw, what was seen for an action and what became of it."""
        stamp = action.observation_stamp
        seen = self._observations.wait(lambda m: m.header.stamp == stamp, 10, "observation")
        command_id = conversions.action_id(action)
        ended = self._states.wait(
            lambda m: m.judged and m.command_id == command_id and m.state in ENDED,
            60,
            "end of the motion",
        )
        sent = [m for m in self._commands.messages if m.command_id == command_id and m.waypoints]
        counts = " and ".join(f"{len(getattr(seen, v).objects)} in the {v} view" for v in VIEWS)
        gate = f"OK, {len(sent[0].waypoints)} waypoints" if sent else f"{ended.code}"
        done = {ArmState.SUCCEEDED: "carried out", ArmState.REFUSED: "did not move"}
        told = (done.get(ended.state, ended.code), ended.message)
        outcome = ". ".join(filter(None, dict.fromkeys(told)))  # either may say all there is
        lines = [
            f"objects: {counts}",
            f"action of {who}: {_describe(action)}",
            f"gate: {gate}    arm: {outcome}",
        ]
        print("  step {}: {}".format(action.step, "\n          ".join(lines)), flush=True)
        frames = {
            view: self._frames[view].wait(
                lambda m, view=view: m.header.stamp == getattr(seen, view).header.stamp, 5, view
            )
            for view in VIEWS
        }
        self._number += 1
        path = self._out / f"{self._number:02d}_step.png"
        save_step(path, text, lines, frames, seen, action)
        return ended

    def act_by_hand(self) -> None:
        """The block into the bowl by an action of ours, through gate and arm like any other."""
        self.set_up("put")
        text = "(no prompt) red_block into blue_bowl, chosen by hand"
        self._film.caption = text
        print(f"\n{text}", flush=True)
        block, bowl = self._where("red_block"), self._where("blue_bowl")
        seen = self._observations.wait(lambda m: True, 10, "observation", self._observations.count)
        level = quaternion_from_yaw(0.0)
        workspace = Workspace()
        chosen = Action.from_poses(Pose(block, level), Pose(bowl, level), workspace)
        action = PolicyAction(prompt_id="by_hand", bins=chosen.bins.astype("uint8"))
        pose0, pose1 = chosen.poses(workspace)
        action.pose0 = conversions.pose_to_message(pose0)
        action.pose1 = conversions.pose_to_message(pose1)
        action.header.frame_id, action.observation_stamp = "base_link", seen.header.stamp
        self._by_hand.publish(action)
        self.follow(action, text, "a hand")
        distance = math.dist(self._where("red_block")[:2], bowl[:2])
        print(f"          red_block is now {100 * distance:.1f} cm from the bowl's centre")
        if distance > 0.05:
            raise VimaError("NOT_PLACED", "the block is not in the bowl; valid: within 5 cm")

    def _where(self, name: str) -> Any:
        markers = self._markers.wait(
            lambda m: any(marker.ns == name for marker in m.markers), 10, name, self._markers.count
        )
        pose = next(marker.pose for marker in markers.markers if marker.ns == name)
        return conversions.pose_from_message(pose).position


def _describe(action: PolicyAction) -> str:
    places = " to ".join(
        f"({p.position.x:.2f}, {p.position.y:+.2f}) m" for p in (action.pose0, action.pose1)
    )
    return f"{Primitive(action.primitive).name.lower()} {places}"


def run(out: Path, seed: int) -> None:
    """Raises VimaError where something did not come or did not come up."""
    keep_to_ourselves()
    with NodeProcesses(out / "logs", robot="tabletop") as processes:
        print(f"starting {', '.join(NODES)} (logs in {out / 'logs'}) …", flush=True)
        processes.start(NODES, {"real_time_factor": SPEED, "max_steps": STEPS, "rate": PICTURES})
        with Client("demo") as client, Film(client, out / "demo.mp4", PICTURES) as film:
            demo = Demo(client, out, film)
            client.wait_for_active(NODES, check=processes.check_alive)
            print("all active. The policy is UNTRAINED: its actions mean nothing yet.")
            for show in SHOWS:
                demo.show(show, seed)
            demo.act_by_hand()
    print(f"\npictures of each step: {out}/*_step.png; the film: {out}/demo.mp4")


def main(args: list[str] | None = None) -> None:
    """``ros2 run vima_ros demo``."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=7, help="of the scene to rearrange to")
    options = parser.parse_args(remove_ros_args(args or sys.argv)[1:])
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        run(options.out, options.seed)
    except VimaError as error:
        print(f"demo: {error.code}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
