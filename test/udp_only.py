"""The suite's own Fast DDS profile, as between machines: without shared memory."""

from pathlib import Path

import pytest

from vima_ros.client.client import Client
from vima_ros.nodes.common.dds import PROFILE_VARIABLE
from vima_ros.paths import config_path

SHARED_MEMORY = "<transport_id>large_shared_memory</transport_id>"
# This machine alone, by its loopback interface. The discovery range LOCALHOST, rmw_fastrtps' own
# way to say so, adds a transport by shared memory to those of the profile.
LOOPBACK = """<interfaceWhiteList><address>127.0.0.1</address></interfaceWhiteList>
        <maxInitialPeersRange>32</maxInitialPeersRange>"""
PEERS = """<builtin><initialPeersList><locator>
          <udpv4><address>127.0.0.1</address></udpv4>
        </locator></initialPeersList></builtin>"""


def use_udp_only(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let processes that are started from here on talk to each other by UDP alone.

    A process reads its profile once: this one keeps ours, which later modules need. Clients of its
    own still reach those processes, and while ``patch`` lasts announce themselves on the network.
    """
    Client("first").close()
    text = config_path("fastdds.xml").read_text()
    profile = folder / "udp.xml"
    for old, new in (
        (SHARED_MEMORY, ""),
        ("<type>UDPv4</type>", f"<type>UDPv4</type>\n        {LOOPBACK}"),
        ("<userTransports>", f"{PEERS}\n        <userTransports>"),
    ):
        described, used = text.rsplit(old, 1)
        text = f"{described}{new}{used}"
    profile.write_text(text)
    patch.setenv(PROFILE_VARIABLE, str(profile))
    patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SYSTEM_DEFAULT")
    patch.delenv("ROS_LOCALHOST_ONLY", raising=False)
