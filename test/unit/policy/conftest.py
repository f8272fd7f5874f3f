"""Here so that pytest finds what tests of the folders below share, such as policy_goldens."""
