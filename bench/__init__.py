"""What the proxy costs, beside a direct connection in the same run. `make bench`."""
