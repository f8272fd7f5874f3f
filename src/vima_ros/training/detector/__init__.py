"""Training of the detector, and its export to ONNX."""
