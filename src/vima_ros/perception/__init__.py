"""From camera pictures to objects: views, camera pairing, detectors, crops and drawings."""
