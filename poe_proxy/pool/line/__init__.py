"""The line of requests that wait for a token: their order, their prospects, and what wakes them."""
