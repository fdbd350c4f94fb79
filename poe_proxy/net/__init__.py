"""The ways out of this process, and what goes wrong on them.

`dialing` connects. `cutting` ends a wait on a socket; `connections` pools connections that can be
cut. `background` runs a blocking call that can be waited for; `pacing` gives the others their turn
within one that computes. `troubles` and `retry_after` read failures. `fetching` gets what a
conversation names by URL; `filenames` tidies the names of files.
"""
