"""Tracking of objects over time and across the views."""
