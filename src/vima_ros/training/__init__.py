"""Making what the suite ships: tokenizer, demonstrations, policies, detectors."""
