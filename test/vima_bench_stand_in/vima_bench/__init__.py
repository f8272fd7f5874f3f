"""STAND-IN, for tests alone, of the Python interface of the public package vima_bench.

A block and a bowl as squares on a table, and no physics. Seeds choose what goes wrong:
13 ends the process in a step, 14 finds no room in its first reset, 15 raises in a step, 16 exceeds
the time of a motion, 17 cannot be reset.
"""

import os
import signal
import time

import numpy as np

SPECS = {"visual_manipulation": None, "sweep_without_exceeding": {}}
PARTITION_TO_SPECS = {"train": SPECS, "test": {"placement_generalization": SPECS}}
print("[INFO] tasks loaded")  # as the package does: nothing may read its output


class _Suction:
    """Primitive of pick and place."""

    height = 0.32

    def __init__(self, env):
        self.env = env

    def __call__(self, pose0, pose1):
        picked = np.linalg.norm(pose0[0] - self.env.block) < 0.05
        if picked:
            self.env.block = pose1[0]
        return self.env.started_at == 16, bool(picked)


class _Push(_Suction):
    def __call__(self, pose0, pose1):
        self.env.block = pose1[0]
        return False


class _Task:
    def __init__(self, env, name):
        self.oracle_max_steps = 3
        self.primitive = (_Push if name.startswith("sweep") else _Suction)(env)


class _Env:
    def __init__(self, task_name, seed):
        self.sweeps, self.resets = task_name.startswith("sweep"), 0
        self.task = _Task(self, task_name)
        self.started_at = seed
        self.seed(seed)

    def seed(self, seed):
        self.current = seed

    def reset(self):
        self.resets += 1
        if self.current == 17 or (self.current == 14 and self.resets == 1):
            raise ValueError("no room")
        if self.started_at == 17:
            raise ValueError("no room either")
        self.task.oracle_max_steps = 1  # as follow_motion: the limit is that of before
        self.block, self.bowl = np.array([0.4, -0.2]), np.array([0.6, 0.2])
        self.prompt = f"Put the {{dragged_obj}} into the {{base_obj}} of {self.current}."
        shown = {"obj_id": 0, "obj_name": "block", "obj_color": "red"}
        image = self._images({0: (np.array([0.5, 0.0]), 12)}, 255, 255)
        scene = self._images({2: (self.block, 10), 3: (self.bowl, 20)}, 60, 1)
        scene["segm"]["obj_info"] = [{**shown, "obj_id": 3}, {**shown, "obj_id": 2}]
        image["segm"]["obj_info"] = shown
        self.prompt_assets = {
            "dragged_obj": {**image, "placeholder_type": "object"},
            "base_obj": {**scene, "placeholder_type": "scene"},
        }
        effector = "spatula" if self.sweeps else "suction"
        infos = {6: {"obj_name": "bowl"}, 5: {"obj_name": "block"}}
        self.meta_info = {"end_effector_type": effector, "obj_id_to_info": infos}
        return self._observation()

    def step(self, action, skip_oracle):
        assert skip_oracle
        assert all(part.dtype == np.float32 for part in action.values())
        if self.current == 13:
            print("it breaks", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.current == 15:
            raise RuntimeError("a wheel came off")
        time.time()
        pose0, pose1 = (
            (action[f"{pose}_position"], action[f"{pose}_rotation"]) for pose in ("pose0", "pose1")
        )
        self.task.primitive(pose0, pose1)
        success = bool(np.linalg.norm(self.block - self.bowl) < 0.1)
        failure = bool(np.linalg.norm(self.block - self.bowl) > 0.7)
        return (
            self._observation(),
            0.0,
            success or failure,
            {"success": success, "failure": failure},
        )

    def close(self):
        self.block = None

    def _observation(self):
        return {**self._images({5: (self.block, 10), 6: (self.bowl, 20)}, 60, 1), "ee": 0}

    @staticmethod
    def _images(objects, background, ground):
        rgb = np.full((3, 128, 256), background, np.uint8)
        segm = np.full((128, 256), ground, np.uint8)
        for number, (place, size) in objects.items():
            row, column = int(63 + 251 * (place[0] - 0.5)), int(128 + 251 * place[1])
            area = (
                slice(max(row - size, 0), row + size),
                slice(max(column - size, 0), column + size),
            )
            rgb[(slice(None), *area)] = np.array([200, 20 * number, 30])[:, None, None]
            segm[area] = number
        return {
            "rgb": {"front": rgb, "top": rgb.copy()},
            "segm": {"front": segm, "top": segm.copy()},
        }


def make(task_name, *, modalities, task_kwargs, seed, hide_arm_rgb):
    """Make an environment."""
    assert (modalities, task_kwargs, hide_arm_rgb) == (["rgb", "segm"], {}, True)
    return _Env(task_name, seed)
