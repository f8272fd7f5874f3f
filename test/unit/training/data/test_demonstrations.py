"""What is recorded is what is read, in every content and from VIMA-Bench's recordings."""

import json
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from helpers import EPISODES, data

from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.crops import extract_objects
from vima_ros.perception.detectors.instances import Instances
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.sim.episode_runner import EpisodeRunner
from vima_ros.sim.recording import RecordedEpisode, record
from vima_ros.sim.tasks import TASKS, find_task
from vima_ros.sim.tasks.base import TaskOutcome
from vima_ros.specs import VIEWS, EndEffector, Primitive, ViewObjects
from vima_ros.training.data.demonstration import demonstration_of, first_observation, shuffled
from vima_ros.training.data.readers import (
    demonstration_files,
    read_demonstrations,
    read_recordings,
)
from vima_ros.training.data.serialization import (
    pack_demonstration,
    pack_recording,
    unpack_demonstration,
    unpack_recording,
)
from vima_ros.training.data.shards import write_shard
from vima_ros.training.data.vima_bench import read_bench_episode

SOME = ("visual_manipulation", "follow_order", "sweep_without_exceeding")


@lru_cache
def recorded(task, seed=0):
    recording = record(task, None, seed)
    assert isinstance(recording, RecordedEpisode), recording
    return recording


def assert_same_views(one, other):
    for a, b in zip(one.fields, other.fields, strict=True):
        np.testing.assert_array_equal(a, b)


def assert_same_demonstration(one, other):
    for name in ("task", "level", "seed", "text", "step_limit", "objects"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("unrounded", "object_poses"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert list(one.images) == list(other.images)
    for a, b in zip(one.images.values(), other.images.values(), strict=True):
        assert (a.name, a.kind) == (b.name, b.kind)
        assert_same_views(a.front, b.front)
        assert_same_views(a.top, b.top)
    for a, b in zip(one.observations, other.observations, strict=True):
        assert (a.end_effector, a.slots) == (b.end_effector, b.slots)
        assert_same_views(a.front, b.front)
        assert_same_views(a.top, b.top)
    for a, b in zip(one.actions, other.actions, strict=True):
        assert a.primitive == b.primitive
        np.testing.assert_array_equal(a.bins, b.bins)


def write(path, content, recordings):
    pack = pack_demonstration if content == "crops" else pack_recording
    packed = [pack(demonstration_of(r) if content == "crops" else r) for r in recordings]
    header = {"content": content, "episodes": [facts for facts, _ in packed]}
    write_shard(path, header, [arrays for _, arrays in packed])


@pytest.mark.slow
@pytest.mark.parametrize("content", ["crops", "masks"])
def test_written_and_read_are_the_same_values(tmp_path, content):
    recordings = [recorded(task) for task in SOME]
    for recording in recordings:  # of one shard: the same arrays, other lengths
        write(tmp_path / recording.task / "1.npz", content, [recording, recorded(SOME[0], 1)])
    got = list(read_demonstrations(tmp_path))
    assert len(got) == 2 * len(SOME)
    for recording in (*recordings, recorded(SOME[0], 1)):
        same = [g for g in got if (g.task, g.seed) == (recording.task, recording.seed)]
        for demonstration in same:
            assert_same_demonstration(demonstration, demonstration_of(recording))


def test_masks_and_frames_are_kept(tmp_path):
    recording = recorded("follow_order")
    frames = replace(recording, images=replace(recording.images, masks=None))
    frames = replace(
        frames,
        assets=tuple(replace(a, images=replace(a.images, masks=None)) for a in frames.assets),
    )
    for content, value in (("masks", recording), ("frames", frames)):
        facts, arrays = pack_recording(value)
        back = unpack_recording(facts, arrays)
        np.testing.assert_array_equal(back.images.rgb, recording.images.rgb)
        assert (back.images.masks is None) == (content == "frames")
        for a, b in zip(back.assets, recording.assets, strict=True):
            assert (a.name, a.kind, a.count) == (b.name, b.kind, b.count)
            np.testing.assert_array_equal(a.images.rgb, b.images.rgb)
    write(tmp_path / "frames.npz", "frames", [frames])
    assert len(list(read_recordings(tmp_path))) == 1
    with pytest.raises(VimaError) as error:
        list(read_demonstrations(tmp_path))
    assert error.value.code == "NO_MASK"


def test_files_carry_the_workspace_and_without_one_are_of_vima_benchs():
    workspace = Workspace((0.4, -0.2), (0.9, 0.8))
    recording = record("rotate", None, 1, workspace=workspace)
    for pack, unpack, value in (
        (pack_recording, unpack_recording, recording),
        (pack_demonstration, unpack_demonstration, demonstration_of(recording)),
    ):
        facts, arrays = pack(value)
        facts = json.loads(json.dumps(facts))
        assert unpack(facts, arrays).workspace == workspace
        del facts["workspace"]
        assert unpack(facts, arrays).workspace == Workspace()


@pytest.mark.parametrize("task", SOME)
def test_the_written_actions_repeat_the_episode(task):
    recording = recorded(task)
    facts, arrays = pack_demonstration(demonstration_of(recording))
    demonstration = unpack_demonstration(facts, arrays)
    with EpisodeRunner(find_task(task).sample(recording.seed)) as run:
        for action, poses in zip(
            demonstration.actions, demonstration.object_poses[1:], strict=True
        ):
            verdict = run.step(*action.poses(Workspace()))
            np.testing.assert_array_equal(poses, run.object_poses().astype(np.float32))
    assert verdict.outcome == TaskOutcome.SUCCESS


@pytest.mark.parametrize("task", SOME)
def test_a_demonstration_is_what_the_policy_would_see(task):
    recording = recorded(task)
    demonstration = demonstration_of(recording)
    count = len(recording.objects)
    spatula = find_task(task).end_effector == EndEffector.SPATULA
    assert len(demonstration.observations) == len(demonstration.actions) + 1
    for timestep, observation in enumerate(demonstration.observations):
        assert observation.slots == (count, count)
        assert observation.end_effector == (EndEffector.SPATULA if spatula else 0)
        for index, view in enumerate(VIEWS):
            mask = recording.images.masks[timestep, index]
            instances = Instances(mask, np.arange(1, count + 1), np.ones(count))
            expected = extract_objects(recording.images.rgb[timestep, index], instances)
            assert_same_views(getattr(observation, view), expected)
            assert len(expected) > 0
    assert {a.primitive for a in demonstration.actions} == {
        Primitive.SWEEP if spatula else Primitive.PICK_PLACE
    }
    prompt = demonstration.prompt(PromptTokenizer().encode)
    assert [image.name for image in prompt.images] == list(demonstration.images)
    assert prompt.text == find_task(task).sample(0).prompt


def test_the_first_observation_has_outlines_where_the_recording_has_masks():
    demonstration = demonstration_of(recorded("visual_manipulation"))
    got, first = first_observation(demonstration), demonstration.observations[0]
    assert (got.slots, got.end_effector) == (first.slots, first.end_effector)
    for view in VIEWS:
        before, after = getattr(first, view), getattr(got, view)
        assert not before.has_outlines
        assert after.outlines[:, 0, 2].all()
        for a, b in zip(before.fields[:4], after.fields[:4], strict=True):
            np.testing.assert_array_equal(a, b)
    without = replace(demonstration, recording=None)
    assert first_observation(without) is first


def test_shuffled_views_have_the_same_objects_in_any_order():
    demonstration = demonstration_of(recorded("follow_order"))
    orders = set()
    for seed in range(10):
        other = shuffled(demonstration, np.random.default_rng(seed))
        for a, b in zip(
            (*demonstration.observations, *demonstration.images.values()),
            (*other.observations, *other.images.values()),
            strict=True,
        ):
            for view in VIEWS:
                before, after = getattr(a, view), getattr(b, view)
                place = [before.track_ids.tolist().index(i) for i in after.track_ids]
                assert_same_views(ViewObjects(*(v[place] for v in before.fields)), after)
        orders |= {tuple(o.top.track_ids) for o in other.observations}
        assert [o.slots for o in other.observations] == [
            o.slots for o in demonstration.observations
        ]
    assert len(orders) > 10


def test_bins_are_those_of_the_unrounded_actions():
    for task in SOME:
        recording = recorded(task)
        assert_half_a_bin_apart(demonstration_of(recording))


def assert_half_a_bin_apart(demonstration):
    """At most a bin: they are rounded (docs/vima_architecture.md, "Action discretization")."""
    bins = np.array([0.5 / 50, 1.0 / 100, *[2 / 50] * 4] * 2)  # [m], quaternion
    for action, numbers in zip(demonstration.actions, demonstration.unrounded, strict=True):
        poses = action.poses(Workspace())
        rounded = np.concatenate([[*p.position[:2], *p.quaternion] for p in poses])
        assert (abs(rounded - numbers) <= bins * 1.01).all()


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(VimaError) as error:
        demonstration_files(tmp_path)
    assert error.value.code == "NO_DEMONSTRATIONS"
    path = tmp_path / "1.npz"
    write(path, "crops", [recorded(SOME[0])])
    with pytest.raises(VimaError) as error:
        list(read_recordings(path))
    assert error.value.code == "NO_IMAGES"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole[:3000] + bytes(200) + whole[3200:]):
        path.write_bytes(broken)
        with pytest.raises(VimaError) as error:
            list(read_demonstrations(path))
        assert error.value.code == "BAD_DEMONSTRATIONS"
    path.write_bytes(whole)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(VimaError) as error:
        list(read_demonstrations(path))
    assert error.value.code == "BAD_DEMONSTRATIONS"


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_recorded_bench_episodes_are_read(task):
    (path,) = data(f"bench/episodes/{task}").glob("*.npz")
    (demonstration,) = read_demonstrations(path)
    recording = read_bench_episode(path)
    spatula = find_task(task).end_effector == EndEffector.SPATULA
    assert demonstration.task == task
    assert demonstration.step_limit == find_task(task).step_limit
    assert 1 <= len(demonstration.actions) == len(demonstration.observations) - 1
    assert demonstration.observations[0].end_effector == (1 if spatula else 0)
    count = len(demonstration.objects)
    assert demonstration.observations[0].slots == (count, count)
    assert_half_a_bin_apart(demonstration)
    demonstration.prompt(PromptTokenizer().encode)
    for asset, image in zip(recording.assets, demonstration.images.values(), strict=True):
        assert 1 <= max(len(image.front), len(image.top)) <= asset.count
        assert set(image.top.track_ids) <= set(range(1, asset.count + 1))


@pytest.mark.slow
@pytest.mark.parametrize("folder", EPISODES)
def test_recorded_ids_belong_to_the_recorded_poses(folder):
    """At the start, the top view shows every block that stands alone where it is said to be."""
    checked, paths = 0, sorted(folder.rglob("*.npz"))
    for path in paths:
        recording = read_bench_episode(path)
        top = recording.images.masks[0, VIEWS.index("top")]
        poses = recording.object_poses[0]
        for place, (name, pose) in enumerate(zip(recording.objects, poses, strict=True), start=1):
            alone = np.sum(np.linalg.norm(poses[:, :2] - pose[:2], axis=1) < 0.04) == 1
            if alone and " block " in name and "L-shaped" not in name:
                row = math.floor(63.5 + 251.0 * (pose[0] - 0.5))  # FACTS section 3
                column = math.floor(128.5 + 251.0 * pose[1])
                assert top[row, column] == place
                checked += 1
    assert checked > 0.3 * len(paths)


def test_packing_reads_back_recorded_episodes_too():
    (path,) = data("bench/episodes/rearrange").glob("*.npz")
    demonstration = demonstration_of(read_bench_episode(path))
    assert_same_demonstration(
        unpack_demonstration(*pack_demonstration(demonstration)), demonstration
    )
