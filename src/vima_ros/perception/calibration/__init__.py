"""From a camera that looks otherwise to the view that the policy knows."""
