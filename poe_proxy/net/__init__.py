"""The ways out of this process, and what goes wrong on them.

`hosts` is the way of what is asked often: `transfer` is one exchange, which speaks `http1` on a
connection that is `kept` or made, and `unpacking` reads what is packed. `dialing` connects;
`cutting` ends a wait on a socket, and `deadline` all steps of connecting. `retry_after` reads when
to come back.

`fetching` gets what a conversation names by URL, `media` what a bot made, both by urllib3 with
`connections` that can be cut; `filenames` tidies the names of files. `background` runs a blocking
call that can be waited for; `pacing` gives the others their turn within one that computes.
"""
