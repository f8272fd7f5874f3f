"""The suite on a robot: perception, prompt, policy, arm and the manager that brings them up.

ros2 launch vima_ros bringup.launch.py params_file:=/path/to/my_robot.yaml checkpoint:=20M.ckpt
"""

import os

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription
from vima_ros.nodes.common.launch_arguments import check_arguments
from vima_ros.nodes.common.launch_shutdown import stop_nodes

SHARE = FindPackageShare("vima_ros")
END_WITH = {"VIMA_ROS_END_WITH": str(os.getpid())}  # nodes end when the launch does


def node(name, *parameters):
    return Node(
        package="vima_ros",
        executable=name,
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        additional_env=END_WITH,
        parameters=[
            LaunchConfiguration("params_file"),
            {"use_sim_time": LaunchConfiguration("use_sim_time")},
            *parameters,
        ],
    )


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "namespace", default_value="vima", description="Namespace of all nodes"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([SHARE, "config", "robots", "example.yaml"]),
                description="Parameter file of this robot: what differs from the defaults",
            ),
            DeclareLaunchArgument(
                "checkpoint",
                default_value="",
                description="Checkpoint of the policy; empty: the bundled one; gpt, gato, "
                "flamingo: the bundled one of that conditioning; random: untrained",
            ),
            DeclareLaunchArgument(
                "device",
                default_value="cpu",
                description="Device of the policy: cpu, cuda, cuda:N",
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                description="Use of /clock as the time of the nodes: true or false",
            ),
            check_arguments("namespace", "params_file", "checkpoint", "device", "use_sim_time"),
            stop_nodes(),
            node("perception"),
            node("prompt"),
            node(
                "policy",
                {
                    "checkpoint": ParameterValue(
                        LaunchConfiguration("checkpoint"), value_type=str
                    ),
                    "device": LaunchConfiguration("device"),
                },
            ),
            node("arm"),
            node("manager"),
        ]
    )
