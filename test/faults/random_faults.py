"""Many faults at random into one running suite, and an account of what became of them.

    ./vima exec python test/faults/random_faults.py --faults 1000 --seed 1

prints a table; exit code 1 if motion left that never may, or if an episode had no clear end.
"""

import argparse
import collections
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from harness import FaultySuite, violations
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import EpisodeStatus, PolicyAction, Prompt
from vima_msgs.srv import StepPolicy
from vima_ros.client.execute_prompt import ExecutePromptGoal
from vima_ros.errors import NodeDiedError, VimaError
from vima_ros.nodes.common.ros_domain import isolate_ros_domain

CAMERAS = ("frozen", "dark", "one dead", "out of step", "an hour behind", "an hour ahead")
CAMERAS += ("truncated", "swapped")
ROBOT = ("lies", "silent", "nowhere", "deaf")
VICTIMS = ("policy", "arm", "perception", "prompt", "manager")
NAMES = {v: k for k, v in vars(ExecutePrompt.Result).items() if k.isupper() and isinstance(v, int)}
TEXT = "Put the {all} aside."
MOST_STEPS = 5
LONGEST = 40.0  # an episode takes, faults and all [s]


class Chaos:
    """One episode after the other, each with some faults at random moments."""

    def __init__(self, suite, seed):
        self.suite, self.random = suite, random.Random(seed)
        self.counts = collections.Counter()
        self.ends, self.without_end = collections.Counter(), []
        self.wounded = set()
        suite.parameters["max_steps"] = MOST_STEPS  # of what is restarted
        steps = Parameter("max_steps", value=MOST_STEPS).to_parameter_msg()
        request = SetParameters.Request(parameters=[steps])
        suite.call(SetParameters, "policy/set_parameters", request)
        node = (
            suite.client.node
        )  # what these send is not waited for: who should answer may be dead
        names = ("stop", "resume", "reset_episode")
        self.callers = {name: node.create_client(Trigger, name) for name in names}
        self.stepper = node.create_client(StepPolicy, "step")
        self.rival = suite.client.create_action_client(ExecutePrompt, "execute_prompt")

    # --- the faults

    def cameras(self):
        kind = self.random.choice(CAMERAS)
        self.suite.relay.cameras = kind
        return f"cameras: {kind}"

    def robot(self):
        kind = self.random.choice(ROBOT)
        self.suite.relay.robot = kind
        return f"robot: {kind}"

    def recover(self):
        self.suite.relay.cameras = self.suite.relay.robot = ""
        return "all well again"

    def stop(self):
        self._call("stop")
        return "stop"

    def resume(self):
        self._call("resume")
        return "resume"

    def reset(self):
        self._call("reset_episode")
        return "reset_episode"

    def step(self):
        self.stepper.call_async(StepPolicy.Request())
        return "step while it runs"

    def prompt(self):
        self.suite.prompts.publish(Prompt(text=self.random.choice([TEXT, "{moon}", "", "{"])))
        return "another prompt"

    def flood(self):
        for _ in range(30):
            self.suite.prompts.publish(Prompt(text=TEXT))
        return "flood of prompts"

    def second_goal(self):
        self.rival.send_goal_async(ExecutePrompt.Goal(prompt=Prompt(text=TEXT), max_steps=1))
        return "second goal"

    def action(self):
        r, action = (
            self.random,
            PolicyAction(prompt_id="hostile", step=self.random.getrandbits(30)),
        )
        action.observation_stamp = self.suite.client.node.get_clock().now().to_msg()
        for pose in (action.pose0, action.pose1):
            pose.position.x = r.choice([0.5, 0.1, 9.0, float("nan"), float("inf")])
            pose.position.y = r.choice([0.0, 0.6, -9.0, float("nan")])
        if r.random() < 0.3:
            action.observation_stamp.sec += r.choice([-3600, 3600])
        self.suite.act.publish(action)
        return "hostile action"

    def kill(self):
        return self._wound(signal.SIGKILL, "killed")

    def hang(self):
        return self._wound(signal.SIGSTOP, "hangs")

    def _wound(self, number, word):
        victim = self.random.choice(VICTIMS)
        if self.wounded:
            return self.action()
        self.wounded.add(victim)
        self.suite.processes.signal(victim, number)
        return f"{victim} {word}"

    def _call(self, name):
        self.callers[name].call_async(Trigger.Request())

    # --- episodes

    def episode(self, count):
        """One episode with ``count`` faults."""
        suite, r = self.suite, self.random
        before = suite.episodes.count
        how = r.choice(["goal", "goal", "goal", "service"])
        goal, prompt_id = None, ""
        if how == "goal":
            goal = ExecutePromptGoal(suite.client, Prompt(text=TEXT), r.randint(1, 4))
        else:
            answer = suite.set_prompt()
            prompt_id = answer.prompt_id
            if not answer.success:  # a rival's goal outlived the episode before
                self.ends[answer.code] += 1
                self.mend()
                return
        cheap = [self.cameras, self.robot, self.recover, self.stop, self.resume, self.action]
        cheap += [self.action, self.prompt, self.second_goal, self.step, self.cameras, self.robot]
        for _ in range(count):
            fault = r.choice(cheap)
            if r.random() < 0.02:
                fault = r.choice([self.kill, self.hang])
            elif r.random() < 0.03:
                fault = r.choice([self.reset, self.flood])
            elif goal is not None and r.random() < 0.03:
                fault = self.cancel(goal)
            _pause(r.uniform(0.0, 0.25))
            self.counts[fault()] += 1
        if r.random() < 0.7:  # else what is broken stays so to the end
            self.recover()
            self.resume()
        self.end(goal, prompt_id, before)
        self.mend()

    def cancel(self, goal):
        def cancel():
            goal.cancel()
            return "cancel"

        return cancel

    def end(self, goal, prompt_id, before):
        """Wait for the end; note what it was, or that there was none."""
        try:
            if goal is not None:
                self.ends[NAMES[goal.wait(LONGEST).error_code]] += 1
                return
            status = self.suite.episodes.wait(
                lambda m: m.prompt_id == prompt_id and m.state >= EpisodeStatus.FINISHED,
                LONGEST,
                "end",
                before,
            )
            self.ends[status.code] += 1
        except VimaError as error:
            if "policy" in self.wounded:  # who would say it is dead; its clients notice
                self.ends["policy died" if isinstance(error, NodeDiedError) else "NODE_DIED"] += 1
            else:
                self.without_end.append(str(error)[:300])

    def mend(self):
        """Bring back what died, resume, make all well."""
        self.recover()
        for victim in self.wounded:
            self.suite.processes.kill(victim)
            self.suite.start(victim)
        if self.wounded:
            self.suite.wait_for_manager()
        self.wounded.clear()
        self.suite.heal()

    def run(self, faults, tell=lambda line: None):
        while sum(self.counts.values()) < faults:
            self.episode(self.random.randint(4, 12))
            tell(f"{sum(self.counts.values())} faults, {sum(self.ends.values())} episodes")

    def violations(self):
        return violations(self.suite.commands.messages, self.suite.states.messages)

    def table(self):
        motions = sum(bool(m.waypoints) for m in self.suite.commands.messages)
        lines = [f"{n:5}  {what}" for what, n in sorted(self.counts.items())]
        lines += ["", f"{sum(self.ends.values()):5}  episodes, of which ended by"]
        lines += [f"{n:5}    {code}" for code, n in sorted(self.ends.items())]
        lines += [
            "",
            f"{sum(self.counts.values()):5}  faults in all",
            f"{motions:5}  motions sent",
            f"{len(self.violations()):5}  motions outside the workspace or after a stop",
            f"{len(self.without_end):5}  episodes without a clear end",
        ]
        return "\n".join([*lines, *self.violations(), *self.without_end])


def _pause(seconds):
    """A random moment: what comes next is the fault, nothing is waited for."""
    threading.Event().wait(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    isolate_ros_domain()
    logs = Path(tempfile.mkdtemp(prefix="vima_faults_"))
    suite = FaultySuite(logs)
    try:
        suite.wait_until_up()
        chaos, began = Chaos(suite, options.seed), time.monotonic()
        chaos.run(options.faults, lambda line: print(line, flush=True))
        print(chaos.table())
        print(f"in {time.monotonic() - began:.0f} s; the nodes' logs: {logs}")
        sys.exit(bool(chaos.violations() or chaos.without_end))
    finally:
        suite.close()


if __name__ == "__main__":
    main()
