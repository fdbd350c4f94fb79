"""The pool of several workers: the ledger's verbs and the line in Redis."""
