"""One run of a latent-variable text model: data, model, training, estimates, run folder.

Importing this package loads neither torch nor numpy; its modules do. ``config`` and ``record`` never need
torch, so that finished runs can be read on a machine without it.
"""
