"""Who finds the objects: one interface, one file a backend."""
