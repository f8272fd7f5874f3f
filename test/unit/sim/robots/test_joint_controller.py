"""The joint-level arm: as its URDF has it, following what it is told, and nothing else."""

import math

import numpy as np
import pytest
from helpers import ROOT

from vima_ros.arm.kinematics import UR5E_HOME
from vima_ros.arm.primitives import plan_waypoints
from vima_ros.errors import VimaError
from vima_ros.geometry import Pose, Transform, Workspace, quaternion_from_yaw
from vima_ros.sim.model.mujoco_backend import mujoco
from vima_ros.sim.model.robot_model import build_robot_model
from vima_ros.sim.model.scene_model import TIMESTEP
from vima_ros.sim.robots.base import Phase
from vima_ros.sim.scene import SCENES, Scene, SceneObject
from vima_ros.sim.tabletop import Tabletop
from vima_ros.specs import VIEWS, EndEffector, Primitive

UR5E = ROOT / "config" / "robots" / "ur5e.urdf"
TABLE = Transform((0.0, 0.0, -0.22))  # in base_link: the arm stands on a pedestal
HOME = np.array(UR5E_HOME)
NAMES = ["shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"]
BLOCK = Scene((SceneObject("block", "block", "red", (0.5, 0.2)),))
ABOVE, TOP = 0.1, 0.07  # of the block: where a descent starts, and its top [m]


@pytest.fixture
def tabletop():
    return Tabletop(BLOCK, robot=UR5E, table=TABLE)


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("pinocchio", reason="the joint-level arm needs pip install pin")
    from vima_ros.arm.kinematics import ArmModel

    return ArmModel.from_urdf(UR5E, table=TABLE)


def pose(x, y, yaw=0.0, z=0.0):
    return Pose(np.array([x, y, z]), quaternion_from_yaw(yaw))


def joint_addresses(tabletop, kind):
    """Indices of the arm's joints in MuJoCo's arrays."""
    return [getattr(tabletop.model.joint(f"robot/{name}_joint"), kind)[0] for name in NAMES]


def turned(joint, by):
    """Home, but for one joint."""
    return HOME + by * np.eye(6)[joint]


def move(robot, goal, seconds=1.0):
    """From rest to rest by one cubic."""
    robot.follow_trajectory([0.0, seconds], [robot.state.positions, goal], np.zeros((2, 6)))


def descend(tabletop, model, to=0.05):
    """Stand ABOVE the block, then begin to go down to a height below its top, 1 s long."""
    near = model.solve_ik(pose(0.5, 0.2, z=ABOVE), HOME)
    move(tabletop.joint_controller, near, 2.0)
    tabletop.advance(2.5)
    move(tabletop.joint_controller, model.solve_ik_local(pose(0.5, 0.2, z=to), near))


# --- as the URDF has it


def test_the_tip_is_where_the_kinematics_say(tabletop, model):
    random = np.random.default_rng(0)
    for joints in random.uniform(-3.0, 3.0, (50, 6)):
        tabletop.data.qpos[joint_addresses(tabletop, "qposadr")] = joints
        mujoco.mj_kinematics(tabletop.model, tabletop.data)
        want, got = model.tip_pose(joints), tabletop.joint_controller.pose
        assert got.position == pytest.approx(want.position, abs=1e-6)
        assert abs(got.quaternion @ want.quaternion) == pytest.approx(1.0, abs=1e-9)


def test_masses_and_limits_are_those_of_the_urdf(model):
    built = build_robot_model(Scene(()), UR5E, TABLE)
    assert [built.joint(i).name for i in range(6)] == [f"robot/{name}_joint" for name in NAMES]
    assert built.jnt_range == pytest.approx(np.stack([model.lower, model.upper], axis=1))
    effort = np.array([150.0] * 3 + [28.0] * 3)
    assert built.jnt_actfrcrange == pytest.approx(np.stack([-effort, effort], axis=1))
    moving = built.body_mass[built.body_weldid > 0].sum()
    assert moving == pytest.approx(3.761 + 8.058 + 2.846 + 1.37 + 1.3 + 0.365 + 0.2)


@pytest.mark.parametrize("change", ["nothing", "no tip", "not XML"])
def test_a_urdf_that_cannot_be_used_is_refused(tmp_path, change):
    text = UR5E.read_text()
    text = {"nothing": "", "no tip": text.replace("tool_tip", "tip"), "not XML": "<robot"}[change]
    (tmp_path / "arm.urdf").write_text(text)
    with pytest.raises(VimaError, match="valid") as caught:
        build_robot_model(Scene(()), tmp_path / "arm.urdf", TABLE)
    assert caught.value.code == "BAD_ROBOT"


def test_holding_against_gravity_costs_the_motors_torque(tabletop):
    move(tabletop.joint_controller, np.zeros(6), 3.0)  # stretched out
    tabletop.advance(3.5)
    # Masses of all links but the first, at about half the reach of 0.82 m.
    torque = tabletop.data.qfrc_actuator[joint_addresses(tabletop, "dofadr")]
    assert abs(torque[1]) == pytest.approx(14 * 9.8 * 0.41, rel=0.3)
    assert np.abs(tabletop.joint_controller.state.positions).max() < 1e-4


def test_it_may_pass_through_itself(tabletop):
    """What must not be, planning refuses; two models of touch would only disagree."""
    move(tabletop.joint_controller, turned(2, math.pi / 2), 2.0)
    tabletop.advance(2.5)
    assert tabletop.joint_controller.fault == ""
    assert tabletop.joint_controller.state.positions[2] == pytest.approx(math.pi, abs=1e-3)


def test_the_arm_is_only_in_the_overview_image():
    with (
        Tabletop(SCENES["put"]) as without,
        Tabletop(SCENES["put"], robot=UR5E, table=TABLE) as with_arm,
    ):
        for view in VIEWS:
            assert np.array_equal(without.render(view), with_arm.render(view))
            assert np.array_equal(without.render_mask(view), with_arm.render_mask(view))
        before = with_arm.render_overview(160, 120).astype(int)
        move(with_arm.joint_controller, turned(0, 1.0))
        with_arm.advance(1.1)
        moved = np.abs(with_arm.render_overview(160, 120) - before).max(axis=-1) > 30
        assert moved.mean() > 0.02
    with Tabletop(SCENES["put"], show_tool=True, robot=UR5E, table=TABLE) as shown:
        assert not np.array_equal(shown.render("top"), without.render("top"))
        without.close()


# --- following


@pytest.mark.slow
@pytest.mark.parametrize("primitive", list(Primitive))
def test_planned_trajectories_are_followed_within_torque_and_never_enter_the_table(
    primitive, model
):
    random, refused = np.random.default_rng(1), 0
    worst = {"joint": 0.0, "tip": 0.0, "torque": 0.0}
    tool = EndEffector.SPATULA if primitive == Primitive.SWEEP else EndEffector.SUCTION
    tabletop = Tabletop(Scene((), tool), robot=UR5E, table=TABLE)
    effort = tabletop.model.jnt_actfrcrange[:, 1]
    for _ in range(4):
        ends = (
            pose(*random.uniform([0.25, -0.5], [0.75, 0.5]), random.uniform(-3, 3)) for _ in "ab"
        )
        try:
            tabletop.start(plan_waypoints(primitive, *ends, Workspace()))
        except VimaError:  # test_arm_trajectory says when
            refused += 1
            continue
        while tabletop.robot_state.phase == Phase.EXECUTING:
            tabletop.advance(TIMESTEP)
            robot = tabletop.joint_controller
            target, joints = robot.set_point, robot.state.positions
            off = math.dist(model.tip_pose(joints).position, model.tip_pose(target).position)
            worst["joint"] = max(worst["joint"], np.abs(joints - target).max())
            worst["tip"] = max(worst["tip"], off)
            torque = np.abs(tabletop.data.qfrc_actuator[:6] / effort).max()
            worst["torque"] = max(worst["torque"], torque)
            assert robot.pose.position[2] > -0.001
            bodies = tabletop.model.geom_bodyid[tabletop.data.contact.geom]
            arms = [tabletop.model.body(int(i)).name for i in bodies.ravel()]
            assert not any(name.startswith("robot/") for name in arms)
        assert tabletop.robot_state.code in ("", "NOT_PICKED")
    assert refused <= 1
    assert worst["joint"] < 0.005
    assert worst["tip"] < 0.001
    assert worst["torque"] < 0.75


def test_between_its_points_a_trajectory_is_the_cubic(tabletop):
    """Any cubic, cut anywhere, is followed as itself."""
    random = np.random.default_rng(2)
    a, b = random.uniform(-0.3, 0.3, (2, 6))

    def at(t):
        return HOME + a * t**2 + b * t**3, 2 * a * t + 3 * b * t**2

    times = np.array([0.0, 0.03, 0.4, 0.41, 1.0])
    tabletop.joint_controller.follow_trajectory(
        times, *(np.array(v) for v in zip(*map(at, times), strict=True))
    )
    for t in np.arange(1, 26) * 0.04:
        tabletop.advance(0.04)
        joints, speeds = at(t)
        assert tabletop.joint_controller.state.positions == pytest.approx(joints, abs=1e-3)
        assert tabletop.joint_controller.state.velocities == pytest.approx(speeds, abs=2e-2)


def test_after_the_last_point_it_holds_however_fast_it_came(tabletop):
    speeds = np.array([np.zeros(6), np.full(6, 0.4)])
    tabletop.joint_controller.follow_trajectory([0.0, 0.5], [HOME, HOME + 0.2], speeds)
    tabletop.advance(1.5)
    assert tabletop.joint_controller.state.positions == pytest.approx(HOME + 0.2, abs=2e-4)
    assert np.abs(tabletop.joint_controller.state.velocities).max() < 1e-3
    held = tabletop.joint_controller.state.positions
    tabletop.advance(5.0)
    assert tabletop.joint_controller.state.positions == pytest.approx(held, abs=1e-4)


def test_a_first_point_later_is_reached_from_where_it_is_and_as_fast(tabletop):
    """So a single point, speed 0, is a stop."""
    move(tabletop.joint_controller, turned(0, 0.8))
    tabletop.advance(0.5)
    before = tabletop.joint_controller.state
    assert before.velocities[0] == pytest.approx(1.2, abs=0.02)
    tabletop.joint_controller.follow_trajectory([0.2], before.positions[None], np.zeros((1, 6)))
    tabletop.advance(0.02)
    assert tabletop.joint_controller.state.velocities[0] > 0.6  # no jerk
    tabletop.advance(0.3)
    assert tabletop.joint_controller.state.positions == pytest.approx(before.positions, abs=2e-3)
    assert np.abs(tabletop.joint_controller.state.velocities).max() < 0.01
    assert tabletop.joint_controller.fault == ""


@pytest.mark.parametrize("how", ["hold", "empty"])
def test_hold_and_an_empty_trajectory_end_it_at_once(tabletop, how):
    move(tabletop.joint_controller, turned(0, 0.8))
    tabletop.advance(0.5)
    where = tabletop.joint_controller.state.positions
    if how == "hold":
        tabletop.joint_controller.hold()
    else:
        tabletop.joint_controller.follow_trajectory(
            np.zeros(0), np.zeros((0, 6)), np.zeros((0, 6))
        )
    tabletop.advance(0.5)
    assert tabletop.joint_controller.state.positions == pytest.approx(where, abs=2e-3)
    assert np.abs(tabletop.joint_controller.state.velocities).max() < 1e-3
    assert tabletop.joint_controller.fault == ""


BAD = {
    "a joint too few": ([0.0, 1.0], np.zeros((2, 5)), np.zeros((2, 5)), "INVALID_VALUE"),
    "no speeds": ([0.0, 1.0], np.tile(HOME, (2, 1)), np.zeros((0, 6)), "INVALID_VALUE"),
    "backwards": ([0.5, 0.2], np.tile(HOME, (2, 1)), np.zeros((2, 6)), "INVALID_VALUE"),
    "before now": ([-0.1, 1.0], np.tile(HOME, (2, 1)), np.zeros((2, 6)), "INVALID_VALUE"),
    "without end": ([0.0, 1e9], np.tile(HOME, (2, 1)), np.zeros((2, 6)), "INVALID_VALUE"),
    "a leap": ([0.0, 1.0], np.tile(HOME + 0.1, (2, 1)), np.zeros((2, 6)), "INVALID_VALUE"),
    "beyond a limit": (
        [0.0, 9.0],
        [HOME, turned(2, 2.0)],
        np.zeros((2, 6)),
        "INVALID_VALUE",
    ),
    "not a number": ([0.0, 1.0], [HOME, HOME * math.nan], np.zeros((2, 6)), "NOT_FINITE"),
    "infinite": ([0.0, 1.0], np.tile(HOME, (2, 1)), np.full((2, 6), math.inf), "NOT_FINITE"),
}


@pytest.mark.parametrize(("times", "positions", "velocities", "code"), BAD.values(), ids=BAD)
def test_what_cannot_be_followed_changes_nothing(tabletop, times, positions, velocities, code):
    move(tabletop.joint_controller, HOME + 0.2)
    tabletop.advance(0.3)
    with pytest.raises(VimaError, match="valid") as caught:
        tabletop.joint_controller.follow_trajectory(times, positions, velocities)
    assert caught.value.code == code
    tabletop.advance(0.8)
    assert tabletop.joint_controller.state.positions == pytest.approx(HOME + 0.2, abs=2e-4)


def test_a_path_error_is_a_fault_until_the_next_command(tabletop):
    robot = tabletop.joint_controller
    robot.follow_trajectory([0.0, 0.1], [HOME, turned(0, 2.0)], np.zeros((2, 6)))
    tabletop.advance(0.2)
    assert "shoulder_pan_joint" in robot.fault
    assert "valid" in robot.fault
    assert robot.state.positions[0] < 1.0
    tabletop.advance(1.0)
    assert np.abs(robot.state.velocities).max() < 1e-3
    move(robot, robot.state.positions + 0.1)
    assert robot.fault == ""


def test_the_table_stops_the_links_too(tabletop):
    tool_up = turned(3, 1.8)
    move(tabletop.joint_controller, tool_up)
    tabletop.advance(1.5)
    move(tabletop.joint_controller, tool_up + turned(1, 1.9) - HOME, 2.0)
    touching = set()
    while not tabletop.joint_controller.fault:
        tabletop.advance(TIMESTEP)
        pairs = tabletop.model.geom_bodyid[tabletop.data.contact.geom]
        touching |= {
            tabletop.model.body(int(i)).name for i in pairs[(pairs == 0).any(axis=1)].ravel()
        }
        assert tabletop.time < 4.0
    assert touching & {"robot/forearm_link", "robot/wrist_1_link", "robot/wrist_2_link"}


# --- touch and suction


def test_stop_on_contact_holds_and_latches_contact_until_the_next_trajectory(tabletop, model):
    descend(tabletop, model)
    tabletop.joint_controller.stop_on_contact(True)
    assert not tabletop.joint_controller.state.contact
    tabletop.advance(1.5)
    assert tabletop.joint_controller.state.contact
    assert tabletop.joint_controller.pose.position[2] == pytest.approx(TOP, abs=1e-3)
    assert tabletop.joint_controller.fault == ""
    tabletop.joint_controller.follow_trajectory(
        [1.0], model.solve_ik_local(pose(0.5, 0.2, z=ABOVE), HOME)[None], np.zeros((1, 6))
    )
    assert not tabletop.joint_controller.state.contact
    tabletop.advance(1.5)
    assert tabletop.joint_controller.pose.position[2] == pytest.approx(ABOVE, abs=5e-4)
    assert not tabletop.joint_controller.state.contact


def test_stop_on_contact_allows_leaving_a_known_contact(tabletop, model):
    """tool_command and joint_trajectory come in any order: stop on contact may end late."""
    descend(tabletop, model)
    tabletop.joint_controller.stop_on_contact(True)
    tabletop.advance(1.5)
    assert tabletop.joint_controller.state.contact
    move(tabletop.joint_controller, model.solve_ik_local(pose(0.5, 0.2, z=ABOVE), HOME))
    tabletop.advance(1.5)
    assert not tabletop.joint_controller.state.contact
    descend(tabletop, model)
    tabletop.advance(1.5)
    assert tabletop.joint_controller.state.contact


def test_a_repeated_contact_is_a_new_one(tabletop, model):
    descend(tabletop, model)
    tabletop.joint_controller.stop_on_contact(True)
    tabletop.advance(1.5)
    touching = tabletop.joint_controller.state.positions
    above = model.solve_ik_local(pose(0.5, 0.2, z=ABOVE), HOME)
    tabletop.joint_controller.follow_trajectory(
        [0.0, 1.0, 2.0], [touching, above, touching], np.zeros((3, 6))
    )
    tabletop.advance(1.0)
    assert not tabletop.joint_controller.state.contact
    tabletop.advance(1.5)
    assert tabletop.joint_controller.state.contact


def test_without_stop_on_contact_it_pushes_until_the_fault(tabletop, model):
    descend(tabletop, model, to=-0.03)
    tabletop.advance(1.5)
    assert not tabletop.joint_controller.state.contact
    assert tabletop.joint_controller.fault


def test_an_end_that_is_never_reached_is_a_fault_too(tabletop, model):
    above = model.solve_ik(pose(0.6, -0.3, z=0.05), HOME)
    move(tabletop.joint_controller, above, 2.0)
    tabletop.advance(3.5)
    assert tabletop.joint_controller.fault == ""
    move(
        tabletop.joint_controller, model.solve_ik_local(pose(0.6, -0.3, z=-0.01), above)
    )  # a little into the table
    tabletop.advance(1.9)
    assert tabletop.joint_controller.fault == ""
    tabletop.advance(0.2)
    assert "within 0.01 rad" in tabletop.joint_controller.fault


@pytest.mark.parametrize("early", [True, False], ids=["before the touch", "after it"])
def test_suction_carries_what_the_cup_touches_at_any_time(tabletop, model, early):
    if early:
        tabletop.joint_controller.set_suction(True)
    descend(tabletop, model)
    tabletop.joint_controller.stop_on_contact(True)
    tabletop.advance(1.5)
    assert tabletop.joint_controller.state.holding == early
    tabletop.joint_controller.set_suction(True)
    tabletop.advance(0.1)
    assert tabletop.joint_controller.state.holding
    tabletop.joint_controller.stop_on_contact(False)
    move(tabletop.joint_controller, model.solve_ik_local(pose(0.5, 0.2, z=0.2), HOME))
    tabletop.advance(1.5)
    assert tabletop.object_pose("block").position[2] > 0.15
    tabletop.joint_controller.set_suction(False)
    tabletop.advance(1.0)
    assert not tabletop.joint_controller.state.holding
    assert tabletop.object_pose("block").position[2] < 0.06


def test_stop_on_contact_includes_the_carried_object(tabletop, model):
    tabletop.joint_controller.set_suction(True)
    descend(tabletop, model)
    tabletop.joint_controller.stop_on_contact(True)
    tabletop.advance(1.5)
    tabletop.joint_controller.stop_on_contact(False)
    high, low = (model.solve_ik_local(pose(0.5, 0.2, z=z), HOME) for z in (0.2, 0.03))
    move(tabletop.joint_controller, high)
    tabletop.advance(1.5)
    tabletop.joint_controller.stop_on_contact(True)
    move(tabletop.joint_controller, low, 2.0)
    tabletop.advance(2.5)
    assert tabletop.joint_controller.state.contact
    assert tabletop.joint_controller.pose.position[2] == pytest.approx(TOP, abs=2e-3)


def test_unreachable_places_are_refused_before_any_motion(tabletop, model):
    tabletop.advance(0.1)
    waypoints = plan_waypoints(Primitive.PICK_PLACE, pose(0.5, 0.2), pose(0.95, 0.5), Workspace())
    with pytest.raises(VimaError, match="waypoint") as caught:
        tabletop.execute(waypoints)
    assert caught.value.code == "UNREACHABLE"
    assert tabletop.robot_state.phase == Phase.IDLE
    tabletop.advance(0.5)
    assert tabletop.joint_controller.state.positions == pytest.approx(HOME, abs=1e-6)


def test_a_tabletop_without_an_arm_has_no_joint_controller():
    with pytest.raises(VimaError, match="valid"):
        _ = Tabletop(BLOCK).joint_controller
