"""The manager node: lifecycle transitions and supervision."""
