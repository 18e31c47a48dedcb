# Read by every shell on a node of the cluster, including those that start Ray.
export PATH="$HOME/lvae/.venv/bin:$PATH"
export RAY_AUTH_MODE=token            # Ray accepts only clients with the token of ~/.ray/auth_token
export LVAE_DATA_DIR="$HOME/lvae/data"
export RAY_JOB_STOP_WAIT_TIME_S=60    # `ray job stop` gives a sweep this long to save, not 3 s
