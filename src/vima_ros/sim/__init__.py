"""A simulated tabletop: VIMA-Bench's world and cameras, a few plain objects and a flying tool."""
