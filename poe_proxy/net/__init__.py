"""The ways out of this process, and what goes wrong on them.

`hosts` is the way of what is asked often: `transfer` is one exchange, which speaks `http1` on a
connection that is `kept` or made, and `unpacking` reads what is packed. The rest is asked by
requests, with the `connections` that it pools. `dialing` connects; `cutting` ends a wait on a
socket, and `deadline` all steps of connecting.

`background` runs a blocking call that can be waited for; `pacing` gives the others their turn
within one that computes. `troubles` and `retry_after` read failures. `fetching` gets what a
conversation names by URL, `media` what a bot made; `filenames` tidies the names of files.
"""
