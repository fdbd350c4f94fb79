"""Who used what, and what it cost: a row for each request to a bot, in a file of SQLite's.

Of a conversation there are counts, and never a text; of an account there is its label.
"""
