"""The only place that knows ROS: thin nodes over the packages beside this one."""

try:
    import vima_msgs.msg  # noqa: F401  (its absence is best explained here, once)
except ImportError as error:
    raise ImportError(
        "vima_msgs is not built or not sourced. It lies in src/vima_msgs of this repository, where"
        " colcon does not look by itself when the clone is inside a workspace: build with"
        " `colcon build --base-paths src src/vima_ros/src` from the workspace, then source"
        " install/setup.bash (README, 'In a workspace')."
    ) from error
