"""State machine and timeouts of an episode, without ROS or torch."""
