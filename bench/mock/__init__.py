"""The upstream of the benchmark: both faces of Poe on one port, as fast as plain Python can be.

`poe_sim`, the stand-in of the tests, does what Poe does; this one does as little as it may, so that
it is not what is measured. `connection` is the loop, `api` the official API, `web` the page, its
GraphQL and its websocket. It never refuses, and forgets what it was asked.
"""
