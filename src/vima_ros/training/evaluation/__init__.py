"""Evaluation of policies and detectors, and its reports."""
