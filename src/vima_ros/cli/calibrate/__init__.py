"""Program ``calibrate``: a camera's table calibration and intrinsics, from image files."""
