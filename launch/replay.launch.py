"""A recorded bag through the suite; ends with the recording.

ros2 launch vima_ros replay.launch.py bag:=/path/to/bag out:=/tmp/replay
"""

import os

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription
from vima_ros.nodes.common.launch_arguments import check_arguments
from vima_ros.nodes.common.launch_shutdown import end_launch

SHARE = FindPackageShare("vima_ros")
END_WITH = {"VIMA_ROS_END_WITH": str(os.getpid())}  # nodes end when the launch does


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="Recorded rosbag2 folder, MCAP or SQLite"),
            DeclareLaunchArgument(
                "out", default_value="out", description="Folder for replay.json"
            ),
            DeclareLaunchArgument(
                "namespace", default_value="vima", description="Namespace of all nodes"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([SHARE, "config", "robots", "recording.yaml"]),
                description="Parameter file: what differs from the defaults",
            ),
            DeclareLaunchArgument(
                "use_sim_time", default_value="true", description="Use of /clock: true or false"
            ),
            check_arguments(
                *("bag", "out", "namespace", "params_file", "use_sim_time"),
                *("checkpoint", "device"),  # declared by bringup
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    PathJoinSubstitution([SHARE, "launch", "bringup.launch.py"])
                )
            ),
            Node(
                package="vima_ros",
                executable="replay",
                namespace=LaunchConfiguration("namespace"),
                output="screen",
                additional_env=END_WITH,
                arguments=[LaunchConfiguration("bag"), "--out", LaunchConfiguration("out")],
                on_exit=end_launch,
            ),
        ]
    )
