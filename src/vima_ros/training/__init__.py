"""Training and evaluation of the suite's tokenizer, policies and detectors."""
