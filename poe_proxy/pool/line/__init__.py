"""The line of requests that wait for a token: their order, their forecast, and what wakes them."""
