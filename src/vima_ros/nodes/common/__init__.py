"""Parts that all nodes share: lifecycle, parameters, QoS, conversions, heartbeats."""
