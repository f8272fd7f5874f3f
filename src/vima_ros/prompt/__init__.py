"""From a sentence with pictures to what the policy reads."""
