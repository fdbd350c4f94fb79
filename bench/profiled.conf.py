"""gunicorn.conf.py, with a sampler in the worker: `python -m bench profile`."""

from pathlib import Path

_file = Path(__file__).resolve().parents[1] / "gunicorn.conf.py"
_theirs = {**globals(), "__file__": str(_file)}
exec(compile(_file.read_text(), str(_file), "exec"), _theirs)
globals().update({name: it for name, it in _theirs.items() if not name.startswith("__")})


def post_worker_init(worker):
    _theirs["post_worker_init"](worker)
    from bench import sampler  # not before gevent has patched what it imports

    sampler.install()
