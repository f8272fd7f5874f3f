"""From a policy action to motion: waypoints and the safety gate."""
