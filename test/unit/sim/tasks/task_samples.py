"""Sampled episodes for tests."""

from vima_ros.sim.tasks import TASKS

SEEDS = range(12)


def samples(name, level=None, seeds=SEEDS):
    return [TASKS[name].sample(seed, level) for seed in seeds]


def prompt_objects(episode):
    return [item for asset in episode.assets.values() for item in asset.scene.objects]


def colour(texture):
    return texture.removeprefix("dark_")
