# Read by every shell on a node of the cluster, those that start Ray included.
export PATH="$HOME/lvae/.venv/bin:$PATH"
export RAY_AUTH_MODE=token            # Ray lets in who has the token of ~/.ray/auth_token, and nobody else
export LVAE_DATA_DIR="$HOME/lvae/data"
export RAY_JOB_STOP_WAIT_TIME_S=60    # `ray job stop` ends a sweep that is still saving after this, not after 3 s
