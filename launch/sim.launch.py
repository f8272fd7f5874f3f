"""The suite with the simulated tabletop in place of robot and cameras.

ros2 launch vima_ros sim.launch.py scene:=put
"""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

SHARE = FindPackageShare("vima_ros")


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="vima", description="of all nodes"),
            DeclareLaunchArgument("scene", default_value="put", description="on the table"),
            DeclareLaunchArgument(
                "robot",
                default_value=PathJoinSubstitution([SHARE, "config", "robots", "tabletop.yaml"]),
                description="YAML file with what differs from the defaults",
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
                parameters=[
                    LaunchConfiguration("robot"),
                    {
                        "use_sim_time": LaunchConfiguration("use_sim_time"),
                        "scene": LaunchConfiguration("scene"),
                    },
                ],
            ),
        ]
    )
