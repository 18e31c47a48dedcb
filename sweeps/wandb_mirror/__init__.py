"""Mirror run folders to W&B without ever blocking a run.

    content   what W&B stores about a run, read from its folder alone
    cursor    what has been sent of a run and where to, kept in its folder, so that nothing is sent twice
    model     a finished run's model, as the files of an artifact
    client    the wandb library: one W&B run per run
    mirror    sends what is new of the runs of a study; retries later what cannot be sent now
    follow    looks at a study's folders every few seconds and drives the mirror
    live      a sweep's side: starts `wandb_push.py STUDY --follow` and ends it

Only ``client`` imports wandb, and only ``wandb_push.py`` imports ``client``, so a sweep's own process never
loads the library. A sweep reports W&B's problems in one line at its end: the run folders have everything,
and ``python sweeps/wandb_push.py STUDY`` sends what is missing.
"""
