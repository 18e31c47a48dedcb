# Settings for the shell in which you call `ray`. Read them with:  . clusters/laptop.sh
export RAY_AUTH_MODE=token                             # use the token of ~/.ray/auth_token
export RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265    # the local end of `ray dashboard`'s tunnel
export RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES=      # send .git too, so that runs can record their commit
export RAY_USAGE_STATS_ENABLED=0                       # `ray up` sends no usage statistics
