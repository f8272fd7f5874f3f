"""Ways to run the gymnasium environment in other processes; started as a program, for tests.

    python test/vector_environments.py WAY

Each way ends by printing "done", or raises. ``WORKING`` must print it; ``REFUSED`` must end with
VimaError (FORKED) because this process has rendered before; ``ENDING`` end this process abruptly.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = "vima_ros/Tabletop-v0"
TASK = {"task": "rotate"}
END_TIMEOUT = 60.0  # for a way and its processes to end, which takes some seconds [s]


def outcome(way: str) -> tuple[int, str]:
    """Exit code and output of a way, once all its processes have ended.

    Raises TimeoutError, and ends them, where one has not within ``END_TIMEOUT``.
    """
    source = str(Path(__file__).parents[1] / "src")
    with subprocess.Popen(
        [sys.executable, __file__, way],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:  # all hold the other end of the pipe: it closes with the last of them
            output, _ = process.communicate(timeout=END_TIMEOUT)
        except subprocess.TimeoutExpired:
            lives = process.poll() is None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise TimeoutError(
                f"{'it hangs' if lives else 'its children live on'}: {output}"
            ) from None
    return process.returncode, output


def make():
    import gymnasium

    import vima_ros.sim.gym_env  # noqa: F401 (registers it)

    return gymnasium.make(ENVIRONMENT, **TASK)


def make_vec(images="rgb", **vector_kwargs):
    import gymnasium

    import vima_ros.sim.gym_env  # noqa: F401 (registers it)

    return gymnasium.make_vec(
        ENVIRONMENT,
        2,
        vectorization_mode="async",
        vector_kwargs=vector_kwargs,
        images=images,
        **TASK,
    )


def use(close=True):
    environment = make()
    environment.reset(seed=1)
    if close:
        environment.close()
    return environment


def run(environments):
    environments.reset(seed=5)
    for _ in range(2):
        environments.step(environments.action_space.sample())
    environments.close()


def reset(seed=0):
    return make().reset(seed=seed)[1]["prompt"]


class Episodes:
    """A data set of PyTorch."""

    def __len__(self):
        return 2

    def __getitem__(self, seed):
        return reset(seed)


def async_without_rendering_before():
    run(make_vec(context="fork"))


def spawn_after_plain():
    use()
    run(make_vec(context="spawn"))


def forkserver_beside_open_one():
    environment = use(close=False)
    run(make_vec(context="forkserver"))
    environment.step(environment.action_space.sample())


def fork_after_plain_without_pictures():
    use()
    run(make_vec(images="none", context="fork"))


def async_after_plain():
    use()
    run(make_vec(context="fork"))


def async_beside_open_one():
    environment = use(close=False)
    run(make_vec(context="fork"))
    environment.close()


def lambda_after_plain():
    import gymnasium

    use()
    run(gymnasium.vector.AsyncVectorEnv([lambda: make()] * 2, context="fork"))


def async_after_a_renderer_of_others():
    os.environ["MUJOCO_GL"] = "egl"
    import mujoco

    model = mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>")
    with mujoco.Renderer(model, 32, 32) as renderer:
        renderer.update_scene(mujoco.MjData(model))
        renderer.render()
    run(make_vec(context="fork"))


def pool_after_plain():
    use()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(reset, range(2))


def data_loader_after_plain():
    from torch.utils.data import DataLoader

    use()
    list(DataLoader(Episodes(), num_workers=1, multiprocessing_context="fork"))


def open_one_in_a_child():
    environment = use(close=False)
    action = environment.action_space.sample()
    with multiprocessing.get_context("fork").Pool(
        1, initializer=_inherit, initargs=(environment,)
    ) as pool:
        pool.apply(_step, (action,))


def _inherit(environment):
    global _inherited
    _inherited = environment


def _step(action):
    try:
        _inherited.step(action)
    finally:
        _inherited.close()


def exception_without_close():
    environments = make_vec(context="spawn")
    environments.reset(seed=1)
    raise ZeroDivisionError


def killed_with_spawned():
    _killed("spawn")


def killed_with_forked():
    _killed("fork")


def _killed(context):
    environments = make_vec(context=context)
    environments.reset(seed=1)
    environments.step_async(environments.action_space.sample())
    os.kill(os.getpid(), signal.SIGKILL)


WORKING = (
    async_without_rendering_before,
    spawn_after_plain,
    forkserver_beside_open_one,
    fork_after_plain_without_pictures,
)
REFUSED = (
    async_after_plain,
    async_beside_open_one,
    lambda_after_plain,
    async_after_a_renderer_of_others,
    pool_after_plain,
    data_loader_after_plain,
    open_one_in_a_child,
)
ENDING = (exception_without_close, killed_with_spawned, killed_with_forked)
WAYS = {way.__name__: way for way in (*WORKING, *REFUSED, *ENDING)}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
    print("done")
