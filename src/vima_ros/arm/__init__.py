"""Safety gate, waypoints, kinematics, planning and execution of motions, without ROS."""
