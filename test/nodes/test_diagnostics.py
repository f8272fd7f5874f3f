"""The status of each function of every node on /diagnostics."""

from conftest import ALL_NODES
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

FUNCTIONS = {
    "perception": ["detection", "front camera", "top camera"],
    "prompt": ["prompts", "detectors", "asset library"],
    "policy": ["model", "episode"],
    "arm": ["motion", "motion topics"],
    "manager": ["nodes"],
    "tabletop": ["simulation"],
}


def latest(inbox, name):
    """{function: status} of the first message that a node published."""
    prefix = f"/vima/{name}: "
    message = inbox.wait(
        lambda m: m.status[0].name.startswith(prefix), 15, f"/diagnostics of {name}"
    )
    return {status.name.removeprefix(prefix): status for status in message.status}


def values(status):
    return {item.key: item.value for item in status.values}


def test_every_node_reports_each_function_and_the_policy_that_it_is_untrained(suite):
    inbox = suite.client.subscribe(DiagnosticArray, "/diagnostics")
    reports = {name: latest(inbox, name) for name in ALL_NODES}
    for name, report in reports.items():
        assert list(report) == ["lifecycle", "performance", *FUNCTIONS[name]]
        assert report["lifecycle"].message == "active"
        assert values(report["lifecycle"]) == {"state": "active"}
        for status in report.values():
            assert status.hardware_id == "vima_ros"
            assert status.level != DiagnosticStatus.ERROR, status
    model = reports["policy"]["model"]
    assert "UNTRAINED" in model.message
    assert model.level == DiagnosticStatus.WARN
    assert reports["policy"]["episode"].level == DiagnosticStatus.OK
    assert values(model)["trained"] == "False"
    assert values(model)["config.embed_dim"] == "64"
    assert values(model)["card.parameters"] == values(model)["parameters"]
    assert "UNTRAINED" in suite.processes.log("policy")
    assert values(reports["manager"]["nodes"]) == dict.fromkeys(ALL_NODES[:-1], "active")
