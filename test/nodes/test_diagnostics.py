"""What every node says of itself on /diagnostics."""

from conftest import ALL_NODES
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus


def latest(inbox, name):
    """The first status that a node published."""
    message = inbox.wait(
        lambda m: m.status[0].name == f"/vima/{name}", 15, f"/diagnostics of {name}"
    )
    return message.status[0]


def test_every_node_reports_and_the_policy_says_that_it_is_untrained(suite):
    inbox = suite.client.subscribe(DiagnosticArray, "/diagnostics")
    reports = {name: latest(inbox, name) for name in ALL_NODES}
    assert all(r.message != "not configured" for r in reports.values())
    assert all(r.level in (DiagnosticStatus.OK, DiagnosticStatus.WARN) for r in reports.values())
    policy = reports["policy"]
    assert "UNTRAINED" in policy.message
    assert policy.level == DiagnosticStatus.WARN
    told = {v.key: v.value for v in policy.values}
    assert told["trained"] == "False"
    assert told["config.embed_dim"] == "64"
    assert told["card.parameters"] == told["parameters"]
    assert "UNTRAINED" in suite.processes.log("policy")
    states = {v.key: v.value for v in reports["manager"].values}
    assert states == dict.fromkeys(ALL_NODES[:-1], "active")
