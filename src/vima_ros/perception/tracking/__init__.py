"""Which object is which, over time and across the views."""
