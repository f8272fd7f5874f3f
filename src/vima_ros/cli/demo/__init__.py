"""Program ``demo``: tabletop episodes through the nodes, with a report page and a video."""
