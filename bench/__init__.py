"""What the proxy costs, compared with a direct connection in the same run. `make bench`."""
