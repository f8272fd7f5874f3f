"""The suite with the simulated tabletop in place of robot and cameras.

ros2 launch vima_ros sim.launch.py task:=rotate seed:=3     a task with its prompt
ros2 launch vima_ros sim.launch.py scene:=put               only a scene
"""

import os

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription
from vima_ros.nodes.common.launch_arguments import check_arguments

SHARE = FindPackageShare("vima_ros")
END_WITH = {"VIMA_ROS_END_WITH": str(os.getpid())}  # nodes end when the launch does


def text(name):
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "namespace", default_value="vima", description="Namespace of all nodes"
            ),
            DeclareLaunchArgument(
                "task", default_value="", description="Task of VIMA-Bench; empty: none"
            ),
            DeclareLaunchArgument(
                "level", default_value="", description="Level of the task; empty: its first"
            ),
            DeclareLaunchArgument(
                "scene", default_value="put", description="Scene where no task is given"
            ),
            DeclareLaunchArgument(
                "seed", default_value="0", description="Seed of the task or scene"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([SHARE, "config", "robots", "tabletop.yaml"]),
                description="Parameter file: what differs from the defaults. tabletop.yaml has "
                "the UR5e, free_gripper.yaml beside it a free gripper",
            ),
            check_arguments(
                *("namespace", "task", "level", "scene", "seed", "params_file"),
                *("checkpoint", "device", "use_sim_time"),  # declared by bringup
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    PathJoinSubstitution([SHARE, "launch", "bringup.launch.py"])
                )
            ),
            Node(
                package="vima_ros",
                executable="tabletop",
                namespace=LaunchConfiguration("namespace"),
                output="screen",
                additional_env=END_WITH,
                parameters=[
                    LaunchConfiguration("params_file"),
                    {
                        "use_sim_time": LaunchConfiguration("use_sim_time"),
                        "task": text("task"),
                        "level": text("level"),
                        "scene": text("scene"),
                        "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                    },
                ],
            ),
        ]
    )
