"""What the proxy costs, beside other ways to the same upstream, in one run: `make bench`."""
