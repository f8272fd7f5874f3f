from collections import Counter

import numpy as np
from helpers import shared
from identity import identities

from vima_ros.arm.primitives import MotionParameters, plan_waypoints
from vima_ros.geometry import Workspace
from vima_ros.sim.episode_runner import EpisodeRunner
from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import find_task
from vima_ros.specs import VIEWS
from vima_ros.training.data.vima_bench import read_bench_episode


def share(counts, kind):
    return counts[f"{kind}_right"] / counts[kind]


def test_identities_in_recorded_episodes_one_picture_a_step():
    counts, rng = Counter(), np.random.default_rng(0)
    for task in sorted(path for path in shared("bench/episodes").iterdir() if path.is_dir()):
        for path in sorted(task.glob("*.npz"))[:2]:
            pictures = read_bench_episode(path).images
            counts += identities(pictures.rgb, pictures.masks, rng)
    assert counts["still"] > 200
    assert counts["moved"] > 100
    assert share(counts, "still") >= 0.999
    assert share(counts, "moved") >= 0.95
    assert share(counts, "pairs") >= 0.99


def watched(task, seed):
    """Pictures and masks of an action, ten a second, the tool in the way."""
    found = find_task(task)
    episode = found.sample(seed, None)
    motion, rgb, masks = MotionParameters(), [], []
    with EpisodeRunner(episode) as run, Tabletop(episode.scene, show_tool=True) as table:

        def watch():
            rgb.append(np.stack([table.render(view) for view in VIEWS]))
            masks.append(np.stack([table.render_mask(view) for view in VIEWS]))

        poses = found.oracle(episode).act(run.world_state())
        table.advance(0.3)
        watch()
        table.execute(plan_waypoints(run.primitive, *poses, Workspace(), motion), watch)
    return np.stack(rgb), np.stack(masks)


def test_identities_while_the_arm_moves_objects():
    counts = identities(*watched("visual_manipulation", 0), np.random.default_rng(0))
    assert counts["still"] > 200
    assert counts["moved"] > 20
    assert share(counts, "still") >= 0.99
    assert share(counts, "moved") >= 0.97
    assert share(counts, "pairs") >= 0.99
