"""W&B as a mirror of run folders, never in a run's way.

    content   what W&B is to hold of a run: a function of its folder alone
    cursor    what has been sent where, kept beside the run, so that nothing is sent twice
    client    the wandb library: one W&B run a run
    mirror    looks at folders and sends what is new; what cannot be sent now is sent later
    process   the mirror of a launch, in a process of its own
    driver    the launch's end of it

Only ``client`` imports wandb, and only the mirror's own process and ``wandb_push.py`` import ``client``. A
launch hears of W&B's troubles at its end and in one line: the run folders have everything, and
``python sweeps/wandb_push.py STUDY`` sends what is missing.
"""
