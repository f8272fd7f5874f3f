"""The suite on a robot: perception, prompt, policy, arm and the manager that brings them up.

ros2 launch vima_ros bringup.launch.py robot:=/path/to/my_robot.yaml checkpoint:=/path/to/20M.ckpt
"""

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

SHARE = FindPackageShare("vima_ros")
FASTDDS = PathJoinSubstitution([SHARE, "config", "fastdds.xml"])


def node(name, *parameters):
    return Node(
        package="vima_ros",
        executable=name,
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("robot"),
            {"use_sim_time": LaunchConfiguration("use_sim_time")},
            *parameters,
        ],
    )


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="vima", description="of all nodes"),
            DeclareLaunchArgument(
                "robot",
                default_value=PathJoinSubstitution([SHARE, "config", "robots", "example.yaml"]),
                description="YAML file with what differs for this robot",
            ),
            DeclareLaunchArgument(
                "checkpoint", default_value="", description="weights; empty: those that came along"
            ),
            DeclareLaunchArgument("device", default_value="cpu", description="cpu or cuda"),
            DeclareLaunchArgument("use_sim_time", default_value="false"),
            SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", FASTDDS),
            node("perception"),
            node("prompt"),
            node(
                "policy",
                {
                    "checkpoint": LaunchConfiguration("checkpoint"),
                    "device": LaunchConfiguration("device"),
                },
            ),
            node("arm"),
            node("manager"),
        ]
    )
