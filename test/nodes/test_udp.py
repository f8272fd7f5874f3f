"""Images come between machines, too, where UDP carries them instead of shared memory."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from udp_only import use_udp_only

LIMIT = int(Path("/proc/sys/net/core/rmem_max").read_text())  # of a socket's buffer [bytes]
IMAGES, SIZE = 20, 100_000  # each as a camera's 256x128 colours [bytes]
COMMON = """
import array
import time
import rclpy
from sensor_msgs.msg import Image
from std_msgs.msg import Empty
rclpy.init()
node = rclpy.create_node("udp")
best_effort = rclpy.qos.QoSProfile(depth=100, reliability=rclpy.qos.ReliabilityPolicy.BEST_EFFORT)
"""
RECEIVE = """
images, ends = [], []
found = node.create_publisher(Empty, "found", 1)
node.create_subscription(Image, "images", images.append, best_effort)
node.create_subscription(Empty, "end", ends.append, 1)
while not (images and found.get_subscription_count()):
    rclpy.spin_once(node, timeout_sec=0.02)
found.publish(Empty())
def at_once():
    return sum(image.step > 0 for image in images)
while not ends:
    rclpy.spin_once(node)
patience = time.monotonic() + 5.0
while at_once() < IMAGES and time.monotonic() < patience:
    rclpy.spin_once(node, timeout_sec=1.0)
print(at_once())
"""
SEND = """
found = []
images = node.create_publisher(Image, "images", best_effort)
end = node.create_publisher(Empty, "end", 1)
node.create_subscription(Empty, "found", found.append, 1)
while not (found and end.get_subscription_count()):
    images.publish(Image(step=0))
    rclpy.spin_once(node, timeout_sec=0.02)
print("found", flush=True)
input()
image = Image(step=1, data=array.array("B", bytes(SIZE)))
for _ in range(IMAGES):
    images.publish(image)
end.publish(Empty())
print("sent", flush=True)
input()
"""


@pytest.mark.skipif(
    LIMIT < 4 * 2**20,
    reason=f"the kernel gives sockets {LIMIT} bytes (net.core.rmem_max), not 4 MiB",
)
def test_images_that_come_at_once_wait_for_a_receiver_that_is_busy(tmp_path, monkeypatch):
    """As its threads are on a loaded machine: here, all of them stand still meanwhile."""
    use_udp_only(monkeypatch, tmp_path)

    def start(source):
        values = f"IMAGES, SIZE = {IMAGES}, {SIZE}\n"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-c", COMMON + values + source], **pipes)

    with start(RECEIVE) as receiver, start(SEND) as sender:
        try:
            assert sender.stdout.readline() == "found\n"
            receiver.send_signal(signal.SIGSTOP)
            print(file=sender.stdin, flush=True)
            assert sender.stdout.readline() == "sent\n"
            receiver.send_signal(signal.SIGCONT)
            assert int(receiver.stdout.readline()) == IMAGES
        finally:
            receiver.kill()
            sender.kill()
