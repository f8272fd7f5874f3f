"""Server of the user's own installation of VIMA-Bench, run by that installation's Python.

``VIMA_BENCH_PYTHON server.py READ WRITE``: answers requests from the file descriptor READ on
WRITE until READ ends. It imports numpy and vima_bench, nothing of vima_ros, and runs with Python
3.9 or later. A message is its length (8 bytes, big-endian) and an .npz without pickles: arrays by
name, and the other fields as JSON.

request  fields                          fields and arrays of the answer
load     task, level, seed               prompt, assets [name, kind, ids], ids, end_effector,
                                         step_limit; image arrays: rgb_VIEW (3, 128, 256),
                                         segm_VIEW (128, 256), asset_N_rgb_VIEW, asset_N_segm_VIEW
step     action {part: [numbers]}        success, failure, timed_out, picked (null: no suction);
                                         rgb_VIEW, segm_VIEW

``ids``: numbers in a segm array of the objects, in order. A failed request has the field error.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import traceback
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np

VIEWS = ("front", "top")
BONUS_STEPS = 2  # beyond oracle_max_steps, as in VIMA's script scripts/example.py
MAX_RESETS = 10  # with the next seed each time, as there


def send(file: BinaryIO, fields: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a message. Raises OSError where nobody reads."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(fields).encode(), np.uint8)
    np.savez(buffer, json=text, **arrays)  # type: ignore[arg-type]
    file.write(len(buffer.getvalue()).to_bytes(8, "big") + buffer.getvalue())
    file.flush()


def receive(file: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a message. Raises EOFError at the end of the file."""
    head = file.read(8)
    data = file.read(int.from_bytes(head, "big")) if len(head) == 8 else b""
    if not data or len(data) < int.from_bytes(head, "big"):
        raise EOFError("the other side has ended")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("json").tobytes()), arrays


class _Primitive:
    """Motion primitive of a task that keeps whether its last motion timed out, and has picked."""

    def __init__(self, primitive: Any) -> None:
        self._primitive, self.timed_out = primitive, False
        self.picked: bool | None = None

    def __call__(self, *args: Any) -> Any:
        result = self._primitive(*args)
        suction = isinstance(result, tuple)  # (timed out, has picked)
        self.timed_out = bool(result[0] if suction else result)
        self.picked = bool(result[1]) if suction else None
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._primitive, name)


class Server:
    """One environment at a time, a new one for each episode: some keep limits of the last."""

    def __init__(self) -> None:
        import vima_bench  # type: ignore[import-not-found]

        self._bench: Any = vima_bench
        self._env: Any = None

    def load(self, task: str, level: str, seed: int) -> tuple[dict, dict]:
        """Begin the episode of a task, level and seed."""
        if self._env is not None:
            self._env.close()
        specs = self._bench.PARTITION_TO_SPECS
        specs = specs["train"] if level == "train" else specs["test"][level]
        self._env = env = self._bench.make(
            task,
            modalities=["rgb", "segm"],
            task_kwargs=specs[task] or {},
            seed=seed,
            hide_arm_rgb=True,
        )
        limit = int(env.task.oracle_max_steps) + BONUS_STEPS  # some tasks change it in a reset
        observation = self._reset(seed)
        # The limit of a joint move, 5 s, then counts this thread's processor time: whatever else
        # the machine does changes no outcome.
        sys.modules[type(env).__module__].time = SimpleNamespace(  # type: ignore[attr-defined]
            time=time.thread_time
        )
        self._primitive = env.task.primitive = _Primitive(env.task.primitive)
        arrays, assets = _images("", observation), []
        for number, (name, asset) in enumerate(env.prompt_assets.items()):
            infos = asset["segm"]["obj_info"]
            shown = [int(i["obj_id"]) for i in (infos if isinstance(infos, list) else [infos])]
            assets.append([name, str(asset["placeholder_type"]), shown])
            arrays.update(_images(f"asset_{number}_", asset))
        fields = {
            "prompt": env.prompt,
            "assets": assets,
            "ids": [int(key) for key in env.meta_info["obj_id_to_info"]],
            "end_effector": env.meta_info["end_effector_type"],
            "step_limit": limit,
        }
        return fields, arrays

    def _reset(self, seed: int) -> Any:
        for number in range(MAX_RESETS):
            try:
                self._env.seed(seed + number)
                return self._env.reset()
            except ValueError:  # no place for an object was found
                if number == MAX_RESETS - 1:
                    raise
        raise AssertionError

    def step(self, action: dict[str, list[float]]) -> tuple[dict, dict]:
        """Execute an action."""
        parts = {name: np.asarray(numbers, np.float32) for name, numbers in action.items()}
        observation, _, _, info = self._env.step(parts, skip_oracle=True)
        fields = {
            "success": bool(info["success"]),
            "failure": bool(info["failure"]),
            "timed_out": self._primitive.timed_out,
            "picked": self._primitive.picked,
        }
        return fields, _images("", observation)


def _images(prefix: str, images: Any) -> dict[str, np.ndarray]:
    kinds = ("rgb", "segm")
    return {f"{prefix}{k}_{v}": np.asarray(images[k][v], np.uint8) for k in kinds for v in VIEWS}


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more; the first answer reports the import."""
    server = None
    try:
        server = Server()
        send(answers, {}, {})
        while True:
            fields, _ = receive(requests)
            try:
                answer = getattr(server, fields.pop("request"))(**fields)
            except Exception as error:
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}, {}
            send(answers, *answer)
    except ImportError as error:
        send(answers, {"error": f"{type(error).__name__}: {error}"}, {})
    except EOFError:
        pass


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file, whose modules are none of the installation
    with os.fdopen(int(sys.argv[1]), "rb") as source, os.fdopen(int(sys.argv[2]), "wb") as target:
        serve(source, target)
