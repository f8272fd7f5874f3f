"""Arm node: the safety gate and the driver of the robot behind it.

An ``action`` passes ``action_gate``, which asks ``arm.safety_gate`` and, for a robot that is moved
by its joints, ``joint_driver`` for a plan. ``motion_control`` makes it the one active command,
waits for a person's ``confirmation`` where that is required, and sends it by ``robot_commands``:
``arm_command``, or the driver's trajectories. What the robot reports comes back by
``robot_feedback``, which ends the command; so may ``motion_watchdog`` and, in a thread of their
own, ``stop_services``. ``motion_reports`` publishes each result. ``node`` wires them in this order
of construction, each from those before it.
"""
