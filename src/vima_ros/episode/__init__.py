"""States and timeouts of an episode, without ROS and torch."""
