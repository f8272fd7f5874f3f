from rclpy.qos import QoSProfile

class TopicEndpointInfo:
    node_name: str
    node_namespace: str
    endpoint_gid: list[int]
    qos_profile: QoSProfile
