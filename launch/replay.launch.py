"""A recorded bag through the suite; ends with the recording.

ros2 launch vima_ros replay.launch.py bag:=/path/to/bag out:=/tmp/replay
"""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

SHARE = FindPackageShare("vima_ros")


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="rosbag2 folder, MCAP or SQLite"),
            DeclareLaunchArgument("out", default_value="out", description="for replay.json"),
            DeclareLaunchArgument("namespace", default_value="vima", description="of all nodes"),
            DeclareLaunchArgument(
                "robot",
                default_value=PathJoinSubstitution([SHARE, "config", "robots", "recording.yaml"]),
                description="YAML file with what differs from the defaults",
            ),
            DeclareLaunchArgument("use_sim_time", default_value="true"),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    PathJoinSubstitution([SHARE, "launch", "bringup.launch.py"])
                )
            ),
            Node(
                package="vima_ros",
                executable="replay",
                output="screen",
                arguments=[
                    LaunchConfiguration("bag"),
                    "--out",
                    LaunchConfiguration("out"),
                    "--namespace",
                    ["/", LaunchConfiguration("namespace")],
                ],
                on_exit=Shutdown(),
            ),
        ]
    )
