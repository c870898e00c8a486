"""The best settings of a package on this machine."""
