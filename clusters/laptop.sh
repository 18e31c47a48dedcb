# Read by your shell where you call `ray`:  . clusters/laptop.sh
export RAY_AUTH_MODE=token                             # with the token of ~/.ray/auth_token
export RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265    # where `ray dashboard` leads to the cluster
export RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES=      # .git travels, too, so that runs can note their commit
export RAY_USAGE_STATS_ENABLED=0                       # `ray up` reports to nobody that it was called
